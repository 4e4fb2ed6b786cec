"""The view of a plot: the mouse moves and scales it, and it always finds back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QToolButton

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_GAP_PX = 2


class PlotView(pg.ViewBox):
    """A view that stays near its data, and asks to be fitted by a double click."""

    margin = 0.05
    """How far the mouse may lead beyond the data, as a part of their range."""
    fit_wanted = Signal()
    """A double click: show all there is."""

    def mouseClickEvent(self, event: Any) -> None:
        """Ask for all of it by a double click."""
        if event.double() and event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.fit_wanted.emit()
        else:
            super().mouseClickEvent(event)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Move the view, or scale it by the right button."""
        super().mouseDragEvent(event, axis)
        self._stay_near_data()

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        """Scale the view."""
        super().wheelEvent(event, axis)
        self._stay_near_data()

    def _stay_near_data(self) -> None:
        # Not by the limits that pyqtgraph has: they would hold for the data to come.
        ranges = zip(self.viewRange(), self.childrenBounds(), strict=True)
        names = ("xRange", "yRange")
        wanted = {
            name: near
            for name, (seen, data) in zip(names, ranges, strict=True)
            if data is not None
            and (near := _near(seen, data, self.margin)) != tuple(seen)
        }
        if wanted:
            self.setRange(**wanted, padding=0)


class FitButton(QToolButton):
    """A button in the corner of a plot, there while a person has moved its view."""

    def __init__(self, plot: pg.PlotWidget) -> None:
        super().__init__(plot)
        self.setText("Fit")
        self.setAccessibleName("Fit the plot to its data")
        self.setToolTip("Show all there is, as a double click in the plot does.")
        self.hide()
        plot.installEventFilter(self)
        plot.getViewBox().sigRangeChangedManually.connect(self._on_moved)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Stay in the upper right corner."""
        if event.type() == QEvent.Type.Resize:
            self._to_corner()
        return False

    def _on_moved(self, _: object = None) -> None:
        self.show()
        self._to_corner()

    def _to_corner(self) -> None:
        plot: QWidget = self.parentWidget()
        self.adjustSize()
        self.move(plot.width() - self.width() - _GAP_PX, _GAP_PX)


def _near(seen: list[float], data: list[float], margin: float) -> tuple[float, float]:
    """Return the part of an axis that is nearest to what is seen, and near the data."""
    beyond = margin * ((data[1] - data[0]) or 1.0)
    low, high = data[0] - beyond, data[1] + beyond
    span = min(seen[1] - seen[0], high - low)
    start = min(max(seen[0], low), high - span)
    return start, start + span
