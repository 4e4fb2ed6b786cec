"""Decisions of a stored run, each with its basis and its origin."""

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
"""Drift of the sample, `(y, x)` in nm, and its margin of error in nm."""
UNMOVED: Moved = ((0.0, 0.0), 0.0)

_SAME_CHOICE = SurveyAgainEvent
"""Orders of the user that do not influence the choice."""


@dataclass(frozen=True, eq=False)
class Decision:
    """One proposal, with the state it was based on.

    Attributes
    ----------
    attempt
        Number of earlier requests for the same step.
    regions, vetoed
        In force when it was computed; with look-ahead this is before it was journalled.
    moved
        Assumed drift of the sample at that time.
    pending
        Numbers of earlier decisions that were pending at that time.
    is_refused
        True if it was refused, and so not measured.
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
    """Actions of a human between two decisions, as journalled.

    Attributes
    ----------
    events
        The journal's events, in order.
    before
        Number of the last decision before it, which has the state of the agent at the
        time of the action.
    after
        Number of the first decision after it.
    regions, vetoed
        In force before the action.
    """

    events: tuple[JournalEvent, ...]
    before: int
    after: int
    regions: Regions
    vetoed: frozenset[Pixel]


@dataclass(frozen=True, eq=False)
class Timeline:
    """Decisions of a run, and the actions of a human between them, in order.

    Attributes
    ----------
    retargeted_by_human
        True if a human was the cause, for each recalculation of all targets.
    """

    decisions: tuple[Decision, ...]
    deeds: tuple[Deed, ...]
    retargeted_by_human: tuple[bool, ...]


@dataclass(eq=False)
class _Raw:
    """Proposal that is still being assembled from the journal."""

    proposal: Proposal
    place: int
    attempt: int
    refused_at: int | None = None


_State = tuple[Regions, frozenset[Pixel]]
"""Regions and vetoed pixels."""


def timeline_of(run: StoredRun) -> Timeline:
    """Read the journal of a run again, for the basis of its decisions."""
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
    """Return all proposals with an outcome, and the state before each line."""
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
    """Arrays and settings of a stored run, already read; see `run_state.Sources`."""

    is_survey_damaged, is_size_known = False, False

    def __init__(self, run: StoredRun) -> None:
        self._run = run

    def image(self, event: SurveyEvent) -> NDArray[np.float32]:
        """Return the survey image."""
        assert self._run.survey is not None
        return self._run.survey.data

    def counts(self, event: MeasurementEvent) -> NDArray[np.float32]:
        """Return the spectrum of a step."""
        return self._run.measurements[event.step].spectrum.counts

    def settings(
        self, values: dict[str, Any], packages: dict[str, str]
    ) -> ExperimentSettings:
        """Return the settings at the end: those of decisions come from the history."""
        return self._run.settings

    def experience(self, name: str) -> str:
        """Return the name alone."""
        return name


def _is(event: ProposalEvent, proposal: Proposal) -> bool:
    """Return whether an event is that of a proposal with an outcome."""
    kept = proposal.step, proposal.row, proposal.column, proposal.known
    return (event.step, event.row, event.column, event.known) == kept


def _made_at(decision: _Raw, earlier: list[_Raw]) -> _Raw:
    """Return the decision at which this one was computed, earlier with look-ahead."""
    known = decision.proposal.known
    if decision.proposal.is_of_agent and known < decision.proposal.step:
        for other in reversed(earlier):
            if other.proposal.step == known:
                return other
    return decision


def _moves(run: StoredRun, events: Sequence[JournalEvent]) -> Callable[[_Raw], Moved]:
    """Return a function for the assumed drift of the sample at a decision's line."""
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
    """Return human actions during the run, grouped by the next decision."""
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
    """Return whether a human was the cause of each line with new targets.

    The cause is in the line before; older formats lack it.
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
    """Return the changes of settings in the order in which the agent received them."""
    return [x for x in run.history if isinstance(x, SettingsChange)]
