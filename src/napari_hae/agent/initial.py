"""The initial design: positions measured before the agent has any data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.agent.policy_settings import InitialDesign


def design_point(
    design: InitialDesign, step: int, open_: NDArray[np.bool_], seed: int
) -> tuple[int, int]:
    """Return the pixel `(row, column)` of one point of the design.

    The design fills the bounding box of the open candidates; its point number `step` is
    moved to the nearest open one. It depends on nothing else, so that regions may
    change between two points.

    Parameters
    ----------
    open_
        Shape `(rows, columns)`, True where a measurement is possible; not all False.
    """
    rows, columns = np.nonzero(open_)
    low = np.array([rows.min(), columns.min()])
    size = np.array([rows.max(), columns.max()]) - low + 1
    row, column = low + fractions(design, seed)[step % design.points] * size - 0.5
    nearest = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
    return int(rows[nearest]), int(columns[nearest])


def fractions(design: InitialDesign, seed: int) -> NDArray[np.float64]:
    """Return the design in the unit square, `(points, 2)` as `(y, x)`."""
    rng = np.random.default_rng([seed, 0])
    if design.kind == "random":
        return rng.random((design.points, 2))
    if design.kind == "latin_hypercube":
        from scipy.stats.qmc import LatinHypercube

        points: NDArray[np.float64] = LatinHypercube(2, rng=rng).random(design.points)
        return points
    return _grid(design.points)


def _grid(points: int) -> NDArray[np.float64]:
    """Return a grid with about as many points per row as there are rows."""
    rows = max(1, round(np.sqrt(points)))
    per_row = [len(part) for part in np.array_split(np.arange(points), rows)]
    return np.array(
        [
            ((row + 0.5) / rows, (column + 0.5) / count)
            for row, count in enumerate(per_row)
            for column in range(count)
        ]
    )
