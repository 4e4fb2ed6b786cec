"""View of a plot that is moved and scaled by the mouse, and can always be reset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyqtgraph as pg
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QToolButton

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

_GAP_PX = 2


class PlotView(pg.ViewBox):
    """View that stays near its data, and requests a fit on a double click."""

    margin = 0.05
    """Farthest pan beyond the data, as a fraction of their range."""
    fit_wanted = Signal()
    """Emit on a double click: show all data."""

    def mouseClickEvent(self, event: Any) -> None:
        """Request a fit on a double click."""
        if event.double() and event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.fit_wanted.emit()
        else:
            super().mouseClickEvent(event)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Pan the view, or scale it with the right button."""
        super().mouseDragEvent(event, axis)
        self._stay_near_data()

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        """Scale the view."""
        super().wheelEvent(event, axis)
        self._stay_near_data()

    def _stay_near_data(self) -> None:
        # Not by pyqtgraph's limits: they would also apply to later data.
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
    """Button in the corner of a plot, visible while the user has moved its view."""

    def __init__(self, plot: pg.PlotWidget) -> None:
        super().__init__(plot)
        self.setText("Fit")
        self.setAccessibleName("Fit the plot to its data")
        self.setToolTip("Show all there is, as a double click in the plot does.")
        self.hide()
        plot.installEventFilter(self)
        plot.getViewBox().sigRangeChangedManually.connect(self._on_moved)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the button in the upper right corner."""
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
    """Return the range of an axis that is nearest to the view, and near the data."""
    beyond = margin * ((data[1] - data[0]) or 1.0)
    low, high = data[0] - beyond, data[1] + beyond
    span = min(seen[1] - seen[0], high - low)
    start = min(max(seen[0], low), high - span)
    return start, start + span
