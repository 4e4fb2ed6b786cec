"""Tells when a path is trapped: measuring the same structure again, for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

CONCENTRATION = 0.5
"""Recent measurements are of one structure if what the model sees of them varies less
than this share of its variance over what could be measured instead."""
_ROUNDING = 1e-10
"""A variance below this share of the square is none."""


def is_trapped(utilities: Array, seen: Array, spread: Array, noise_std: float) -> bool:
    """Whether the recent measurements found nothing better, all in like places.

    Both are needed: a search elsewhere that has not found anything yet is no trap, nor
    is a climb along one structure. Where all that is open looks like the recent ones
    there is nothing to leave for, and so no trap.

    Parameters
    ----------
    utilities
        Of all measurements in their order, `(m,)`; the recent ones are the last.
    seen
        What the model compares of the recent measurements, `(recent, width)`.
    spread
        Variance of the same over these and what is open, `(width,)`.
    noise_std
        Of one measurement, in the unit of the utilities.
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
