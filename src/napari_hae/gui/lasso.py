"""View of a plot with a lasso."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal

from napari_hae.gui.layer_data import SELECTION_COLOR
from napari_hae.gui.plot_view import PlotView

if TYPE_CHECKING:
    from qtpy.QtCore import QPointF


class LassoView(PlotView):
    """View in which dragging pans; with Shift, or if armed, it draws a lasso."""

    margin = 0.5
    lassoed = Signal(object, bool)
    """Emit `(outline, add: bool)`, outline `(k, 2)` in the plot's coordinates, when a
    lasso is closed; `add`, as with Ctrl, extends the selection."""

    def __init__(self) -> None:
        super().__init__()
        self.is_armed = False
        self._outline: list[tuple[float, float]] = []
        self._line = pg.PlotCurveItem(pen=pg.mkPen(SELECTION_COLOR, width=2))
        self.addItem(self._line, ignoreBounds=True)

    @property
    def is_drawing(self) -> bool:
        """Return whether an outline has been started and not closed."""
        return bool(self._outline)

    def forget(self) -> None:
        """Discard an unfinished outline: nothing is selected by it."""
        self._outline = []
        self._line.setData([], [])

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Draw the lasso, or pan the view."""
        wanted = self.is_armed or bool(
            event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        )
        left = event.button() == Qt.MouseButton.LeftButton
        begun = bool(self._outline) or (event.isStart() and wanted)
        if axis is not None or not (left and begun):
            super().mouseDragEvent(event, axis)
            return
        event.accept()
        if event.isStart():
            self._add(event.buttonDownPos())
        self._add(event.pos())
        if event.isFinish():
            self._finish(event.modifiers())
        else:
            self._line.setData(*np.array([*self._outline, self._outline[0]]).T)

    def _add(self, at: QPointF) -> None:
        place = self.mapToView(at)
        self._outline.append((place.x(), place.y()))

    def _finish(self, modifiers: Qt.KeyboardModifier) -> None:
        outline = np.array(self._outline)
        self.forget()
        adds = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
        self.lassoed.emit(outline, adds)
