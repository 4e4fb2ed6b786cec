"""The decisions of a stored run, each with all that was decided on, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hae.experiment.drift import Drift
from napari_hae.experiment.event_values import image_again_of
from napari_hae.experiment.history import SettingsChange
from napari_hae.experiment.journal_events import (
    ProposalEvent,
    RefusalEvent,
    ResumeEvent,
    SurveyAgainEvent,
    TargetsEvent,
)
from napari_hae.experiment.run_state import RunState
from napari_hae.regions.regions import Regions
from napari_hae.types import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.journal_events import (
        JournalEvent,
        MeasurementEvent,
        SurveyEvent,
    )
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun

Pixel = tuple[int, int]

Moved = tuple[tuple[float, float], float]
"""How far the sample has drifted, `(y, x)` in nm, and to within what margin in nm."""
UNMOVED: Moved = ((0.0, 0.0), 0.0)

_SAME_CHOICE = SurveyAgainEvent
"""What a person may order that is no reason to choose otherwise."""


@dataclass(frozen=True, eq=False)
class Decision:
    """One proposal, with what it was made on.

    Attributes
    ----------
    attempt
        How often its step was asked for before.
    regions, vetoed
        In force when it was made, which is earlier than when it was journalled if it
        was computed ahead.
    moved
        How far the sample was taken to have drifted then.
    pending
        The numbers of earlier decisions that were under way then.
    is_refused
        Whether it was not measured.
    """

    number: int
    proposal: Proposal
    attempt: int
    regions: Regions
    vetoed: frozenset[Pixel]
    moved: Moved
    pending: tuple[int, ...]
    is_refused: bool


@dataclass(frozen=True, eq=False)
class Deed:
    """What a human did between two decisions, as it stands in the journal.

    Attributes
    ----------
    events
        The journal's events, in order.
    before
        The number of the last decision before it, whose state of the agent is the one
        that it met.
    after
        The number of the first decision that was made under it.
    regions, vetoed
        In force before it.
    """

    events: tuple[JournalEvent, ...]
    before: int
    after: int
    regions: Regions
    vetoed: frozenset[Pixel]


@dataclass(frozen=True, eq=False)
class Timeline:
    """The decisions of a run, and what a human did between them, in order.

    Attributes
    ----------
    retargeted_by_human
        For each time that all measurements got new targets, whether a human was the
        cause.
    """

    decisions: tuple[Decision, ...]
    deeds: tuple[Deed, ...]
    retargeted_by_human: tuple[bool, ...]


@dataclass(eq=False)
class _Raw:
    """A proposal on its way through the journal."""

    proposal: Proposal
    place: int
    attempt: int
    refused_at: int | None = None


_State = tuple[Regions, frozenset[Pixel]]
"""Regions and vetoed pixels."""


def timeline_of(run: StoredRun) -> Timeline:
    """Read the journal of a run once more, for what decisions rested on."""
    events = run.journal
    raw, states = _decisions(run, events)
    made_at = [_made_at(each, raw[:number]) for number, each in enumerate(raw)]
    moved = _moves(run, events)
    decisions = []
    for number, (each, source) in enumerate(zip(raw, made_at, strict=True)):
        pending = tuple(
            earlier
            for earlier, other in enumerate(raw[:number])
            if other.proposal.step >= each.proposal.known
            and (other.refused_at is None or other.refused_at > source.place)
        )
        decisions.append(
            Decision(
                number,
                each.proposal,
                each.attempt,
                *states[source.place],
                moved(source),
                pending,
                each.refused_at is not None,
            )
        )
    places = [source.place for source in made_at]
    deeds = _deeds(events, raw, places, states)
    return Timeline(tuple(decisions), deeds, _retargetings(events))


def _decisions(
    run: StoredRun, events: Sequence[JournalEvent]
) -> tuple[list[_Raw], list[_State]]:
    """All proposals that came to something, and what held before each line."""
    proposals = iter([x for x in run.history if isinstance(x, Proposal)])
    upcoming = next(proposals, None)
    found: list[_Raw] = []
    open_: dict[int, _Raw] = {}
    state = RunState(_Known(run))
    states: list[_State] = []
    for place, event in enumerate(events):
        states.append((state.regions, frozenset(state.vetoed)))
        match event:
            case ResumeEvent():
                open_.clear()
            case ProposalEvent() if upcoming is not None and _is(event, upcoming):
                each = _Raw(upcoming, place, state.attempts[upcoming.step])
                found.append(each)
                open_[upcoming.step] = each
                upcoming = next(proposals, None)
            case RefusalEvent() if event.step in open_:
                open_.pop(event.step).refused_at = place
        state.apply(event)
    return found, states


class _Known:
    """What the events of a stored run name, as it was read; see `run_state.Sources`."""

    is_survey_damaged, is_size_known = False, False

    def __init__(self, run: StoredRun) -> None:
        self._run = run

    def image(self, event: SurveyEvent) -> NDArray[np.float32]:
        """The survey image."""
        assert self._run.survey is not None
        return self._run.survey.data

    def counts(self, event: MeasurementEvent) -> NDArray[np.float32]:
        """The spectrum of a step."""
        return self._run.measurements[event.step].spectrum.counts

    def settings(
        self, values: dict[str, Any], packages: dict[str, str]
    ) -> ExperimentSettings:
        """Those at the end: decisions have theirs from the history."""
        return self._run.settings

    def experience(self, name: str) -> str:
        """The name alone."""
        return name


def _is(event: ProposalEvent, proposal: Proposal) -> bool:
    """Whether an event is that of a proposal; others came to nothing."""
    kept = proposal.step, proposal.row, proposal.column, proposal.known
    return (event.step, event.row, event.column, event.known) == kept


def _made_at(decision: _Raw, earlier: list[_Raw]) -> _Raw:
    """The decision at whose line this one was made: with look-ahead, an earlier one."""
    known = decision.proposal.known
    if decision.proposal.is_of_agent and known < decision.proposal.step:
        for other in reversed(earlier):
            if other.proposal.step == known:
                return other
    return decision


def _moves(run: StoredRun, events: Sequence[JournalEvent]) -> Callable[[_Raw], Moved]:
    """Tells where the sample was taken to be at a decision's line."""
    images = [
        (place, image_again_of(event))
        for place, event in enumerate(events)
        if isinstance(event, SurveyAgainEvent)
    ]
    if run.survey is None or not images:
        return lambda source: UNMOVED
    exposed_s = [0.0]
    for measurement in run.measurements:
        exposed_s.append(exposed_s[-1] + measurement.spectrum.exposure_s)
    first, pixel_nm = Drift.after(run.survey), max(run.frame.pixel_nm)

    def moved(source: _Raw) -> Moved:
        drift = first
        for place, taken in images:
            if place < source.place:
                drift = taken.added_to(drift)
        line = events[source.place]
        drift = drift.waited(line.waited_s if isinstance(line, ProposalEvent) else 0.0)
        time_s = exposed_s[source.proposal.step] + drift.scanned_s
        return drift.at(time_s), drift.margin_nm(time_s, pixel_nm)

    return moved


def _deeds(
    events: Sequence[JournalEvent],
    raw: list[_Raw],
    made_at: list[int],
    states: list[_State],
) -> tuple[Deed, ...]:
    """What a human did in mid-run, in groups that met the same decision first."""
    groups: dict[int, list[tuple[int, JournalEvent]]] = {}
    for place, event in enumerate(events):
        if not (raw and place > raw[0].place and _is_of_a_person(event)):
            continue
        after = next((n for n, made in enumerate(made_at) if made > place), None)
        if after is not None:
            groups.setdefault(after, []).append((place, event))
    deeds = []
    for after, group in groups.items():
        first = group[0][0]
        before = max(n for n, each in enumerate(raw) if each.place < first)
        lines = tuple(event for _, event in group)
        deeds.append(Deed(lines, before, after, *states[first]))
    return tuple(deeds)


def _retargetings(events: Sequence[JournalEvent]) -> tuple[bool, ...]:
    """Whether a human was the cause of each line with new targets.

    The cause stands in the line before; none does where an older format was read.
    """
    return tuple(
        _is_of_a_person(events[place - 1])
        for place, event in enumerate(events)
        if isinstance(event, TargetsEvent)
    )


def _is_of_a_person(event: JournalEvent) -> bool:
    if event.who is None or isinstance(event, _SAME_CHOICE):
        return False
    return event.who.is_person


def settings_changes(run: StoredRun) -> list[SettingsChange]:
    """The changes of settings in the order in which the agent hears of them."""
    return [x for x in run.history if isinstance(x, SettingsChange)]
