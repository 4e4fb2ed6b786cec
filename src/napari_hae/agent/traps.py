"""Detection of traps: repeated measurements of one structure without improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CONCENTRATION = 0.5
"""Recent measurements are of one structure if the variance of their model inputs is
below this share of the variance over the candidates that could be measured instead."""
_ROUNDING = 1e-10
"""Share of the squared value below which a variance counts as zero."""


def is_trapped(utilities: Array, seen: Array, spread: Array, noise_std: float) -> bool:
    """Return whether recent measurements, all in similar places, found no improvement.

    Both are needed: a search elsewhere without success so far is no trap, nor is a
    steady improvement along one structure. Where all open candidates resemble the
    recent measurements there is no alternative, and so no trap.

    Parameters
    ----------
    utilities
        Utilities of all measurements in their order, `(m,)`; the recent ones are last.
    seen
        Model inputs of the recent measurements, `(recent, width)`.
    spread
        Variance of the inputs over these and the open candidates, `(width,)`.
    noise_std
        Standard deviation of one measurement's noise, in the unit of the utilities.
    """
    recent = len(seen)
    if len(utilities) <= recent:
        return False
    gained = utilities[-recent:].max() - utilities[:-recent].max()
    if gained > noise_std:
        return False
    differs = spread > _ROUNDING * np.square(seen).mean(axis=0)
    varied = seen.var(axis=0)[differs] / spread[differs]
    return bool(len(varied)) and float(varied.mean()) < CONCENTRATION
