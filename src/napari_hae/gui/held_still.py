"""Freeze of a dock's layout while one of its buttons is pressed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QAbstractButton

if TYPE_CHECKING:
    from qtpy.QtCore import QPoint
    from qtpy.QtGui import QWindow
    from qtpy.QtWidgets import QLayout, QWidget


class HeldStill(QObject):
    """Defer the layout of a dock while one of its buttons is pressed.

    A press ends the edit of another field, and the resulting message takes space; the
    button would move away from the pointer, and a button released elsewhere is not
    clicked. Qt moves the focus before the button receives its press, so the window's
    own events are watched.
    """

    def __init__(self, dock: QWidget) -> None:
        super().__init__(dock)
        self._dock = dock
        self._held: list[QLayout] = []
        self._window: QWindow | None = None
        dock.installEventFilter(self)
        self._watch_window()

    def eventFilter(self, _: QObject, event: QEvent) -> bool:
        """Detect presses, and a move of the dock to another window."""
        kind = event.type()
        if kind is QEvent.Type.Show:
            self._watch_window()
        elif kind is QEvent.Type.MouseButtonPress:
            self._hold(event.globalPosition().toPoint())
        elif kind is QEvent.Type.MouseButtonRelease and self._held:
            # Only after the button has received the event.
            QTimer.singleShot(0, self._let_go)
        return False

    def _watch_window(self) -> None:
        window = self._dock.window().windowHandle()
        if window is not None and window is not self._window:
            # A filter is installed only once, however often this is requested.
            window.installEventFilter(self)
            self._window = window

    def _hold(self, place: QPoint) -> None:
        self._let_go()
        dock = self._dock
        pressed = dock.childAt(dock.mapFromGlobal(place)) if dock.isVisible() else None
        if not isinstance(pressed, QAbstractButton):
            return
        around: QWidget = pressed
        while around is not dock:
            around = around.parentWidget()
            layout = around.layout()
            if layout is not None and layout.isEnabled():
                layout.setEnabled(False)
                self._held.append(layout)

    def _let_go(self) -> None:
        held, self._held = self._held, []
        # A click may have removed a part of the dock.
        for layout in filter(isalive, held):
            layout.setEnabled(True)
            layout.invalidate()
            layout.activate()
