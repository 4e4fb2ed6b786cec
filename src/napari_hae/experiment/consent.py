"""Whether a proposal may be measured: by where the beam may go, and by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.choice import Refusal
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.controls import Verdict
    from napari_hae.experiment.field import Field
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.times import StepClock
    from napari_hae.types import Proposal

LOST = Refusal("the sample was not found")


class Consent:
    """Asks everyone who has a say; what one of them is against is refused.

    Parameters
    ----------
    agree
        Given a proposal, blocks until a human says yes or no; None means that something
        else was ordered in the meantime.
    look_again
        Looks for the sample, if that is due; False if it is lost and a pause is wanted.
    refuse
        Withdraws a proposal; given it, and why.
    """

    def __init__(
        self,
        *,
        field: Field,
        queue: PlaceQueue,
        clock: StepClock,
        agree: Callable[[Proposal], Verdict | None],
        look_again: Callable[[], bool],
        refuse: Callable[[Proposal, Refusal], None],
    ) -> None:
        self._field, self._queue, self._clock = field, queue, clock
        self._agree, self._look_again, self._refuse = agree, look_again, refuse

    def is_given(self, proposal: Proposal, *, asks: bool) -> bool:
        """Whether a proposal may be measured; with `asks`, a person is asked."""
        if not self._is_open(proposal):
            return False
        if not asks or proposal.chosen_by is not ChosenBy.AGENT:
            return True
        with self._clock.asking():
            verdict = self._agree(proposal)
        if verdict is None:
            other = "another place was taken" if self._queue.pixels else ""
            why = other or "something was changed while it waited"
            self._refuse(proposal, Refusal(why))
            return False
        if not verdict.agrees:
            veto = Refusal(
                "vetoed by you", keep_out=True, is_veto=True, why=verdict.why
            )
            self._refuse(proposal, veto)
            return False
        return self._is_still_there(proposal)

    def _is_open(self, proposal: Proposal) -> bool:
        """Whether the beam may go to where the place of a proposal is now."""
        allowed = self._field.allowed()
        reason = allowed.refusal(allowed.position(proposal.position))
        if reason is not None:
            self._refuse(proposal, Refusal(f"{proposal.position} {reason}"))
        return reason is None

    def _is_still_there(self, proposal: Proposal) -> bool:
        """Look for the sample again if somebody took long to agree."""
        if not self._look_again():
            self._refuse(proposal, LOST)
            return False
        return self._is_open(proposal)
