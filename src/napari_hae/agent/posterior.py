"""A surrogate's prediction for all candidates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_ENOUGH = 4096
"""Number of candidates that suffice to estimate a median."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The prediction for `n` candidates.

    Attributes
    ----------
    mean, std
        Shape `(n,)`, float64; read-only.
    sample
        Function that draws from the joint posterior, shape `(n,)`.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    sample: Callable[[np.random.Generator], NDArray[np.float64]]

    def __post_init__(self) -> None:
        # The maps show the same arrays: no acquisition function may change them.
        for name in ("mean", "std"):
            shown = getattr(self, name).view()
            shown.setflags(write=False)
            object.__setattr__(self, name, shown)

    @cached_property
    def medians(self) -> tuple[float, float]:
        """Medians of mean and standard deviation over the candidates."""
        # A median of thousands approximates that of all, in a tenth of the time.
        some = slice(None, None, _stride(len(self.mean)))
        return float(np.median(self.mean[some])), float(np.median(self.std[some]))


def _stride(count: int) -> int:
    """Return the largest stride that samples enough candidates, in all columns equally.

    Coprime to the number of pixels, and so to rows and columns: otherwise it could be
    commensurate with a lattice, and sample only one part of each period.
    """
    most = max(1, count // _ENOUGH)
    return next(s for s in range(most, 0, -1) if math.gcd(s, count) == 1)
