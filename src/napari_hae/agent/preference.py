"""The user's preference for positions, added to the acquisition function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def with_preference(values: Array, preference: Array | None, unit: float) -> Array:
    """Return the acquisition function with the user's preference added, `(n,)`.

    It excludes no candidate. Where all values are equal, the preference alone decides.

    Parameters
    ----------
    values
        Values of all candidates, `(n,)`; non-finite ones are unchanged.
    preference
        Preference of each, `(n,)`, in multiples of `unit`; None: no preference.
    unit
        See `AcquisitionFunction.unit`.
    """
    if preference is None:
        return values
    result: Array = values + (unit or 1.0) * preference
    return result
