"""Events of the journal: one model for each kind of line.

A line that passes has all fields, with finite numbers of possible size. In memory and
on disk an event has the same values: NaN is None, as JSON has no NaN.
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
"""No run has more steps, lines of an image or measurements."""


class Actor(StrEnum):
    """Who brought something about."""

    PERSON = "human"
    PROGRAM = "automatic"
    INSTRUMENT = "instrument"
    RESUME = "resume"
    """The settings with which a run was gone on with."""
    VOTES = "votes"
    """The votes of a person, through the target spectrum that follows from them."""

    @property
    def is_person(self) -> bool:
        """Whether a person did it."""
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
    """Return a number of numpy, as instruments and scalarizers give, as Python's."""
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
    """Fields that all events have.

    Attributes
    ----------
    n
        Number of its line, from 0; the journal sets it, and the time.
    who
        None for what comes with the run by itself.
    why
        The reason that a person gave.
    """

    model_config = ConfigDict(extra="forbid")

    event: str
    time: Annotated[str, AfterValidator(_time)] = ""
    n: Count = 0
    who: Actor | None = None
    why: str = ""


class ArrayEvent(JournalEvent):
    """An event that announces an array.

    Attributes
    ----------
    crc32
        See `array_files.checksum`; None in records of older programs.
    """

    crc32: Checksum | None = None

    @property
    def announced(self) -> Announced:
        """The expectations of the array, for reading it."""
        return Announced(None, self.crc32)


class ImageEvent(ArrayEvent):
    """An event that announces a survey image, `(detectors, rows, columns)`."""

    index: Count
    shape: Shape | None = None

    @property
    def announced(self) -> Announced:
        """The expectations of the image, for reading it."""
        return Announced(self.shape, self.crc32)


class StartEvent(JournalEvent):
    """A run begins. `experience` names the copy of what the model learned before."""

    event: Literal["start"] = "start"
    format: Annotated[int, Field(ge=1, le=MOST)]
    version: str
    instrument: str
    instrument_settings: dict[str, Any]
    settings: dict[str, Any]
    experience: str | None = None
    packages: dict[str, str] = {}


class FormatEvent(JournalEvent):
    """From here on the lines are of a newer format than those before."""

    event: Literal["format"] = "format"
    format: Annotated[int, Field(ge=1, le=MOST)]


class ResumeEvent(JournalEvent):
    """A stored run is gone on with.

    Older programs asked the agent for a refused step as if for the first time:
    `counts_on` is False for them.
    """

    event: Literal["resume"] = "resume"
    version: str
    counts_on: bool = True


class SurveyEvent(ImageEvent):
    """The survey image was taken; `booked` is what the gate counted for it."""

    event: Literal["survey"] = "survey"
    detectors: tuple[str, ...]
    fov_nm: tuple[Positive, Positive]
    dwell_time_s: NotNegative
    area: Edges = (0.0, 0.0, 1.0, 1.0)
    booked: ExposureValues | None = None


class SurveyAgainEvent(ImageEvent):
    """The survey image was taken again; fields as in `drift.ImageAgain`."""

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
    """A place that came close to being proposed."""

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
    """A place was proposed.

    `waited_s` tells for how long a person was waited for since the last survey image.
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
    """The last proposal of a step is not measured."""

    event: Literal["refusal"] = "refusal"
    step: Count
    reason: RefusalReason
    detail: str = ""


class VetoEvent(JournalEvent):
    """A person keeps a place out which was not to be measured now."""

    event: Literal["veto"] = "veto"
    step: Count
    row: Count
    column: Count


class BookedEvent(JournalEvent):
    """Dose of an exposure that gave no spectrum or image.

    `field_nm` is `(height, width)` of the field of view that its place is in; older
    records do not have it.
    """

    event: Literal["booked"] = "booked"
    exposure: ExposureValues
    field_nm: tuple[Positive, Positive] | None = None
    reason: LostExposure
    detail: str = ""


class TimesValues(Values):
    """Shares of the time of a step, in s."""

    instrument_s: Known
    waiting_s: Known
    human_s: Known
    agent_s: Known
    disk_s: Known


class SourceValues(Values):
    """Record and step that a spectrum was taken from, if not measured here."""

    record: str
    step: Count


class MeasurementEvent(ArrayEvent):
    """A spectrum was taken. Where the gate counted several places, `exposures`."""

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
    """Metadata that all spectra share, as the first one had them."""

    event: Literal["metadata"] = "metadata"
    metadata: dict[str, Any]


class MapsEvent(ArrayEvent):
    """Predicted maps were stored. `array` names them where the step is taken."""

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
    """Settings were changed, by sections."""

    event: Literal["settings"] = "settings"
    step: Count
    changes: dict[str, Change]
    experience: str | None = None
    packages: dict[str, str] = {}


class TargetsEvent(JournalEvent):
    """All measurements got new targets."""

    event: Literal["targets"] = "targets"
    targets: tuple[Known, ...]
    errors: tuple[Known, ...] | None = None
    best_step: Count | None = None


class DrawnValues(Values):
    """A drawn region; its shape is in further fields, see `Regions.to_json`."""

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
    """Other regions hold from a step on; older records do not say what held before."""

    event: Literal["regions"] = "regions"
    step: Count
    regions: RegionsValues
    old: RegionsValues | None = None


class QueueEvent(JournalEvent):
    """Other places wait to be measured next."""

    event: Literal["queue"] = "queue"
    step: Count
    pixels: tuple[Pixel, ...]
    old: tuple[Pixel, ...] = ()


class AloneEvent(JournalEvent):
    """The agent needs no approval for some steps."""

    event: Literal["alone"] = "alone"
    step: Count
    steps: int


class VoteEvent(JournalEvent):
    """A person judged a spectrum."""

    event: Literal["vote"] = "vote"
    step: Count
    of: Count
    vote: Vote
    old: Vote | None = None


class DiscardEvent(JournalEvent):
    """A measurement is left out of training, or taken in again."""

    event: Literal["discard"] = "discard"
    step: Count
    of: Count
    is_discarded: bool


class VoteValues(Values):
    """A vote that is taken along into a finer image."""

    of: Count
    vote: Vote


class FinerEvent(JournalEvent):
    """The record goes on from another one in a finer image, with what lies in it."""

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
    """The record is gone on with after one in a finer image of it."""

    event: Literal["wider"] = "wider"
    step: Count
    of: str


class BranchEvent(JournalEvent):
    """The lines before are those of another record, which this one leaves here."""

    event: Literal["branch"] = "branch"
    step: Count
    of: str


class WarningEvent(JournalEvent):
    """A warning was shown; `about` names what stands until it is over."""

    event: Literal["warning"] = "warning"
    step: Count
    text: str
    about: str = ""


class WarningOverEvent(JournalEvent):
    """A warning does not hold since a step."""

    event: Literal["warning_over"] = "warning_over"
    step: Count
    text: str
    since: Count
    about: str = ""


class EndEvent(JournalEvent):
    """The run ended; fields as in `ending.Ending`."""

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
"""Events that come with the steps by themselves, and are too many to be told."""


def mistake(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, in one sentence."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the line"
    message = str(first["msg"]).removeprefix("Value error, ").splitlines()[0]
    if first["type"] == "missing":
        return f"{where} is missing"
    return f"{where} is {shortened(first['input'])}: {message[:1].lower()}{message[1:]}"
