"""The viewer's window, which is drawn once for several changes of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QEvent, QObject

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget


class Drawing(QObject):
    """Holds back the drawing of a viewer's window.

    napari draws canvas and layer list after each change of a layer, which takes 20 to
    50 ms without a graphics card, and a step changes eight layers. What asks for
    a picture of the window meanwhile gets it.
    """

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        window = viewer.window._qt_window  # noqa: SLF001
        window.installEventFilter(self)
        self._window: QWidget | None = window
        self._is_held = self._is_due = False

    def hold(self, on: bool) -> None:
        """Draw nothing for now, or draw what has changed and go on drawing."""
        self._is_held = on
        if self._is_due and not on and self._window is not None:
            self._is_due = False
            # Qt asks for it once, and not again before it was done.
            request = QEvent(QEvent.Type.UpdateRequest)
            QCoreApplication.postEvent(self._window, request)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the window from drawing."""
        keeps = self._is_held and event.type() == QEvent.Type.UpdateRequest
        self._is_due |= keeps
        return keeps

    def close(self) -> None:
        """Hold nothing back any more, and let go of the window: it is closing."""
        if self._window is not None:
            self.hold(False)
            self._window.removeEventFilter(self)
            self._window = None
