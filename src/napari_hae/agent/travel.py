"""The cost of beam moves: long ones need time to settle, with drift in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def with_travel_cost(
    values: Array, shape: tuple[int, int], start: int, weight: float
) -> Array:
    """Return the acquisition function less the travel cost, `(n,)`.

    Parameters
    ----------
    values
        Values of all candidates, `(n,)`; non-finite ones are unchanged.
    shape
        Rows and columns of the field.
    start
        Index of the candidate at the beam's position.
    weight
        Cost of a move across the field, in the unit of the values.
    """
    if not weight:
        return values
    row, column = divmod(start, shape[1])
    down, across = np.arange(shape[0]) - row, np.arange(shape[1]) - column
    distance = np.sqrt(np.add.outer(down**2.0, across**2.0)).ravel()
    distance *= weight / np.hypot(*shape)
    result: Array = np.subtract(values, distance, out=distance)
    return result
