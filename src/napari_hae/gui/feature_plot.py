"""The plot of a feature space: all candidates, the path through them, the next one."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_hae.gui.candidate_cloud import CandidateCloud
from napari_hae.gui.lasso import LassoView
from napari_hae.gui.layer_data import NEXT_COLOR
from napari_hae.gui.plots import FAINT, LivePlot

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QBrush

    from napari_hae.gui.layer_data import Limits

    Floats = NDArray[np.float32]

COLORS = 64
"""Number of colours of a palette: each is one symbol that pyqtgraph renders once and
caches."""


class FeaturePlot(LivePlot):
    """Candidates as a cloud, measured ones as discs in the order of their path."""

    lassoed = Signal(object, bool)
    """Emit `(outline, add: bool)`, outline `(k, 2)`, when a lasso is closed; `add`
    extends the selection."""

    def __init__(self, parent: QWidget | None = None) -> None:
        view = LassoView()
        super().__init__("", parent, view)
        self.plot.setAccessibleName("Candidates")
        self.view = view
        self.view.lassoed.connect(self.lassoed)
        for side in ("left", "bottom"):
            # The axis values have no meaning.
            self.plot.getAxis(side).setStyle(showValues=False)
        self.cloud = CandidateCloud()
        self._path = pg.PlotCurveItem(pen=pg.mkPen(FAINT))
        self.measured = pg.ScatterPlotItem(size=7, pen=pg.mkPen("k", width=0.5))
        self.picked = pg.ScatterPlotItem(size=13, brush=None)
        self.next = pg.ScatterPlotItem(
            size=17, brush=None, pen=pg.mkPen(NEXT_COLOR, width=2.5)
        )
        for item in (self.cloud, self._path, self.measured, self.picked, self.next):
            self.plot.addItem(item)

    def say(self, text: str) -> None:
        """Show a message in place of the plot; an empty one shows the plot."""
        self.message.setText(text)
        self._show(something=not text)

    def set_axes(self, name: str) -> None:
        """Name both axes after the space of their components."""
        self.plot.setLabel("bottom", f"{name} 1")
        self.plot.setLabel("left", f"{name} 2")

    def set_path(
        self, places: Floats, values: Floats | None, limits: Limits, colormap: str
    ) -> None:
        """Draw the measured candidates at `places`, `(m, 2)`, coloured by values."""
        x, y = places.T
        self._path.setData(x, y)
        blank = pg.mkBrush(self._text_color)
        brushes = [blank] * len(places)
        if values is not None and len(values):
            low, high = limits
            known = np.isfinite(values)
            part = np.clip((values - low) / (high - low), 0, 1)
            index = (np.where(known, part, 0) * (COLORS - 1)).round().astype(int)
            colors = _brushes(colormap)
            brushes = [
                colors[i] if is_known else blank
                for i, is_known in zip(index, known, strict=True)
            ]
        self.measured.setData(x, y, brush=brushes)

    def set_picked(self, places: Floats) -> None:
        """Ring the measured candidates selected in the image, `(m, 2)`."""
        self.picked.setPen(pg.mkPen(self._text_color, width=2))
        self.picked.setData(*places.T)

    def set_next(self, place: Floats | None) -> None:
        """Put the ring around the next candidate, `(2,)`; None removes it."""
        shown = np.empty((0, 2)) if place is None else place[None]
        self.next.setData(*shown.T)


class ColorScale(QWidget):
    """Colour scale with the values of its limits."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._strip, self._high = QLabel(), QLabel(), QLabel()
        self._strip.setFixedHeight(10)
        self._strip.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._low)
        layout.addWidget(self._strip, 1)
        layout.addWidget(self._high)

    def show_scale(self, colormap: str, limits: Limits | None, unit: str) -> None:
        """Show the scale from the lower to the upper limit; None: no scale yet."""
        self.setVisible(limits is not None)
        if limits is None:
            return
        stops = ", ".join(
            f"stop:{at:.3f} rgb{tuple(int(c) for c in color[:3])}"
            for at, color in zip(
                np.linspace(0, 1, 9), palette(colormap, 9), strict=True
            )
        )
        self._strip.setStyleSheet(
            f"background: qlineargradient(x1:0, y1:0, x2:1, y2:0, {stops});"
        )
        self._low.setText(f"{limits[0]:.2g}")
        self._high.setText(f"{limits[1]:.2g} {unit}".strip())


@lru_cache
def palette(colormap: str, size: int = COLORS) -> NDArray[np.uint8]:
    """Return the colours of one of napari's colour maps, `(size, 4)`."""
    colors = ensure_colormap(colormap).map(np.linspace(0, 1, size))
    result: NDArray[np.uint8] = (colors * 255).round().astype(np.uint8)
    return result


@lru_cache
def _brushes(colormap: str) -> list[QBrush]:
    """Return the palette as brushes, cached: pyqtgraph identifies symbols by brush."""
    return [pg.mkBrush(QColor(*(int(c) for c in color))) for color in palette(colormap)]
