"""When the hyperparameters are fitted again; in between the model is conditioned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

GROWTH = 1.1
"""A fit is due when there are so many times as many measurements."""
MANY, GROWTH_OF_MANY = 100, 1.5
"""With so many measurements a fit takes longer and changes less: none begins afresh,
and a few surprises among so many call for none."""
FRESH_GROWTH = 1.5
"""A fit starts afresh, to leave local optima, at so many times as many."""
SURPRISE = 3.0
"""So many standard deviations off, a measurement calls for a fit at once."""
FEW = 0.03
"""Surprises since the last fit are a few if they are at most this share of what is
known; noise with long tails gives some all the time."""
RESCALED = 1.5
"""Many targets that vary so many times more or less than at the last fit call for one
at once, as does a centre that moved by half of how they varied: they are no longer
standardised, and hyperparameters are fitted to targets that are."""


@dataclass
class Refits:
    """Which fits are due.

    Attributes
    ----------
    due, fresh
        With so many measurements comes the next fit, and the next one afresh.
    surprises
        Since the last fit.
    """

    due: int = 0
    fresh: int = 0
    surprises: int = 0

    def begin(self, count: int) -> None:
        """A fit to so many measurements begins."""
        growth = GROWTH if count < MANY else GROWTH_OF_MANY
        self.due, self.surprises = max(math.ceil(growth * count), count + 2), 0

    def goes_on(self, count: int) -> bool:
        """Whether a fit to so many goes on from the last one."""
        return count < self.fresh or count >= MANY

    def begin_afresh(self, count: int) -> None:
        """A fit to so many begins afresh."""
        self.fresh = math.ceil(FRESH_GROWTH * count)

    def surprised(self, count: int, more: int) -> bool:
        """Whether more surprises call for a fit to so many; else they are counted."""
        surprises = self.surprises + more
        if surprises > (FEW * count if count >= MANY else 0):
            return True
        self.surprises = surprises
        return False


@dataclass(frozen=True)
class Standard:
    """What standardises targets.

    Attributes
    ----------
    centre, spread
        In the targets' unit; equal targets have a spread of 1.
    """

    centre: float = 0.0
    spread: float = 1.0

    @classmethod
    def of(cls, targets: Array) -> Standard:
        """Mean and standard deviation of targets."""
        centre, spread = float(targets.mean()), float(targets.std())
        equal = spread <= 1e-12 * max(abs(centre), 1e-300)
        return cls(centre, 1.0 if equal else spread)

    def scaled(self, targets: Array) -> Array:
        """Targets about the centre in units of the spread."""
        return (targets - self.centre) / self.spread

    def back(self, scaled: Array) -> Array:
        """Scaled values in the targets' unit."""
        return self.centre + self.spread * scaled

    def suits(self, targets: Array) -> bool:
        """Whether it still standardises what were fewer targets; few may change."""
        if len(targets) < MANY:
            return True
        new = Standard.of(targets)
        moved = abs(new.centre - self.centre) > (RESCALED - 1) * self.spread
        return not moved and 1 / RESCALED < new.spread / self.spread < RESCALED
