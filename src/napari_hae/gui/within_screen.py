"""Limit of the window's size to small screens, whatever its widgets request."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtWidgets import QMainWindow

ROOMY_PX = (1400, 900)
"""Size below which the cockpit's window fills the screen."""
LOWEST_PX = 600


def keep_within_screen(window: QMainWindow) -> None:
    """Maximise a window on a small screen, and limit its height to it.

    Otherwise the controls of some layers, above the *Monitor*, extend beyond the
    screen.
    """
    room = window.screen().availableSize()
    is_small = room.width() < ROOMY_PX[0] or room.height() < ROOMY_PX[1]
    if is_small and window.isVisible() and not window.isFullScreen():
        # An explicit minimum height replaces that of the widgets.
        window.setMinimumHeight(LOWEST_PX)
        window.showMaximized()
