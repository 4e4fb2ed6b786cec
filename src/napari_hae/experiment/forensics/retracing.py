"""Replay of a stored run through an agent, which is asked at every decision."""

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
"""Proposal, None if no candidate is left; and the maps it is based on, if any."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Allowed pixels and soft preferences at a decision.

    Attributes
    ----------
    allowed
        Shape `(rows, columns)`, True where a measurement is allowed.
    preference
        Preference by soft regions, same shape, see `Regions.preference`.
    reachable
        Pixels that the experiment could have measured, regardless of the limits of the
        replay.
    """

    allowed: NDArray[np.bool_]
    preference: NDArray[np.float64] | None
    reachable: NDArray[np.bool_]


class Grounds:
    """Allowed pixels as the regions changed during the run.

    Parameters
    ----------
    among
        Pixels to which proposals are limited, `(rows, columns)`; None: all.
    """

    def __init__(self, run: StoredRun, among: NDArray[np.bool_] | None = None) -> None:
        self._frame, self._among = run.frame, among
        self._newest: tuple[Regions, Moved, Ground] | None = None

    def of(
        self, regions: Regions, vetoed: frozenset[Pixel], moved: Moved = UNMOVED
    ) -> Ground:
        """Return the allowed pixels for regions and vetoes, with a drifted sample."""
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
    """Return the proposal of a policy at a decision; it refits if due."""
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
    """Agent that replays a run and answers anew at each of its decisions.

    It receives the same data as the agent of the run and refits at the same steps, so
    that it gives the same answers; it then continues from the recorded measurement.

    Parameters
    ----------
    on_answer
        Called with each decision and the new answer.
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
        """Settings in force at the decision that is being replayed."""
        self._decisions = iter(timeline.decisions)
        self._on_answer = on_answer
        self._grounds = Grounds(run)
        self._pixels: list[Pixel] = []

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Learn the data known at the next decision, and answer."""
        decision = next(self._decisions)
        self.learn_until(measured, proposal.known)
        answer = self.answer(decision)
        # A decision that was not the agent's may still have caused a refit.
        super().repeat(proposal, measured)
        self._pixels.append((proposal.row, proposal.column))
        self._on_answer(decision, answer)

    def configure(self, settings: ExperimentSettings) -> None:
        """Apply settings."""
        self.settings = settings
        super().configure(settings)

    def learn_until(self, measured: Sequence[Measurement], known: int) -> None:
        """Pass measurements to the policy until it knows this many."""
        for measurement in measured[self._policy.known : known]:
            self._tell(measurement)

    def answer(self, decision: Decision) -> Answer:
        """Return the agent's proposal; do not refit if the agent was not asked."""
        policy = self._policy
        if not decision.proposal.is_of_agent:
            policy = copy.deepcopy(policy)
        pending = [self._pixels[number] for number in decision.pending]
        ground = self._grounds.of(decision.regions, decision.vetoed, decision.moved)
        # On the worker, with the same number of threads as in the run, so that even
        # rounding is identical.
        return self._worker.submit(ask, policy, decision, pending, ground).result()


class Shadowed(Retracing):
    """Replay that also determines the choice without each human action.

    The agent is copied in its state before the action; the copy learns the
    measurements, and is asked at the first decision after the action.

    Parameters
    ----------
    on_shadow
        Called with the number of an action, and the choice without it.
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
        """Ask the copies that are due; then continue as `Retracing`."""
        decision = self._timeline.decisions[len(self._pixels)]
        for number, deed in enumerate(self._timeline.deeds):
            if deed.after == decision.number and number in self._shadows:
                self._let_choose(number, decision, measured)
        super().repeat(proposal, measured)
        for number, deed in enumerate(self._timeline.deeds):
            if deed.before == decision.number:
                self._shadows[number] = copy.deepcopy(self._policy)

    def configure(self, settings: ExperimentSettings) -> None:
        """Apply settings; the copies apply only those that no human changed."""
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
        """Learn all measurements; the copies too, before targets change."""
        super().catch_up(measured)
        for shadow in self._shadows.values():
            _teach(shadow, measured, len(measured))

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Apply new targets; the copies apply those that no human caused."""
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
    """Replay a run through an agent, and close the agent."""
    try:
        replay(run, agent)
    finally:
        agent.close()


def _teach(policy: Policy, measured: Sequence[Measurement], known: int) -> None:
    """Pass measurements to a policy until it knows this many."""
    for measurement in measured[policy.known : known]:
        policy.tell(
            measurement.proposal.row,
            measurement.proposal.column,
            measurement.target,
            measurement.error,
            measurement.spectrum.exposure_s,
        )
