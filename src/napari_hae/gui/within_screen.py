"""On a small screen the window stays within it, whatever its parts ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtWidgets import QMainWindow

ROOMY_PX = (1400, 900)
"""On a smaller screen the cockpit's window fills it."""
LOWEST_PX = 600


def keep_within_screen(window: QMainWindow) -> None:
    """Maximise a window on a small screen, and let nothing make it higher than that.

    Else the controls of some layers, above the *Monitor*, push it off the screen.
    """
    room = window.screen().availableSize()
    is_small = room.width() < ROOMY_PX[0] or room.height() < ROOMY_PX[1]
    if is_small and window.isVisible() and not window.isFullScreen():
        # One that is set holds in place of what the parts need.
        window.setMinimumHeight(LOWEST_PX)
        window.showMaximized()
