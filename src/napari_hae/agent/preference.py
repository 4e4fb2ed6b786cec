"""Where a person would rather have the agent measure, or rather not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def with_preference(values: Array, preference: Array | None, unit: float) -> Array:
    """The acquisition function with what a person prefers, `(n,)`.

    Nothing is excluded by it. Where all values are equal, the preference alone decides.

    Parameters
    ----------
    values
        Of all candidates, `(n,)`; those that are not finite stay as they are.
    preference
        What is added to each, `(n,)`, in units; None: nothing.
    unit
        See `AcquisitionFunction.unit`.
    """
    if preference is None:
        return values
    result: Array = values + (unit or 1.0) * preference
    return result
