"""Panels with limited drawing costs, and none while they are hidden."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

BETWEEN_MS = 10
"""Time for which the event loop runs between drawing two panels."""
REST_MS = 200
"""Shortest interval between drawings of a panel: nobody reads faster, and a plot of
hundreds of steps takes Qt 20 ms."""


class _Turns(QObject):
    """Draw panels one after the other, and let the event loop run in between."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[LazyPanel] = []
        self._timer = QTimer(self, interval=BETWEEN_MS)
        self._timer.timeout.connect(self._draw_one)

    def ask(self, panel: LazyPanel) -> None:
        """Schedule a panel for drawing."""
        if panel not in self._waiting:
            self._waiting.append(panel)
            self._timer.start()

    def leave(self, panel: LazyPanel) -> None:
        """Remove a panel from the schedule."""
        if panel in self._waiting:
            self._waiting.remove(panel)

    def _draw_one(self) -> None:
        if self._waiting:
            self._waiting.pop(0).take_turn()
        if not self._waiting:
            self._timer.stop()


@cache
def _turns() -> _Turns:
    return _Turns()


class LazyPanel(QWidget):
    """Panel that is drawn only while visible, and when it becomes visible."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_stale = False
        self.destroyed.connect(partial(_turns().leave, self))
        self._rest = QTimer(self, interval=REST_MS, singleShot=True)
        self._rest.timeout.connect(self._catch_up)

    def refresh(self, _: object = None) -> None:
        """Draw soon, or when next visible."""
        self._is_stale = True
        self._catch_up()

    def draw_now(self) -> None:
        """Draw at once, on the user's request."""
        self._is_stale = False
        self.draw()
        self._rest.start()

    def draw(self) -> None:
        """Show the current state."""
        raise NotImplementedError

    def showEvent(self, event: QShowEvent) -> None:
        """Draw the changes made while it was hidden."""
        super().showEvent(event)
        if self._is_stale:
            self.draw_now()

    def take_turn(self) -> None:
        """Draw, if still needed."""
        if self._is_stale and self.isVisible():
            self.draw_now()

    def _catch_up(self) -> None:
        if self._is_stale and self.isVisible() and not self._rest.isActive():
            _turns().ask(self)
