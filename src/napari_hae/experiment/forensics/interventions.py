"""Effect of each intervention: the choice without it, and the targets that followed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.experiment.changes import changes
from napari_hae.experiment.forensics.retracing import Grounds
from napari_hae.experiment.journal_events import (
    AloneEvent,
    BranchEvent,
    DiscardEvent,
    FinerEvent,
    JournalEvent,
    QueueEvent,
    RefusalEvent,
    RegionsEvent,
    SettingsEvent,
    VetoEvent,
    VoteEvent,
    WiderEvent,
)
from napari_hae.types import ChosenBy, Proposal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_hae.experiment.forensics.timeline import Decision, Deed, Timeline
    from napari_hae.experiment.stored import StoredRun

_SAID: dict[type[JournalEvent], str] = {
    QueueEvent: "you said where to measure next",
    VetoEvent: "you kept a place out",
    AloneEvent: "you let the agent go on without asking",
    VoteEvent: "you voted on a spectrum",
    DiscardEvent: "you discarded a measurement, or took it in again",
    BranchEvent: "you went back to here",
    FinerEvent: "you had a finer image taken",
    WiderEvent: "you came back from a finer image",
}
LATER = 10
"""Number of steps after an intervention that are examined."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """Action of a human, and the first choice made after it.

    Attributes
    ----------
    words
        Description of the action, one sentence per event.
    chosen
        Pixel that the run chose.
    without
        Pixel that the agent would have chosen on the same data without the action; None
        if that is unknown, or no candidate was left.
    distance_nm
        Distance between the two; NaN without the second.
    best_before, best_after
        Best target before the choice, and `later` steps after it, by the targets in
        force at the end.
    """

    words: tuple[str, ...]
    chosen: Proposal
    without: Proposal | None
    distance_nm: float
    best_before: float
    best_after: float
    later: int

    @property
    def step(self) -> int:
        """Return the step of the choice, from 0."""
        return self.chosen.step

    @property
    def changed_the_choice(self) -> bool:
        """Return whether the agent would have chosen another pixel."""
        return self.distance_nm > 0


def interventions(
    run: StoredRun,
    timeline: Timeline,
    shadows: Mapping[int, Proposal | None],
    answers: Mapping[int, Proposal | None],
) -> tuple[Intervention, ...]:
    """Return all interventions of a run, in order.

    Parameters
    ----------
    shadows
        Choices without an action, by the number of the action.
    answers
        Proposals of the agent on replay, by the number of the decision.
    """
    found = []
    explained = set()
    for number, deed in enumerate(timeline.deeds):
        decision = timeline.decisions[deed.after]
        explained.add(decision.number)
        without = _vetoed(timeline, deed) or shadows.get(number)
        words = _words(run, timeline, deed)
        if decision.proposal.chosen_by is ChosenBy.HUMAN:
            words = (*words, "you chose the place")
        found.append(_intervention(run, words, decision, without))
    for decision in timeline.decisions:
        is_yours = decision.proposal.chosen_by is ChosenBy.HUMAN
        if is_yours and decision.number not in explained:
            without = answers.get(decision.number)
            words = ("you chose the place",)
            found.append(_intervention(run, words, decision, without))
    return tuple(sorted(found, key=lambda each: each.step))


def _intervention(
    run: StoredRun,
    words: tuple[str, ...],
    decision: Decision,
    without: Proposal | None,
) -> Intervention:
    chosen, goal = decision.proposal, run.settings.goal
    targets = [m.target for m in run.measurements]
    later = max(0, min(LATER, len(targets) - chosen.step))
    return Intervention(
        words=words,
        chosen=chosen,
        without=without,
        distance_nm=math.nan if without is None else _nm(run, chosen, without),
        best_before=goal.best(targets[: chosen.step]),
        best_after=goal.best(targets[: chosen.step + later]),
        later=later,
    )


def _nm(run: StoredRun, one: Proposal, other: Proposal) -> float:
    places = (np.array(run.frame.nm(each.position)) for each in (one, other))
    return float(np.hypot(*(next(places) - next(places))))


def _vetoed(timeline: Timeline, deed: Deed) -> Proposal | None:
    """Return the vetoed place if only that was done: it was the agent's choice."""
    if len(deed.events) == 1 and isinstance(deed.events[0], RefusalEvent):
        return timeline.decisions[deed.before].proposal
    return None


def _words(run: StoredRun, timeline: Timeline, deed: Deed) -> tuple[str, ...]:
    sentences: list[str] = []
    for event in deed.events:
        match event:
            case SettingsEvent():
                sentences += _of_settings(event)
            case RegionsEvent():
                sentences.append(_of_regions(run, timeline, deed))
            case RefusalEvent():
                sentences.append("you vetoed the proposal")
            case _:
                sentences.append(_SAID[type(event)])
        if event.why and sentences:
            sentences[-1] += f" ({event.why})"
    # One brush stroke is many changes of the regions.
    return tuple(dict.fromkeys(sentences))


def _of_regions(run: StoredRun, timeline: Timeline, deed: Deed) -> str:
    after = timeline.decisions[deed.after]
    grounds = Grounds(run)
    old, new = (grounds.of(each, frozenset()) for each in (deed.regions, after.regions))
    before, now = float(old.allowed.mean()), float(new.allowed.mean())
    if np.array_equal(old.allowed, new.allowed):
        soft = [
            f"{each.region.name} by {each.weight:+.3g}" for each in after.regions.soft
        ]
        return f"you changed the soft regions to {', '.join(soft) or 'none'}"
    return (
        f"you changed the regions: {now:.0%} of the field may be measured, "
        f"{before:.0%} before"
    )


def _of_settings(event: SettingsEvent) -> list[str]:
    return [
        f"you {change}"
        for section, values in event.changes.items()
        for change in changes(section, values.old, values.new)
    ]
