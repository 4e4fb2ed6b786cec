"""Batched drawing of the viewer's window: once for several changes of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

APART_MS = 10
"""Time for which the event loop runs between drawing the docks and the canvas."""


class Drawing(QObject):
    """Suspend the drawing of a viewer's window, then draw docks and canvas apart.

    napari draws canvas and layer list after each change of a layer, which takes 20 to
    30 ms each without a graphics card, and a step changes eight layers. Explicit
    requests for a picture of the window are still served.
    """

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._window: QWidget | None = viewer.window._qt_window  # noqa: SLF001
        self._canvas = viewer.window._qt_viewer.canvas.native  # noqa: SLF001
        self._window.installEventFilter(self)
        # vispy calls this after each change of a layer; Qt has no event for it.
        self._canvas.update = self._on_canvas_changed
        self._is_held = self._is_due = self._is_canvas_due = False
        self._pause = QTimer(self, interval=APART_MS, singleShot=True)
        self._pause.timeout.connect(self._draw_canvas)

    def hold(self, on: bool) -> None:
        """Suspend drawing, or draw all changes and resume it."""
        if on or not self._is_held:
            self._is_held = on
            return
        self._is_held = False
        if self._is_due:
            self._is_due = False
            # Qt requests it once, and not again before it was done.
            request = QEvent(QEvent.Type.UpdateRequest)
            QCoreApplication.postEvent(self._window, request)
        self._pause.start()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Block paint events of the window while drawing is suspended."""
        keeps = self._is_held and event.type() == QEvent.Type.UpdateRequest
        self._is_due |= keeps
        return keeps

    def close(self) -> None:
        """Resume drawing, and release the window: it is closing."""
        if self._window is None:
            return
        self.hold(False)
        self._pause.stop()
        del self._canvas.update
        self._canvas.update()
        self._window.removeEventFilter(self)
        self._window = None

    def _on_canvas_changed(self) -> None:
        self._is_canvas_due = True
        if not (self._is_held or self._pause.isActive()):
            self._draw_canvas()

    def _draw_canvas(self) -> None:
        if self._is_canvas_due:
            self._is_canvas_due = False
            QWidget.update(self._canvas)
