"""Distances of places and rectangles from outlines, fast for many and large ones.

For places, an outline is cut into short pieces, and the distance to the nearest middle
of a piece is looked up in a tree. The distance to the outline itself is at most that,
and at least the other leg of a right triangle over half a piece: two bounds, so that
whoever asks can be on the safe side. For a rectangle the distance is exact, and no
point of it is sampled: what that costs depends on the outline only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

MOST_PIECES = 100_000
"""Approximate limit on the number of pieces; beyond it pieces get longer."""


def cut(segments: Array, longest_nm: float) -> tuple[Array, NDArray[np.intp]]:
    """Cut segments into pieces, `(m, 2, 2)`; also return the segment of each, `(m,)`.

    Parameters
    ----------
    segments
        `(n, 2, 2)`: start and end of each, `(y_nm, x_nm)`.
    longest_nm
        No piece is longer, unless there were too many.
    """
    start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
    length = np.sqrt((along**2).sum(axis=1))
    longest_nm = max(longest_nm, float(length.sum()) / MOST_PIECES)
    counts = np.maximum(np.ceil(length / longest_nm), 1).astype(np.intp)
    which = np.repeat(np.arange(len(segments)), counts)
    first = np.cumsum(counts) - counts
    part = (np.arange(len(which)) - first[which])[:, None]
    step = along[which] / counts[which, None]
    pieces = start[which, None] + step[:, None] * np.stack([part, part + 1], axis=1)
    return pieces, which


@dataclass(frozen=True)
class Rectangle:
    """A rectangle along the axes, with its border.

    Attributes
    ----------
    low, high
        Its least and its largest `(y, x)`, in nm.
    """

    low: tuple[float, float]
    high: tuple[float, float]

    @property
    def centre(self) -> tuple[float, float]:
        """`(y, x)` in nm."""
        (top, left), (bottom, right) = self.low, self.high
        return (top + bottom) / 2, (left + right) / 2

    @property
    def size(self) -> tuple[float, float]:
        """Height and width in nm."""
        (top, left), (bottom, right) = self.low, self.high
        return bottom - top, right - left

    def inset(self, by_nm: float) -> Rectangle:
        """Return the rectangle without a rim; at least its centre."""
        (y, x), (height, width) = self.centre, self.size
        down, right = max(height / 2 - by_nm, 0), max(width / 2 - by_nm, 0)
        return Rectangle((y - down, x - right), (y + down, x + right))

    def comes_near(self, segments: Array, reach_nm: float) -> bool:
        """Return whether one of `(n, 2, 2)` segments lies within reach, or at reach."""
        low, high = np.array(self.low), np.array(self.high)
        # Most are ruled out by the rectangles around them.
        least, most = segments.min(axis=1), segments.max(axis=1)
        beside = (least > high + reach_nm) | (most < low - reach_nm)
        segments = segments[~beside.any(axis=1)]
        away = np.maximum(low - segments, 0) + np.maximum(segments - high, 0)
        if (np.hypot(away[..., 0], away[..., 1]) <= reach_nm).any():
            return True
        start, along = segments[:, 0], segments[:, 1] - segments[:, 0]
        return self._is_crossed(segments, along) or any(
            (_distance(np.array(corner), start, along) <= reach_nm).any()
            for corner in (low, high, (low[0], high[1]), (high[0], low[1]))
        )

    def _is_crossed(self, segments: Array, along: Array) -> bool:
        """Return whether a segment crosses: no axis and no normal separates the two."""
        low, high = np.array(self.low), np.array(self.high)
        least, most = segments.min(axis=1), segments.max(axis=1)
        apart = ((least > high) | (most < low)).any(axis=1)
        normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
        off = ((np.array(self.centre) - segments[:, 0]) * normal).sum(axis=1)
        apart |= np.abs(off) > (np.abs(normal) * (high - low) / 2).sum(axis=1)
        return not apart.all()


def _distance(place: Array, start: Array, along: Array) -> Array:
    """Return the distance from one place to each of many segments, in nm."""
    squared = (along**2).sum(axis=1)
    part = ((place - start) * along).sum(axis=1) / np.where(squared, squared, 1)
    off = place - start - np.clip(part, 0, 1)[:, None] * along
    distance: Array = np.hypot(off[:, 0], off[:, 1])
    return distance


class Outline:
    """The distance of places from the pieces of an outline.

    Parameters
    ----------
    pieces
        `(m, 2, 2)`: start and end of each, `(y_nm, x_nm)`; may be none.
    reach_nm
        Distance beyond which a place counts as infinitely far.
    """

    def __init__(self, pieces: Array, reach_nm: float) -> None:
        along = pieces[:, 1] - pieces[:, 0]
        self._half_squared = float((along**2).sum(axis=1).max(initial=0.0)) / 4
        self._reach_nm = float(np.sqrt(reach_nm**2 + 4 * self._half_squared))
        self._tree = KDTree(pieces.mean(axis=1)) if len(pieces) else None

    def distance(self, y_nm: ArrayLike, x_nm: ArrayLike) -> tuple[Array, Array]:
        """Return lower and upper bound in nm; broadcasts; NaN for invalid places.

        One place and many are answered alike, to the last bit.
        """
        y, x = np.broadcast_arrays(np.asarray(y_nm, float), np.asarray(x_nm, float))
        far = np.full(y.shape, np.nan)
        is_place = np.isfinite(y) & np.isfinite(x)
        places = np.stack([y[is_place], x[is_place]], axis=1)
        if self._tree is None:
            far[is_place] = np.inf
        else:
            far[is_place], _ = self._tree.query(
                places, distance_upper_bound=self._reach_nm
            )
        near = np.sqrt(np.maximum(far**2 - self._half_squared, 0))
        return near, far
