"""A cloud of many points in a plot, drawn as one image.

Qt would need a tenth of a second to draw 65 000 symbols. Here the points are binned
into the plot's own pixels; a pixel with several points has the colour of their mean
value, so that none hides the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QImage

from napari_hae.gui.layer_data import SELECTION_COLOR

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QPainter

    from napari_hae.gui.layer_data import Limits

    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float32]
    Colors = NDArray[np.uint8]

NO_VALUE_COLOR = (128, 128, 128, 110)
"""Colour of points without a value: visible on light and on dark background."""
MARGIN = 0.03
"""Margin around the cloud, as a fraction of its size."""
MANY = 10_000
"""Number of points from which on dots are smaller."""


class CandidateCloud(pg.GraphicsObject):
    """All candidates as dots of equal size in the plot's pixels."""

    def __init__(self) -> None:
        super().__init__()
        self._points: Floats = np.empty((0, 2), np.float32)
        self._bounds = QRectF()
        self._values: Floats | None = None
        self._limits: Limits = (0.0, 1.0)
        self._palette: Colors = np.full((2, 4), 255, np.uint8)
        self._chosen: Flags | None = None
        self._image: QImage | None = None
        self._drawn_for: tuple[Any, ...] = ()

    @property
    def points(self) -> Floats:
        """Positions of the candidates, `(n, 2)`."""
        return self._points

    def set_points(self, points: Floats) -> None:
        """Put the candidates at `(x, y)`, shape `(n, 2)`, with none highlighted."""
        if points is self._points:
            return
        self.prepareGeometryChange()
        self._points, self._chosen = points, None
        # Cached: Qt asks for it several times with each move of the mouse.
        self._bounds = _around(points)
        if self._values is not None and len(self._values) != len(points):
            self._values = None
        self._redraw()
        self.informViewBoundsChanged()

    def set_values(
        self, values: Floats | None, limits: Limits, palette: Colors
    ) -> None:
        """Colour the candidates by values of shape `(n,)`; gray where not finite.

        The palette, shape `(k, 4)`, spans the range from the lower to the upper limit.
        """
        self._values, self._limits, self._palette = values, limits, palette
        self._redraw()

    def set_chosen(self, chosen: Flags | None) -> None:
        """Highlight a subset of the candidates, a mask of shape `(n,)`."""
        self._chosen = chosen
        self._redraw()

    def boundingRect(self) -> QRectF:
        """Return the bounds of the cloud, with a margin."""
        return self._bounds

    def paint(self, painter: QPainter, *_: Any) -> None:
        """Draw the image of the visible part, rendered again for another view."""
        view = self.getViewBox()
        if view is None or not len(self._points):
            return
        seen, ratio = view.viewRect(), painter.device().devicePixelRatioF()
        size = max(1, round(view.width() * ratio)), max(1, round(view.height() * ratio))
        wanted = (*seen.getRect(), *size)
        if self._image is None or wanted != self._drawn_for:
            self._drawn_for = wanted
            pixels = self.pixels(seen, *size)
            # The copy owns its pixels; otherwise Qt would draw from freed memory.
            self._image = QImage(
                pixels.data, *size, 4 * size[0], QImage.Format.Format_RGBA8888
            ).copy()
        painter.drawImage(seen, self._image)

    def pixels(self, seen: QRectF, width: int, height: int) -> Colors:
        """Return the visible part as `(height, width, 4)`, the lowest `y` first."""
        origin = np.array([seen.left(), seen.top()])
        extent = np.array([seen.width(), seen.height()])
        place = (self._points - origin) / extent * (width, height)
        inside = ((place >= 0) & (place < (width, height))).all(axis=1)
        column, row = place[inside].astype(np.intp).T
        dots = _Dots(row * width + column, (height, width), len(self._points))
        colors = np.zeros((height, width, 4), np.uint8)
        colors[dots.count() > 0] = NO_VALUE_COLOR
        if self._values is not None:
            values = self._values[inside]
            known = np.isfinite(values)
            count = dots.count(known)
            some = count > 0
            colors[some] = self._colors_of(
                dots.total(values, known)[some] / count[some]
            )
        if self._chosen is not None:
            colors[dots.count(self._chosen[inside]) > 0] = _rgba(SELECTION_COLOR)
        return colors

    def _colors_of(self, values: NDArray[np.float64]) -> Colors:
        low, high = self._limits
        scaled = np.clip((values - low) / (high - low), 0, 1)
        return self._palette[(scaled * (len(self._palette) - 1)).round().astype(int)]

    def _redraw(self) -> None:
        self._image = None
        self.update()


class _Dots:
    """Histogram of points in pixels, each point covering a square of them."""

    def __init__(self, pixel: NDArray[np.intp], shape: tuple[int, int], n: int) -> None:
        self._pixel, self._shape = pixel, shape
        self._reach = 1 if n > MANY else 2

    def count(self, which: Flags | None = None) -> NDArray[np.float64]:
        """Return the number of points that cover each pixel."""
        pixel = self._pixel if which is None else self._pixel[which]
        return self._spread(np.bincount(pixel, minlength=self._size))

    def total(self, values: Floats, which: Flags) -> NDArray[np.float64]:
        """Return the sum of the values of the points that cover each pixel."""
        pixel, weights = self._pixel[which], values[which]
        return self._spread(np.bincount(pixel, weights, minlength=self._size))

    @property
    def _size(self) -> int:
        return self._shape[0] * self._shape[1]

    def _spread(self, flat: NDArray[Any]) -> NDArray[np.float64]:
        grid = flat.reshape(self._shape).astype(np.float64)
        for axis in (0, 1):
            once = grid.copy()
            for step in range(1, self._reach + 1):
                ahead, behind = [slice(None)] * 2, [slice(None)] * 2
                ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
                grid[tuple(ahead)] += once[tuple(behind)]
                grid[tuple(behind)] += once[tuple(ahead)]
        return grid


def _around(points: Floats) -> QRectF:
    if not len(points):
        return QRectF()
    low, high = points.min(axis=0), points.max(axis=0)
    room = MARGIN * np.maximum(high - low, 1e-6)
    (left, top), (width, height) = low - room, high - low + 2 * room
    return QRectF(float(left), float(top), float(width), float(height))


def _rgba(color: str) -> tuple[int, int, int, int]:
    return QColor(color).getRgb()
