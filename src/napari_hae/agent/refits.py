"""Schedule of hyperparameter refits; in between the model is only conditioned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

GROWTH = 1.1
"""A fit is due when the number of measurements has grown by this factor."""
MANY, GROWTH_OF_MANY = 100, 1.5
"""From `MANY` measurements on a fit takes longer and changes less: the growth factor is
larger, none starts from scratch, and a few surprises call for none."""
FRESH_GROWTH = 1.5
"""Growth factor for a fit from scratch, to leave local optima."""
SURPRISE = 3.0
"""Deviation, in standard deviations, from which a measurement triggers a fit at
once."""
FEW = 0.03
"""Largest share of surprises among the measurements, since the last fit, that counts as
few; noise with long tails causes some all the time."""
RESCALED = 1.5
"""Factor by which the spread of many targets must change since the last fit to trigger
one at once, as does a shift of their centre by half their spread: they are no longer
standardised, and hyperparameters are fitted to standardised targets."""


@dataclass
class Refits:
    """Bookkeeping of the fits that are due.

    Attributes
    ----------
    due, fresh
        Measurement counts at which the next warm and cold refits are due.
    surprises
        Number of surprises since the last fit.
    """

    due: int = 0
    fresh: int = 0
    surprises: int = 0

    def begin(self, count: int) -> None:
        """Note the start of a fit to `count` measurements."""
        growth = GROWTH if count < MANY else GROWTH_OF_MANY
        self.due, self.surprises = max(math.ceil(growth * count), count + 2), 0

    def goes_on(self, count: int) -> bool:
        """Return whether a fit to `count` measurements starts from the last result."""
        return count < self.fresh or count >= MANY

    def begin_afresh(self, count: int) -> None:
        """Note the start of a fit from scratch to `count` measurements."""
        self.fresh = math.ceil(FRESH_GROWTH * count)

    def surprised(self, count: int, more: int) -> bool:
        """Return whether `more` surprises trigger a fit to `count`; else count them."""
        surprises = self.surprises + more
        if surprises > (FEW * count if count >= MANY else 0):
            return True
        self.surprises = surprises
        return False


@dataclass(frozen=True)
class Standard:
    """Standardisation of targets.

    Attributes
    ----------
    centre, spread
        In the targets' unit; equal targets have a spread of 1.
    """

    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, targets: Array) -> Standard:
        """Return the standardisation by mean and standard deviation of targets."""
        centre, spread = float(targets.mean()), float(targets.std())
        equal = spread <= 1e-12 * max(abs(centre), 1e-300)
        return cls(centre, 1.0 if equal else spread)

    def scaled(self, targets: Array) -> Array:
        """Return targets about the centre in units of the spread."""
        return (targets - self.centre) / self.spread

    def back(self, scaled: Array) -> Array:
        """Return scaled values in the targets' unit."""
        return self.centre + self.spread * scaled

    def suits(self, targets: Array) -> bool:
        """Return whether it still standardises further targets; always True for few."""
        if len(targets) < MANY:
            return True
        new = Standard.of(targets)
        moved = abs(new.centre - self.centre) > (RESCALED - 1) * self.spread
        return not moved and 1 / RESCALED < new.spread / self.spread < RESCALED
