"""What each intervention changed: the choice without it, and what came after."""

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
"""So many steps after an intervention are looked at."""


@dataclass(frozen=True, eq=False)
class Intervention:
    """Something that a human did, and the first choice that was made under it.

    Attributes
    ----------
    words
        What was done, one sentence for each thing.
    chosen
        Where the run went.
    without
        Where the agent would have gone on the same data without it; None if that is
        not known, or nothing was left.
    distance_nm
        Between the two; NaN without the second.
    best_before, best_after
        The best target before the choice, and after this many `later` steps from it
        on, by the targets in force at the end.
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
        """The step of the choice, from 0."""
        return self.chosen.step

    @property
    def changed_the_choice(self) -> bool:
        """Whether the agent would have gone elsewhere."""
        return self.distance_nm > 0


def interventions(
    run: StoredRun,
    timeline: Timeline,
    shadows: Mapping[int, Proposal | None],
    answers: Mapping[int, Proposal | None],
) -> tuple[Intervention, ...]:
    """All interventions of a run, in order.

    Parameters
    ----------
    shadows
        What would have been chosen without a deed, by its number.
    answers
        What the agent proposes in the place of decisions, by their number.
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
    """What was vetoed, if that is all that was done: it is what was to be measured."""
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
    # A stroke of the brush is many changes of the regions.
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
