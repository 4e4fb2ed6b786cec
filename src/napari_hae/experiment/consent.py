"""Consent to a proposal: by the allowed area of the beam, and by the user."""

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
    """Check of a proposal by everyone entitled to refuse it; one refusal suffices.

    Parameters
    ----------
    agree
        Given a proposal, blocks until the user approves or refuses it; None if another
        order came in the meantime, or the time budget is used up.
    look_again
        Locates the sample, if that is due; False if it is lost and a pause is wanted.
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
        """Return the reason to refuse a proposal; with `asks`, the user is asked."""
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
        # The sample may have drifted if the approval took long.
        return self._closed(proposal) if self._look_again() else LOST

    def _closed(self, proposal: Proposal) -> Refusal | None:
        """Return the reason why the beam may not go to the place's current position."""
        allowed = self._field.allowed()
        reason = allowed.refusal(allowed.position(proposal.position))
        if reason is None:
            return None
        where = place_text(proposal.position, allowed.frame.field_nm)
        return Refusal(RefusalReason.FORBIDDEN, f"{where} {reason}")
