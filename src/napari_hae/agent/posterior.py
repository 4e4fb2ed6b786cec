"""What a surrogate predicts for all candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Posterior:
    """The prediction for `n` candidates.

    Attributes
    ----------
    mean, std
        Shape `(n,)`, float64.
    sample
        Draws one function from the joint posterior, shape `(n,)`.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    sample: Callable[[np.random.Generator], NDArray[np.float64]]
