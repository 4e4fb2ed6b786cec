"""Choice of the next position, by the user, a plan or the agent."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.experiment.plans import AgentPlan
from napari_hae.experiment.refusals import Refusal, RefusalReason
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hae.experiment.advisor import Advisor
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.plans import Plan
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.regions.allowed_field import AllowedField
    from napari_hae.types import Proposal

Pixel = tuple[int, int]


class Choice:
    """Source of the proposal of each step.

    Places requested by the user come first, then a plan while it has positions left,
    then the agent.

    Parameters
    ----------
    allowed
        Returns the pixels allowed now, by the regions in the journal.
    """

    def __init__(
        self,
        advisor: Advisor,
        record: Record,
        queue: PlaceQueue,
        allowed: Callable[[], AllowedField],
    ) -> None:
        self._advisor, self._record, self._queue = advisor, record, queue
        self._allowed = allowed
        self._state = record.state
        self._preference = self._state.regions.preference(allowed().frame)
        self._open_then = np.zeros(0, bool)
        self._is_changed = False

    def take_up(
        self,
        past: StoredRun,
        allowed: Callable[[int], AllowedField],
        *,
        is_asked: bool,
    ) -> None:
        """Restore the agent's state and look-ahead at the time the run was left.

        `allowed` returns the pixels that were allowed when a step was proposed;
        `is_asked` states whether the answer for the next step was dropped since.
        """

        def mask(step: int) -> NDArray[np.bool_]:
            return self._without_vetoed(allowed(step))

        then, last = past.last_begun, len(past.measurements) - 1
        looked_ahead = (
            then is not None
            and then.loop == past.settings.loop
            and not (then.queue or self._planned(then.plan, mask(last)))
        )
        if looked_ahead and not is_asked:
            self._advisor.take_up_ahead(past.measurements, mask, self._preference)
        else:
            self._advisor.take_up(past.measurements)

    def proposal(
        self, step: int, settings: ExperimentSettings, *, waited_s: float = 0.0
    ) -> Proposal:
        """Return the proposal for a step, after writing it to the journal.

        `waited_s` is the time spent waiting for the user since the last survey image.

        Raises
        ------
        Exhausted
            If no allowed candidate is left.
        """
        self._open_then = self.mask()
        with self._record.at_once():
            made = self._of_human(step) or self._of_plan(step, settings)
            if made is None:
                attempt, mask = self._state.attempts[step], self._open_then
                made = self._advisor.ask(step, mask, attempt, self._preference)
            self._record.proposal(made, waited_s=waited_s)
        self._is_changed = False
        return made

    def preview(self, step: int) -> None:
        """Recompute the maps if the agent's inputs have changed since the last ones.

        For a run that waits: otherwise the next proposal brings its own maps.
        """
        if self._is_changed:
            attempt = self._state.attempts[step]
            self._advisor.preview(step, self.mask(), attempt, self._preference)
        self._is_changed = False

    def is_known(self, step: int, settings: ExperimentSettings) -> bool:
        """Return whether a step's proposal is available before the next measurement."""
        if self._queue.noted:
            return False
        if self._planned(settings.plan, self.mask()) is None:
            return self._advisor.is_ready(step)
        # A proposal computed ahead would be withdrawn before that measurement is in the
        # journal.
        return not self._advisor.is_ahead

    def look_ahead(self, step: int, settings: ExperimentSettings) -> None:
        """Let the agent compute the proposals after a step, if they are its choice.

        It chooses among the pixels allowed when the step was proposed, however long the
        approval took: the same as for the rest of the batch proposed together with it.
        """
        mask = self._open_then
        if not (self._queue.noted or self._planned(settings.plan, mask)):
            self._advisor.look_ahead(step, mask, self._preference)

    def prefer(self, preference: NDArray[np.float64] | None) -> None:
        """Apply the preference by soft regions from now on, `(rows, columns)`."""
        if not _are_equal(preference, self._preference):
            self.drop_ahead(RefusalReason.SOFT_REGIONS)
        self._preference = preference

    def withdraw(self, proposal: Proposal, refusal: Refusal) -> None:
        """Withdraw a proposal that will not be measured."""
        with self._record.at_once():
            self._record.refusal(proposal.step, refusal)
            self.drop_ahead(RefusalReason.EARLIER_REFUSED)
        self._advisor.withdraw(proposal)

    def drop_ahead(self, reason: RefusalReason) -> None:
        """Withdraw the proposals that the agent computed ahead."""
        # They are recorded although unused: the agent may have refitted for them, and a
        # resumed run has to refit at the same step.
        with self._record.at_once():
            for proposal in self._advisor.drop_ahead():
                self._record.proposal(proposal)
                self._record.refusal(proposal.step, Refusal(reason))
        self._is_changed = True

    @property
    def has_places(self) -> bool:
        """Return whether an allowed place is left that was not measured."""
        mask = self.mask()
        for pixel in self._state.taken_pixels:
            mask[pixel] = False
        return bool(mask.any())

    def mask(self) -> NDArray[np.bool_]:
        """Return the allowed pixels, shape `(rows, columns)`."""
        return self._without_vetoed(self._allowed())

    def left_field(self) -> int:
        """Return the number of unmeasured positions that drifted out of the field."""
        allowed = self._allowed()
        on_sample = self._without_vetoed(replace(allowed, drift_nm=(0.0, 0.0)))
        for pixel in self._state.taken_pixels:
            on_sample[pixel] = False
        return int((on_sample & ~allowed.mask()).sum())

    def why_nowhere(self) -> str:
        """Return the reason why no position is left to measure."""
        taken = self._state.taken_pixels
        measured, left = len(taken), self.left_field()
        kept_out = len(self._state.vetoed - taken)
        if not (left or kept_out):
            return f"every allowed position is measured ({measured} spectra)"
        reasons = [f"{measured} are measured"]
        if left:
            drift_nm = math.hypot(*self._allowed().drift_nm)
            reasons.append(
                f"{left} have left the field of view with the sample, which drifted by "
                f"{drift_nm:.3g} nm"
            )
        if kept_out:
            reasons.append(f"{kept_out} were vetoed or have taken their dose")
        return f"no allowed position is left: {', '.join(reasons)}"

    def _of_human(self, step: int) -> Proposal | None:
        pixel = self._queue.take()
        if pixel is None:
            return None
        self.drop_ahead(RefusalReason.PLACE_ASKED_FOR)
        mask, preference = self._open_then, self._preference
        return self._advisor.choose(step, pixel, ChosenBy.HUMAN, mask, preference)

    def _of_plan(self, step: int, settings: ExperimentSettings) -> Proposal | None:
        pixel = self._planned(settings.plan, self._open_then)
        if pixel is None:
            return None
        self.drop_ahead(RefusalReason.PLAN)
        return self._advisor.choose(step, pixel, ChosenBy.PLAN)

    def _planned(self, plan: Plan, mask: NDArray[np.bool_]) -> Pixel | None:
        if isinstance(plan, AgentPlan):
            return None
        return plan.next_pixel(mask, self._state.taken_pixels)

    def _without_vetoed(self, allowed: AllowedField) -> NDArray[np.bool_]:
        mask = allowed.mask()
        for pixel in self._state.vetoed:
            mask[pixel] = False
        return mask


def _are_equal(
    one: NDArray[np.float64] | None, other: NDArray[np.float64] | None
) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)
