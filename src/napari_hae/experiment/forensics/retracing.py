"""Leads an agent through a stored run again, and asks it at every decision."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hae.agent.policy import Exhausted, Policy
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.forensics.timeline import UNMOVED, settings_changes
from napari_hae.experiment.resume import replay
from napari_hae.regions.allowed_field import AllowedField

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.forensics.timeline import (
        Decision,
        Moved,
        Pixel,
        Timeline,
    )
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.regions.regions import Regions
    from napari_hae.types import Measurement, PredictionMaps, Proposal

Answer = tuple["Proposal | None", "PredictionMaps | None"]
"""What is proposed, None if nothing is left; and the maps it rests on, if any."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Where the agent might measure, and where it would rather.

    Attributes
    ----------
    allowed
        Shape `(rows, columns)`, True where a measurement is allowed.
    preference
        Of soft regions, same shape, as `Regions.preference` gives it.
    reachable
        Where the experiment might have measured, whatever the agent may choose now.
    """

    allowed: NDArray[np.bool_]
    preference: NDArray[np.float64] | None
    reachable: NDArray[np.bool_]


class Grounds:
    """Where the agent might measure, as regions changed.

    Parameters
    ----------
    among
        Pixels that nothing outside of is asked for, `(rows, columns)`; None: all.
    """

    def __init__(self, run: StoredRun, among: NDArray[np.bool_] | None = None) -> None:
        self._frame, self._among = run.frame, among
        self._newest: tuple[Regions, Moved, Ground] | None = None

    def of(
        self, regions: Regions, vetoed: frozenset[Pixel], moved: Moved = UNMOVED
    ) -> Ground:
        """The ground under regions and vetoes, on a sample that has moved."""
        if self._newest is None or self._newest[:2] != (regions, moved):
            drift_nm, margin_nm = moved
            grown = regions.with_margin(margin_nm)
            mask = AllowedField(self._frame, grown, drift_nm).mask()
            ground = Ground(mask, regions.preference(self._frame), mask)
            self._newest = regions, moved, ground
        newest = self._newest[2]
        reachable = newest.reachable.copy()
        for pixel in vetoed:
            reachable[pixel] = False
        allowed = reachable if self._among is None else reachable & self._among
        return Ground(allowed, newest.preference, reachable)


def ask(
    policy: Policy,
    decision: Decision,
    pending: Sequence[Pixel],
    ground: Ground,
) -> Answer:
    """What a policy would propose in the place of a decision; it fits if it has to."""
    for pixel in pending:
        policy.expect(*pixel)
    proposal: Proposal | None = None
    maps: PredictionMaps | None = None
    try:
        proposal = policy.ask(
            decision.proposal.step,
            ground.allowed,
            decision.attempt,
            ground.preference,
            ground.reachable,
        )
        maps = policy.maps(ground.allowed)
        policy.withdraw(proposal.row, proposal.column)
    except Exhausted:
        pass
    for pixel in pending:
        policy.withdraw(*pixel)
    return proposal, maps


class Retracing(Advisor):
    """An agent that goes through a run again, and answers anew where it once chose.

    It is told what the run's agent was told, and fits where that one fitted, so that it
    answers as that one did; then it goes on from what was measured.

    Parameters
    ----------
    on_answer
        Is told of each decision, and what is answered now.
    """

    def __init__(
        self,
        run: StoredRun,
        timeline: Timeline,
        on_answer: Callable[[Decision, Answer], None],
    ) -> None:
        assert run.survey is not None
        super().__init__(run.survey, run.first_settings)
        self.settings = run.first_settings
        """In force at the decision that is being repeated."""
        self._decisions = iter(timeline.decisions)
        self._on_answer = on_answer
        self._grounds = Grounds(run)
        self._pixels: list[Pixel] = []

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Learn what was known at the next decision, and answer."""
        decision = next(self._decisions)
        self.learn_until(measured, proposal.known)
        answer = self.answer(decision)
        # What was not asked of the agent may have made it fit all the same.
        super().repeat(proposal, measured)
        self._pixels.append((proposal.row, proposal.column))
        self._on_answer(decision, answer)

    def configure(self, settings: ExperimentSettings) -> None:
        """Take over settings."""
        self.settings = settings
        super().configure(settings)

    def learn_until(self, measured: Sequence[Measurement], known: int) -> None:
        """Tell the policy of measurements until it knows so many."""
        for measurement in measured[self._policy.known : known]:
            self._tell(measurement)

    def answer(self, decision: Decision) -> Answer:
        """What the agent proposes now; it does not fit where it was not asked."""
        policy = self._policy
        if not decision.proposal.is_of_agent:
            policy = copy.deepcopy(policy)
        pending = [self._pixels[number] for number in decision.pending]
        ground = self._grounds.of(decision.regions, decision.vetoed, decision.moved)
        # On the worker: it computes with as many threads as in the run, so that not
        # even rounding differs.
        return self._worker.submit(ask, policy, decision, pending, ground).result()


class Shadowed(Retracing):
    """A retracing that also asks what would have been chosen without each deed.

    The agent is copied as it was before the deed; the copy learns what is measured, and
    is asked in the place of the first decision that was made under the deed.

    Parameters
    ----------
    on_shadow
        Is told of the number of a deed, and what would have been chosen without it.
    """

    def __init__(
        self,
        run: StoredRun,
        timeline: Timeline,
        on_answer: Callable[[Decision, Answer], None],
        on_shadow: Callable[[int, Proposal | None], None],
    ) -> None:
        super().__init__(run, timeline, on_answer)
        self._timeline, self._on_shadow = timeline, on_shadow
        self._shadows: dict[int, Policy] = {}
        self._changes = iter(settings_changes(run))
        self._retargeted_by_human = iter(timeline.retargeted_by_human)

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Ask the shadows whose turn it is; then as `Retracing`."""
        decision = self._timeline.decisions[len(self._pixels)]
        for number, deed in enumerate(self._timeline.deeds):
            if deed.after == decision.number and number in self._shadows:
                self._let_choose(number, decision, measured)
        super().repeat(proposal, measured)
        for number, deed in enumerate(self._timeline.deeds):
            if deed.before == decision.number:
                self._shadows[number] = copy.deepcopy(self._policy)

    def configure(self, settings: ExperimentSettings) -> None:
        """Take over settings; the shadows take over those that no human changed."""
        super().configure(settings)
        if not next(self._changes).who.is_person:
            for shadow in self._shadows.values():
                shadow.configure(
                    model=settings.model,
                    acquisition=settings.acquisition,
                    goal=settings.goal,
                    moves=settings.moves,
                )

    def catch_up(self, measured: Sequence[Measurement]) -> None:
        """Learn everything; the shadows too, before they could hear of new targets."""
        super().catch_up(measured)
        for shadow in self._shadows.values():
            _teach(shadow, measured, len(measured))

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Take over targets; the shadows those that no human asked for."""
        super().retarget(targets, errors)
        if not next(self._retargeted_by_human):
            for shadow in self._shadows.values():
                shadow.retarget(targets, errors)

    def _let_choose(
        self, number: int, decision: Decision, measured: Sequence[Measurement]
    ) -> None:
        shadow = self._shadows.pop(number)
        _teach(shadow, measured, decision.proposal.known)
        deed = self._timeline.deeds[number]
        pending = [self._pixels[each] for each in decision.pending]
        ground = self._grounds.of(deed.regions, deed.vetoed, decision.moved)
        asked = self._worker.submit(ask, shadow, decision, pending, ground)
        self._on_shadow(number, asked.result()[0])


def retrace(run: StoredRun, agent: Retracing) -> None:
    """Lead an agent through a run, and end it."""
    try:
        replay(run, agent)
    finally:
        agent.close()


def _teach(policy: Policy, measured: Sequence[Measurement], known: int) -> None:
    """Tell a policy of measurements until it knows so many."""
    for measurement in measured[policy.known : known]:
        policy.tell(
            measurement.proposal.row,
            measurement.proposal.column,
            measurement.target,
            measurement.error,
            measurement.spectrum.exposure_s,
        )
