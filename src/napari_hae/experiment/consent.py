"""Whether a proposal may be measured: by where the beam may go, and by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.coordinates import place_text
from napari_hae.experiment.refusals import Refusal, RefusalReason
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.controls import Verdict
    from napari_hae.experiment.field import Field
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.times import StepClock
    from napari_hae.types import Proposal

LOST = Refusal(RefusalReason.SAMPLE_LOST)


class Consent:
    """Asks everyone who has a say; what one of them is against is not measured.

    Parameters
    ----------
    agree
        Given a proposal, blocks until a human says yes or no; None means that something
        else was ordered in the meantime, or that the time budget is used up.
    look_again
        Looks for the sample, if that is due; False if it is lost and a pause is wanted.
    """

    def __init__(
        self,
        *,
        field: Field,
        queue: PlaceQueue,
        clock: StepClock,
        agree: Callable[[Proposal], Verdict | None],
        look_again: Callable[[], bool],
        is_time_over: Callable[[], bool],
    ) -> None:
        self._field, self._queue, self._clock = field, queue, clock
        self._is_time_over = is_time_over
        self._agree, self._look_again = agree, look_again

    def refusal(self, proposal: Proposal, *, asks: bool) -> Refusal | None:
        """Why a proposal may not be measured; with `asks`, a person is asked."""
        closed = self._closed(proposal)
        if closed or not asks or proposal.chosen_by is not ChosenBy.AGENT:
            return closed
        with self._clock.asking():
            verdict = self._agree(proposal)
        if verdict is None and self._is_time_over():
            return Refusal(RefusalReason.TIME_OVER)
        if verdict is None:
            waits = bool(self._queue.pixels)
            return Refusal(RefusalReason.SUPERSEDED if waits else RefusalReason.CHANGED)
        if not verdict.agrees:
            return Refusal(RefusalReason.VETOED, why=verdict.why)
        # The sample may be elsewhere if somebody took long to agree.
        return self._closed(proposal) if self._look_again() else LOST

    def _closed(self, proposal: Proposal) -> Refusal | None:
        """Why the beam may not go to where the place of a proposal is now."""
        allowed = self._field.allowed()
        reason = allowed.refusal(allowed.position(proposal.position))
        if reason is None:
            return None
        where = place_text(proposal.position, allowed.frame.field_nm)
        return Refusal(RefusalReason.FORBIDDEN, f"{where} {reason}")
