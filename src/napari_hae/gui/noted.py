"""Subscription to the journal of the shown run, for panels opened during it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.gui.live import LiveView


def follow_journal(live: LiveView, told: Callable[[list[JournalEvent]], None]) -> None:
    """Pass on the journal's events so far, in one list, and later ones as they come.

    Events of each step are not included.
    """
    # Events that are still to be emitted would be passed on twice.
    live.refresh()
    told(live.events)
    live.noted.connect(told)
