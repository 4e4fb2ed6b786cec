"""How often the agent was asked for the place of a step."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_hae.experiment.choice import Dropped

if TYPE_CHECKING:
    from napari_hae.experiment.journal import Entry
    from napari_hae.types import Proposal

_DROPPED = tuple(Dropped)


class Attempts(Counter[int]):
    """Answers of the agent that were refused, by step, as the journal has them."""

    def refuse(self, proposal: Proposal, entry: Entry) -> None:
        """Count a proposal by the line that refuses it."""
        # What was computed ahead and never begun was no attempt.
        is_begun = entry["reason"] not in _DROPPED
        self[proposal.step] += is_begun and proposal.is_of_agent

    def resume(self, entry: Entry) -> None:
        """Go on counting after the line of a resume; older programs began anew."""
        if not entry.get("counts_on"):
            self.clear()
