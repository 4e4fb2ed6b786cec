"""Tells the journal of the run that is shown to what is opened while it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.gui.live import LiveView


def follow_journal(live: LiveView, told: Callable[[list[JournalEvent]], None]) -> None:
    """Hand on the journal's events so far, in one list, and later ones as they come.

    Those of each step are not among them.
    """
    # What waits to be emitted would come twice.
    live.refresh()
    told(live.events)
    live.noted.connect(told)
