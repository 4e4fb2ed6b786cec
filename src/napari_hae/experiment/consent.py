"""Whether a proposal may be measured: by where the beam may go, and by a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.choice import VETOED
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.controls import Verdict
    from napari_hae.experiment.field import Field
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.times import StepClock
    from napari_hae.types import Proposal

LOST = "the sample was not found"


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
        Given a proposal, why, and whether its place is kept out for the whole run.
    """

    def __init__(
        self,
        *,
        field: Field,
        queue: PlaceQueue,
        clock: StepClock,
        agree: Callable[[Proposal], Verdict | None],
        look_again: Callable[[], bool],
        refuse: Callable[[Proposal, str, bool], None],
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
            self._refuse(proposal, why, False)
            return False
        if not verdict.agrees:
            because = f", because: {verdict.why}" if verdict.why else ""
            self._refuse(proposal, f"{VETOED}{because}", True)
            return False
        return self._is_still_there(proposal)

    def _is_open(self, proposal: Proposal) -> bool:
        """Whether the beam may go to where the place of a proposal is now."""
        allowed = self._field.allowed()
        reason = allowed.refusal(allowed.position(proposal.position))
        if reason is not None:
            self._refuse(proposal, f"{proposal.position} {reason}", False)
        return reason is None

    def _is_still_there(self, proposal: Proposal) -> bool:
        """Look for the sample again if somebody took long to agree."""
        if not self._look_again():
            self._refuse(proposal, LOST, False)
            return False
        return self._is_open(proposal)
