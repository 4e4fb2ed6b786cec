"""Where a person would rather have the agent measure, or rather not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def with_preference(values: Array, preference: Array | None) -> Array:
    """The acquisition function with what a person prefers, `(n,)`.

    Nothing is excluded by it. Where all values are equal, the preference alone decides.

    Parameters
    ----------
    values
        Of all candidates, `(n,)`; those that are not finite stay as they are.
    preference
        What is added to each, `(n,)`, in standard deviations of the finite values;
        None: nothing.
    """
    finite = np.isfinite(values)
    if preference is None or not finite.any():
        return values
    result: Array = values + (float(values[finite].std()) or 1.0) * preference
    return result
