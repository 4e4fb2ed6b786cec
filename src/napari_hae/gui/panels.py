"""Panels that cost little, and nothing while nobody can see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

REST_MS = 200
"""A panel is drawn five times a second at most: nobody reads faster, and a plot of
hundreds of steps takes Qt 20 ms."""


class LazyPanel(QWidget):
    """A panel that is drawn while it is visible, and when it becomes so."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._is_stale = False
        self._rest = QTimer(self, interval=REST_MS, singleShot=True)
        self._rest.timeout.connect(self._catch_up)

    def refresh(self, _: object = None) -> None:
        """Draw soon, or when it is next seen."""
        self._is_stale = True
        self._catch_up()

    def draw_now(self) -> None:
        """Draw at once: a person has asked for it."""
        self._is_stale = False
        self.draw()
        self._rest.start()

    def draw(self) -> None:
        """Show what is known now."""
        raise NotImplementedError

    def showEvent(self, event: QShowEvent) -> None:
        """Catch up with what came while it was hidden."""
        super().showEvent(event)
        if self._is_stale:
            self.draw_now()

    def _catch_up(self) -> None:
        if self._is_stale and self.isVisible() and not self._rest.isActive():
            self.draw_now()
