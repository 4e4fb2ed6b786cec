"""The fields of each event of the journal, checked where a journal is read.

A line that passes has all fields that are read of it, with finite numbers. Fields that
came later have defaults, so that older records pass; unknown events do not.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from napari_hae.experiment.array_files import LARGEST as LARGEST_ARRAY
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.votes import Vote
from napari_hae.printable import shortened
from napari_hae.types import LARGEST, ChosenBy

MOST = 10_000_000
"""No run has more steps, lines of an image or measurements."""


def _time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _not_too_large(shape: tuple[int, ...]) -> tuple[int, ...]:
    if math.prod(shape) > LARGEST_ARRAY:
        raise ValueError("no array of a run is so large")
    return shape


def _not_zero(value: float) -> float:
    if not value:
        raise ValueError("it must not be 0")
    return value


Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Known = Number | None
Count = Annotated[int, Field(ge=0, le=MOST)]
Checksum = Annotated[int, Field(ge=0, lt=2**32)]
Size = Annotated[int, Field(ge=1, le=MOST)]
Shape = Annotated[tuple[Size, Size, Size], AfterValidator(_not_too_large)]
Pixel = tuple[Count, Count]
Pair = tuple[Number, Number]
Edges = tuple[Number, Number, Number, Number]
ExposureValues = tuple[
    Pair | Edges, NotNegative, Annotated[Count, Field(ge=1)], Known, str
]


class _Values(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class _Event(_Values):
    """What all events have in common."""

    time: Annotated[str, AfterValidator(_time)]
    n: Count | None = None
    step: Count | None = None
    who: str = ""
    why: str = ""


class _Start(_Event):
    format: Annotated[int, Field(ge=1, le=MOST)]
    version: str
    instrument: str
    instrument_settings: dict[str, Any]
    settings: dict[str, Any]
    experience: str | None = None
    packages: dict[str, str] = {}


class _Resume(_Event):
    version: str
    counts_on: bool = False


class _Survey(_Event):
    index: Count
    detectors: tuple[str, ...]
    fov_nm: tuple[Positive, Positive]
    dwell_time_s: NotNegative
    area: Edges = (0.0, 0.0, 1.0, 1.0)
    booked: ExposureValues | None = None
    shape: Shape | None = None
    crc32: Checksum | None = None


class _SurveyAgain(_Event):
    step: Count
    index: Count
    scan_s: NotNegative
    dose_e: Known
    area: Edges
    at_s: Number
    is_fiducial: bool
    is_anew: bool
    offset_nm: Pair | None
    correlation: Known
    against: Count
    refusal: str
    waited_s: NotNegative = 0.0
    shape: Shape | None = None
    crc32: Checksum | None = None


class _RunnerUp(_Values):
    row: Count
    column: Count
    mean: Known
    std: Known
    value: Known
    exploring: Known = None


class _Insight(_Values):
    mean_std: Known = None
    spread_std: Known = None
    largest_std: Known = None
    log_likelihood: Known = None
    noise_std: Known = None
    fitted_noise_std: Known = None
    gain: Known = None
    exploring: Known = None
    rank: Known = None
    parameter: Known = None
    trapped: bool = False
    fit_failed: bool = False
    runners_up: tuple[_RunnerUp, ...] = ()


class _ProposalMade(_Event):
    step: Count
    row: Count
    column: Count
    x: Number
    y: Number
    mean: Known
    std: Known
    value: Known
    best: Known
    chosen_by: ChosenBy
    known: Count
    insight: _Insight | None = None
    waited_s: NotNegative = 0.0


class _Refusal(_Event):
    step: Count
    reason: str
    keep_out: bool


class _Veto(_Event):
    row: Count
    column: Count


class _Booked(_Event):
    exposure: ExposureValues


class _Times(_Values):
    instrument_s: Known
    waiting_s: Known
    human_s: Known
    agent_s: Known
    disk_s: Known


class _MeasurementTaken(_Event):
    step: Count
    target: Known
    error: Known = None
    x_nm: Number
    y_nm: Number
    detector: str
    exposure_s: Positive
    dose_e: Known
    energy_offset_ev: Number
    energy_dispersion_ev: Annotated[Number, AfterValidator(_not_zero)]
    channels: Size | None = None
    crc32: Checksum | None = None
    times: _Times | None = None
    drift_nm: Pair | None = None
    beam: Pair | None = None
    waited_s: NotNegative = 0.0
    booked: ExposureValues | None = None
    exposures: tuple[ExposureValues, ...] | None = None
    metadata: dict[str, Any] = {}


class _MetadataTold(_Event):
    metadata: dict[str, Any]


class _Maps(_Event):
    step: Count
    known: Count
    array: Annotated[str, Field(pattern=r"^[0-9]+-[0-9]+$")] | None = None
    crc32: Checksum | None = None


class _Change(_Values):
    old: Any
    new: Any


class _SettingsChanged(_Event):
    step: Count
    changes: dict[str, _Change]
    experience: str | None = None
    packages: dict[str, str] = {}


class _Targets(_Event):
    targets: tuple[Known, ...]
    errors: tuple[Known, ...] | None = None
    best_step: Count | None = None


class _Drawn(_Values):
    name: str


class _Soft(_Drawn):
    weight: Number


class _Regions(_Values):
    interest: tuple[_Drawn, ...]
    forbidden: tuple[_Drawn, ...]
    soft: tuple[_Soft, ...] = ()


class _RegionsDrawn(_Event):
    step: Count
    regions: _Regions
    old: _Regions | None = None


class _Queue(_Event):
    pixels: tuple[Pixel, ...]
    old: tuple[Pixel, ...] = ()


class _Alone(_Event):
    steps: int


class _Voted(_Event):
    of: Count
    vote: Vote
    old: Vote | None = None


class _Discard(_Event):
    of: Count
    is_discarded: bool


class _VoteTaken(_Values):
    of: Count
    vote: Vote


class _Finer(_Event):
    of: str
    after: Count
    area: Edges
    taken: tuple[Count, ...]
    queue: tuple[Pixel, ...]
    kept_out: tuple[Pixel, ...]
    votes: tuple[_VoteTaken, ...]


class _Branch(_Event):
    of: str


class _Warned(_Event):
    step: Count
    text: str
    about: str = ""


class _WarningOver(_Event):
    step: Count
    text: str
    since: Count
    about: str = ""


class _End(_Event):
    reason: FinishReason
    text: str


EVENTS: dict[str, type[_Event]] = {
    "start": _Start,
    "resume": _Resume,
    "survey": _Survey,
    "survey_again": _SurveyAgain,
    "proposal": _ProposalMade,
    "refusal": _Refusal,
    "veto": _Veto,
    "booked": _Booked,
    "measurement": _MeasurementTaken,
    "maps": _Maps,
    "metadata": _MetadataTold,
    "settings": _SettingsChanged,
    "targets": _Targets,
    "regions": _RegionsDrawn,
    "queue": _Queue,
    "alone": _Alone,
    "vote": _Voted,
    "discard": _Discard,
    "finer": _Finer,
    "wider": _Branch,
    "branch": _Branch,
    "warning": _Warned,
    "warning_over": _WarningOver,
    "end": _End,
}


def check_entry(entry: dict[str, Any], line: bytes) -> None:
    """Check one entry of a journal, and the line of JSON that it is.

    Raises
    ------
    ValueError
        In one sentence, if it is no event, or a field is missing or not possible.
    """
    event = entry.get("event")
    model = EVENTS.get(event) if isinstance(event, str) else None
    if model is None:
        raise ValueError(f"there is no event {shortened(event)}")
    try:
        model.model_validate_json(line)
    except ValidationError as error:
        raise ValueError(f"{event}: {mistake(error)}") from error
    # It is told in the window, where nothing may fail.
    sentence(entry)


def mistake(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the line"
    message = str(first["msg"]).removeprefix("Value error, ").splitlines()[0]
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where} is {shortened(first['input'])}: {message[:1].lower()}{message[1:]}"
