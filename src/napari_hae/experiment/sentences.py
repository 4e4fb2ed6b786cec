"""Sentences on the journal's events, for the window, the command line and reports.

A function returns the sentence of each kind of event, without the step, the given
reason, and the full stop:

    @_told.register
    def _queue(event: QueueEvent) -> str:
        return f"{who(event)} asked for {len(event.pixels)} places"
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from napari_hae.coordinates import place_text
from napari_hae.experiment.changes import changes, counted
from napari_hae.experiment.event_values import ending_of, number
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.journal_events import (
    Actor,
    AloneEvent,
    BookedEvent,
    BranchEvent,
    DiscardEvent,
    EndEvent,
    FinerEvent,
    FormatEvent,
    JournalEvent,
    MapsEvent,
    MeasurementEvent,
    MetadataEvent,
    ProposalEvent,
    QueueEvent,
    RefusalEvent,
    RegionsEvent,
    RegionsValues,
    ResumeEvent,
    SettingsEvent,
    StartEvent,
    SurveyAgainEvent,
    SurveyEvent,
    TargetsEvent,
    VetoEvent,
    VoteEvent,
    WarningEvent,
    WarningOverEvent,
    WiderEvent,
)
from napari_hae.experiment.refusals import LostExposure, RefusalReason
from napari_hae.instruments.dose import Exposure
from napari_hae.printable import printable_line
from napari_hae.types import WHOLE_FIELD, Area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.experiment.journal_events import DrawnValues

_WHO = {
    None: "the program",
    Actor.PERSON: "you",
    Actor.PROGRAM: "the program",
    Actor.INSTRUMENT: "the instrument",
    Actor.RESUME: "going on with the run",
    Actor.VOTES: "your votes",
}
_REFUSED = {
    RefusalReason.VETOED: "vetoed by you",
    RefusalReason.SUPERSEDED: "another place was taken",
    RefusalReason.CHANGED: "something was changed while it waited",
    RefusalReason.TIME_OVER: "the time budget is used up",
    RefusalReason.SAMPLE_LOST: "the sample was not found",
    RefusalReason.FORBIDDEN: "the beam may not go there",
    RefusalReason.LOCAL_DOSE: "the place has taken its dose",
    RefusalReason.SETTINGS: "the settings were changed",
    RefusalReason.EARLIER_REFUSED: "it counted on a proposal that was refused",
    RefusalReason.PLACE_ASKED_FOR: "you chose another place",
    RefusalReason.PLAN: "the plan comes first",
    RefusalReason.SOFT_REGIONS: "the soft regions were changed",
    RefusalReason.DISCARDED: "a measurement was discarded or taken in again",
    RefusalReason.KEPT_OUT: "a place was kept out",
}
_LOST = {
    LostExposure.RUN_ENDED: "the run ended",
    LostExposure.OTHER_AXIS: "its energy axis is not that of the exposures before it",
    LostExposure.FAILED: "it failed",
}


def sentence(event: JournalEvent) -> str:
    """Return an event as a sentence. Steps count from 1, as in the window."""
    text = printable_line(_told(event))
    if event.why:
        text = f"{text.rstrip('.')}, because: {printable_line(event.why)}"
    if not text.endswith((".", "!", "?")):
        text += "."
    step = step_of(event)
    if step is None or text.startswith("Step "):
        return text[:1].upper() + text[1:]
    return f"Step {step + 1}: {text}"


def step_of(event: JournalEvent) -> int | None:
    """Return the step of an event; None for an event of the whole run."""
    step = getattr(event, "step", None)
    return None if step is None else int(step)


def is_intervention(event: JournalEvent) -> bool:
    """Return whether the event changed the run, so that curves may have a kink."""
    return event.who is not None and bool(step_of(event))


def who(event: JournalEvent) -> str:
    """Return the originator of an event: "you" for the user."""
    return _WHO[event.who]


def refusal_text(reason: RefusalReason, detail: str) -> str:
    """Return the reason why a proposal was not measured."""
    return detail or _REFUSED[reason]


@singledispatch
def _told(event: JournalEvent) -> str:
    raise NotImplementedError(f"there is no sentence for {event.event}")


@_told.register
def _start(event: StartEvent) -> str:
    return f"the run began on {event.instrument}, napari-hae {event.version}"


@_told.register
def _resume(event: ResumeEvent) -> str:
    return f"the run was taken up again, napari-hae {event.version}"


@_told.register
def _survey(event: SurveyEvent) -> str:
    height, width = event.fov_nm
    detectors = ", ".join(event.detectors)
    text = f"a survey image ({detectors}) of {height:.4g} × {width:.4g} nm"
    area = Area(*event.area)
    if area == WHOLE_FIELD:
        return text
    where = place_text(area, (height / area.height, width / area.width))
    return f"{text}, the part {where} of the field"


@_told.register
def _survey_again(event: SurveyAgainEvent) -> str:
    what = "the fiducial region" if event.is_fiducial else "the survey image"
    text = f"{who(event)} took {what} again"
    if event.refusal:
        return f"{text}, but the sample was not found: {event.refusal}"
    if event.offset_nm is None:
        return text
    down, to_the_right = event.offset_nm
    return f"{text}: the sample has drifted to x {to_the_right:+.3g}, y {down:+.3g} nm"


@_told.register
def _proposal(event: ProposalEvent) -> str:
    text = f"{event.chosen_by} chose row {event.row}, column {event.column}"
    if event.mean is None:
        return text
    return f"{text}, predicted {event.mean:.3g} ± {number(event.std):.2g}"


@_told.register
def _refusal(event: RefusalEvent) -> str:
    kept_out = "; its place is kept out" if event.reason.keeps_out else ""
    reason = refusal_text(event.reason, event.detail)
    return f"a proposal was not measured: {reason}{kept_out}"


@_told.register
def _veto(event: VetoEvent) -> str:
    return f"{who(event)} kept row {event.row}, column {event.column} out"


@_told.register
def _booked(event: BookedEvent) -> str:
    exposure = Exposure.from_json(event.exposure)
    what = "a scan" if isinstance(exposure.where, Area) else "an exposure"
    text = f"{what} of {exposure.beam_on_s:.3g} s"
    if event.field_nm is not None:
        text += f" at {place_text(exposure.where, event.field_nm)}"
    reason = event.detail or _LOST[event.reason]
    return f"{text} came to nothing; its dose counts, because: {reason}"


@_told.register
def _measurement(event: MeasurementEvent) -> str:
    target = event.target
    found = "no target" if target is None else f"a target of {target:.4g}"
    return f"{found} at x {event.x_nm:.4g} nm, y {event.y_nm:.4g} nm"


@_told.register
def _maps(event: MapsEvent) -> str:
    return f"the maps from {event.known} measurements were stored"


@_told.register
def _settings(event: SettingsEvent) -> str:
    parts = [
        part
        for section, change in event.changes.items()
        for part in changes(section, change.old, change.new)
    ]
    return f"{who(event)} {'; '.join(parts)}"


@_told.register
def _targets(event: TargetsEvent) -> str:
    text = counted(len(event.targets), "target was", "targets were") + " recomputed"
    best = event.best_step
    return text if best is None else f"{text}; the best is now step {best + 1}"


@_told.register
def _regions(event: RegionsEvent) -> str:
    text = f"the beam may go {_where(event.regions)}"
    old = event.old
    # Older records lack the previous regions; before the first step there were none.
    if old is None or old == event.regions or _is_first(event.step, old):
        return text
    before = _where(old)
    if f"the beam may go {before}" == text:
        return f"{text}; what is drawn was changed"
    return f"{text}; before: {before}"


def _is_first(step: int, old: RegionsValues) -> bool:
    return step == 0 and not (old.interest or old.forbidden or old.soft)


def _where(drawn: RegionsValues) -> str:
    """Return the allowed area of the beam, by the names of regions."""
    # Regions that are switched off stay in the journal.
    interest = [each for each in drawn.interest if each.is_on]
    soft = [each for each in drawn.soft if each.is_on]
    named: tuple[tuple[str, Sequence[DrawnValues]], ...] = (
        ("only in", interest),
        ("not in", [each for each in drawn.forbidden if each.is_on]),
        ("rather in", [each for each in soft if each.weight > 0]),
        ("rather not in", [each for each in soft if each.weight < 0]),
    )
    parts = [
        f"{words} {', '.join(each.name for each in regions)}"
        for words, regions in named
        if regions
    ]
    if not interest:
        parts = ["anywhere", *parts]
    first, *others = parts
    return f"{first}{', but ' if others else ''}{', '.join(others)}"


@_told.register
def _queue(event: QueueEvent) -> str:
    new, old = event.pixels, event.old
    if not new:
        return f"{who(event)} emptied the queue"
    if more := [pixel for pixel in new if pixel not in old]:
        places = counted(len(more), "place", "places")
        wait = f"; {len(new)} wait" if len(new) > len(more) else ""
        return f"{who(event)} queued {places} to measure next{wait}"
    if gone := len(old) - len(new):
        places = counted(gone, "place", "places")
        return f"{who(event)} took {places} off the queue; {len(new)} left"
    return f"{who(event)} put the queue in another order"


@_told.register
def _alone(event: AloneEvent) -> str:
    steps = counted(event.steps, "step", "steps")
    return f"{who(event)} let the agent go alone for {steps}"


@_told.register
def _vote(event: VoteEvent) -> str:
    called = f"called the spectrum of step {event.of + 1} {event.vote}"
    before = f", {event.old} before" if event.old else ""
    return f"{who(event)} {called}{before}"


@_told.register
def _discard(event: DiscardEvent) -> str:
    did = "discarded" if event.is_discarded else "took back in"
    return f"{who(event)} {did} the measurement of step {event.of + 1}"


@_told.register
def _branch(event: BranchEvent) -> str:
    return f"{who(event)} went back to here; what was before is shared with {event.of}"


@_told.register
def _wider(event: WiderEvent) -> str:
    return f"{who(event)} came back from the finer image of {event.of}"


@_told.register
def _finer(event: FinerEvent) -> str:
    taken = counted(len(event.taken), "measurement was", "measurements were")
    return (
        f"{who(event)} had a finer image taken of the part {Area(*event.area)} of "
        f"the field, after step {event.after} of {event.of}; {taken} taken along"
    )


@_told.register
def _warning(event: WarningEvent) -> str:
    return event.text


@_told.register
def _warning_over(event: WarningOverEvent) -> str:
    return f"over since step {event.since + 1}: {event.text}"


@_told.register
def _end(event: EndEvent) -> str:
    ending = ending_of(event)
    was = "" if ending.reason is FinishReason.FAILED else "was "
    return f"the run {was}{ending}"


@_told.register
def _metadata(event: MetadataEvent) -> str:
    entries = counted(len(event.metadata), "entry", "entries")
    return f"the metadata of the first spectrum were stored ({entries})"


@_told.register
def _format(event: FormatEvent) -> str:
    return f"the record was gone on with by a newer program (format {event.format})"
