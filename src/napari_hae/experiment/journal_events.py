"""Events of the journal: one model for each kind of line.

A valid line has all fields, with finite numbers in a plausible range. An event has the
same values in memory and on disk: NaN is None, as JSON has no NaN.
"""

from __future__ import annotations

import math
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from napari_hae.experiment.array_files import LARGEST as LARGEST_ARRAY
from napari_hae.experiment.array_files import Announced
from napari_hae.experiment.ending import AbortedBy
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.refusals import LostExposure, RefusalReason
from napari_hae.experiment.votes import Vote
from napari_hae.printable import shortened
from napari_hae.types import LARGEST, BeamState, ChosenBy

MOST = 10_000_000
"""Upper limit for steps, lines of an image and measurements."""


class Actor(StrEnum):
    """Originator of an event."""

    PERSON = "human"
    PROGRAM = "automatic"
    INSTRUMENT = "instrument"
    RESUME = "resume"
    """Settings given when the run was resumed."""
    VOTES = "votes"
    """Votes of the user, by the target spectrum derived from them."""

    @property
    def is_person(self) -> bool:
        """Return whether the user is the originator."""
        return self in (Actor.PERSON, Actor.VOTES)


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


def _plain(value: Any) -> Any:
    """Convert a number of numpy, from instruments and scalarizers, to Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _none_for_nan(value: Any) -> Any:
    value = _plain(value)
    is_missing = isinstance(value, float) and not math.isfinite(value)
    return None if is_missing else value


Number = Annotated[float, BeforeValidator(_plain), Field(ge=-LARGEST, le=LARGEST)]
Positive = Annotated[float, BeforeValidator(_plain), Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, BeforeValidator(_plain), Field(ge=0, le=LARGEST)]
Known = Annotated[
    Annotated[float, Field(ge=-LARGEST, le=LARGEST)] | None,
    BeforeValidator(_none_for_nan),
]
Count = Annotated[int, BeforeValidator(_plain), Field(ge=0, le=MOST)]
Checksum = Annotated[int, Field(ge=0, lt=2**32)]
Size = Annotated[int, Field(ge=1, le=MOST)]
Shape = Annotated[tuple[Size, Size, Size], AfterValidator(_not_too_large)]
Pixel = tuple[Count, Count]
Pair = tuple[Number, Number]
Edges = tuple[Number, Number, Number, Number]
ExposureValues = tuple[
    Pair | Edges, NotNegative, Annotated[Count, Field(ge=1)], Known, str
]
"""Place or area, seconds of beam, points, electrons, and the gate's mark."""


class Values(BaseModel):
    """Values within an event."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, from_attributes=True)


class JournalEvent(Values):
    """Fields common to all events.

    Attributes
    ----------
    n
        Number of its line, from 0; set by the journal, as is the time.
    who
        None for events that the run itself causes.
    why
        Reason given by the user.
    """

    model_config = ConfigDict(extra="forbid")

    event: str
    time: Annotated[str, AfterValidator(_time)] = ""
    n: Count = 0
    who: Actor | None = None
    why: str = ""


class ArrayEvent(JournalEvent):
    """Event that announces an array.

    Attributes
    ----------
    crc32
        See `array_files.checksum`; None in records of older versions.
    """

    crc32: Checksum | None = None

    @property
    def announced(self) -> Announced:
        """Return the expected properties of the array, for reading it."""
        return Announced(None, self.crc32)


class ImageEvent(ArrayEvent):
    """Event that announces a survey image, `(detectors, rows, columns)`."""

    index: Count
    shape: Shape | None = None

    @property
    def announced(self) -> Announced:
        """Return the expected properties of the image, for reading it."""
        return Announced(self.shape, self.crc32)


class StartEvent(JournalEvent):
    """Start of a run; `experience` names the copy of earlier data for the model."""

    event: Literal["start"] = "start"
    format: Annotated[int, Field(ge=1, le=MOST)]
    version: str
    instrument: str
    instrument_settings: dict[str, Any]
    settings: dict[str, Any]
    experience: str | None = None
    packages: dict[str, str] = {}


class FormatEvent(JournalEvent):
    """Change of format: later lines are of a newer format than those before."""

    event: Literal["format"] = "format"
    format: Annotated[int, Field(ge=1, le=MOST)]


class ResumeEvent(JournalEvent):
    """Continuation of a stored run.

    Older versions asked the agent for a refused step as if for the first time:
    `counts_on` is False for them.
    """

    event: Literal["resume"] = "resume"
    version: str
    counts_on: bool = True


class SurveyEvent(ImageEvent):
    """Survey image was taken; `booked` is the dose counted by the gate."""

    event: Literal["survey"] = "survey"
    detectors: tuple[str, ...]
    fov_nm: tuple[Positive, Positive]
    dwell_time_s: NotNegative
    area: Edges = (0.0, 0.0, 1.0, 1.0)
    booked: ExposureValues | None = None


class SurveyAgainEvent(ImageEvent):
    """Survey image was taken again; fields as in `drift.ImageAgain`."""

    event: Literal["survey_again"] = "survey_again"
    step: Count
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


class RunnerUpValues(Values):
    """Place that was nearly proposed."""

    row: Count
    column: Count
    mean: Known
    std: Known
    value: Known
    exploring: Known = None


class InsightValues(Values):
    """State of the model when it proposed; fields as in `diagnostics.Insight`."""

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
    runners_up: tuple[RunnerUpValues, ...] = ()


class ProposalEvent(JournalEvent):
    """Proposal of a place.

    `waited_s` is the time spent waiting for the user since the last survey image.
    """

    event: Literal["proposal"] = "proposal"
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
    insight: InsightValues | None = None
    waited_s: NotNegative = 0.0


class RefusalEvent(JournalEvent):
    """Refusal of the last proposal of a step, which is not measured."""

    event: Literal["refusal"] = "refusal"
    step: Count
    reason: RefusalReason
    detail: str = ""


class VetoEvent(JournalEvent):
    """Exclusion, by the user, of a place that was not about to be measured."""

    event: Literal["veto"] = "veto"
    step: Count
    row: Count
    column: Count


class BookedEvent(JournalEvent):
    """Dose of an exposure that gave no spectrum or image.

    `field_nm` is `(height, width)` of the field of view of its place; older records
    lack it.
    """

    event: Literal["booked"] = "booked"
    exposure: ExposureValues
    field_nm: tuple[Positive, Positive] | None = None
    reason: LostExposure
    detail: str = ""


class TimesValues(Values):
    """Times of the parts of a step, in s."""

    instrument_s: Known
    waiting_s: Known
    human_s: Known
    agent_s: Known
    disk_s: Known


class SourceValues(Values):
    """Record and step of origin of a spectrum that was not measured here."""

    record: str
    step: Count


class MeasurementEvent(ArrayEvent):
    """Measurement of a spectrum; `exposures` if the gate counted several places."""

    event: Literal["measurement"] = "measurement"
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
    times: TimesValues | None = None
    drift_nm: Pair | None = None
    beam: Pair | None = None
    waited_s: NotNegative = 0.0
    booked: ExposureValues | None = None
    exposures: tuple[ExposureValues, ...] | None = None
    metadata: dict[str, Any] = {}
    source: SourceValues | None = None


class MetadataEvent(JournalEvent):
    """Metadata common to all spectra, from the first one."""

    event: Literal["metadata"] = "metadata"
    metadata: dict[str, Any]


class MapsEvent(ArrayEvent):
    """Predicted maps were stored; `array` is their name if the step's name is used."""

    event: Literal["maps"] = "maps"
    step: Count
    known: Count
    array: Annotated[str, Field(pattern=r"^[0-9]+-[0-9]+$")] | None = None

    @property
    def name(self) -> str:
        """Name of the array."""
        return self.array or str(self.step)


class Change(Values):
    """A section of the settings before and after."""

    old: Any
    new: Any


class SettingsEvent(JournalEvent):
    """Change of settings, by sections."""

    event: Literal["settings"] = "settings"
    step: Count
    changes: dict[str, Change]
    experience: str | None = None
    packages: dict[str, str] = {}


class TargetsEvent(JournalEvent):
    """New targets of all measurements."""

    event: Literal["targets"] = "targets"
    targets: tuple[Known, ...]
    errors: tuple[Known, ...] | None = None
    best_step: Count | None = None


class DrawnValues(Values):
    """Drawn region; its shape is in further fields, see `Regions.to_json`."""

    model_config = ConfigDict(extra="allow")

    name: str
    is_on: bool = True


class SoftValues(DrawnValues):
    """A soft region."""

    weight: Number


class RegionsValues(Values):
    """All regions."""

    interest: tuple[DrawnValues, ...]
    forbidden: tuple[DrawnValues, ...]
    soft: tuple[SoftValues, ...] = ()


class RegionsEvent(JournalEvent):
    """Regions in force from a step on; older records lack the previous ones."""

    event: Literal["regions"] = "regions"
    step: Count
    regions: RegionsValues
    old: RegionsValues | None = None


class QueueEvent(JournalEvent):
    """Change of the queue of places to be measured next."""

    event: Literal["queue"] = "queue"
    step: Count
    pixels: tuple[Pixel, ...]
    old: tuple[Pixel, ...] = ()


class AloneEvent(JournalEvent):
    """Permission for the agent to take some steps without approval."""

    event: Literal["alone"] = "alone"
    step: Count
    steps: int


class VoteEvent(JournalEvent):
    """Judgement of a spectrum by the user."""

    event: Literal["vote"] = "vote"
    step: Count
    of: Count
    vote: Vote
    old: Vote | None = None


class DiscardEvent(JournalEvent):
    """Exclusion of a measurement from training, or its restoration."""

    event: Literal["discard"] = "discard"
    step: Count
    of: Count
    is_discarded: bool


class VoteValues(Values):
    """Vote that is copied into a finer image."""

    of: Count
    vote: Vote


class FinerEvent(JournalEvent):
    """Continuation of another record in a finer image, with its measurements there."""

    event: Literal["finer"] = "finer"
    step: Count
    of: str
    after: Count
    area: Edges
    taken: tuple[Count, ...]
    queue: tuple[Pixel, ...]
    kept_out: tuple[Pixel, ...]
    votes: tuple[VoteValues, ...]


class WiderEvent(JournalEvent):
    """Continuation of the record after one in a finer image of it."""

    event: Literal["wider"] = "wider"
    step: Count
    of: str


class BranchEvent(JournalEvent):
    """Branch: the lines before are shared with another record."""

    event: Literal["branch"] = "branch"
    step: Count
    of: str


class WarningEvent(JournalEvent):
    """Warning that was shown; `about` is the subject of one that stays in force."""

    event: Literal["warning"] = "warning"
    step: Count
    text: str
    about: str = ""


class WarningOverEvent(JournalEvent):
    """End of a warning at a step."""

    event: Literal["warning_over"] = "warning_over"
    step: Count
    text: str
    since: Count
    about: str = ""


class EndEvent(JournalEvent):
    """End of the run; fields as in `ending.Ending`."""

    event: Literal["end"] = "end"
    reason: FinishReason
    text: str
    aborted_by: AbortedBy | None = None
    at_step: Count | None = None
    beam: BeamState | None = None


KINDS: tuple[type[JournalEvent], ...] = (
    StartEvent,
    FormatEvent,
    ResumeEvent,
    SurveyEvent,
    SurveyAgainEvent,
    ProposalEvent,
    RefusalEvent,
    VetoEvent,
    BookedEvent,
    MeasurementEvent,
    MapsEvent,
    MetadataEvent,
    SettingsEvent,
    TargetsEvent,
    RegionsEvent,
    QueueEvent,
    AloneEvent,
    VoteEvent,
    DiscardEvent,
    FinerEvent,
    WiderEvent,
    BranchEvent,
    WarningEvent,
    WarningOverEvent,
    EndEvent,
)
EVENTS = {str(kind.model_fields["event"].default): kind for kind in KINDS}
"""All kinds of events by their codes."""
EACH_STEP = ProposalEvent, MeasurementEvent, MapsEvent, MetadataEvent
"""Events that every step causes, too many to be shown."""


def mistake(error: ValidationError) -> str:
    """Return the first error that pydantic found, in one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the line"
    message = str(first["msg"]).removeprefix("Value error, ").splitlines()[0]
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where} is {shortened(first['input'])}: {message[:1].lower()}{message[1:]}"
