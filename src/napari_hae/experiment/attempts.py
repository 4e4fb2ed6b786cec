"""Number of times that the agent was asked for the place of a step."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hae.experiment.journal_events import RefusalEvent, ResumeEvent
    from napari_hae.types import Proposal


class Attempts(Counter[int]):
    """Number of refused proposals of the agent, by step, from the journal."""

    def refuse(self, proposal: Proposal, event: RefusalEvent) -> None:
        """Count a proposal, by the event that refuses it."""
        is_begun = not event.reason.is_ahead
        self[proposal.step] += is_begun and proposal.is_of_agent

    def resume(self, event: ResumeEvent) -> None:
        """Continue counting after a resume; older versions started again from 0."""
        if not event.counts_on:
            self.clear()
