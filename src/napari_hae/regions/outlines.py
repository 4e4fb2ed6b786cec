"""How far places are from an outline, fast for many places and many segments.

An outline is cut into short pieces, and the distance to the nearest middle of a piece
is looked up in a tree. The distance to the outline itself is at most that, and at least
the other leg of a right triangle over half a piece: two bounds, so that whoever asks
can be on the safe side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

MOST_PIECES = 100_000
"""Pieces are longer rather than more than about so many."""


def cut(segments: Array, longest_nm: float) -> tuple[Array, NDArray[np.intp]]:
    """Segments cut into pieces, `(m, 2, 2)`, and the segment each is of, `(m,)`.

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


class Outline:
    """The distance of places from the pieces of an outline.

    Parameters
    ----------
    pieces
        `(m, 2, 2)`: start and end of each, `(y_nm, x_nm)`; may be none.
    reach_nm
        What is farther counts as infinitely far.
    """

    def __init__(self, pieces: Array, reach_nm: float) -> None:
        along = pieces[:, 1] - pieces[:, 0]
        self._half_squared = float((along**2).sum(axis=1).max(initial=0.0)) / 4
        self._reach_nm = float(np.sqrt(reach_nm**2 + 4 * self._half_squared))
        self._tree = KDTree(pieces.mean(axis=1)) if len(pieces) else None

    def distance(self, y_nm: ArrayLike, x_nm: ArrayLike) -> tuple[Array, Array]:
        """Lower and upper bound in nm; broadcasts; NaN for what is no place.

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
