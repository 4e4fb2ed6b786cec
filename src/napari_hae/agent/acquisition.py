"""Acquisition functions: value of a measurement at each candidate.

All are maximised. They see the posterior of the utility (see `napari_hae.agent.goal`),
so that they need not know the direction of the goal. A new one is a subclass of
`AcquisitionFunction` with a `kind`, registered in the entry-point group
`napari_hae.acquisition_functions`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.special import log_ndtr, ndtr

from napari_hae.agent.posterior import Posterior
from napari_hae.agent.schedule import Schedule
from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["AcquisitionFunction", "Posterior", "Schedule"]

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)
_LEAST_STD = 1e-100
_TAIL, _LEVELS = 5.0, 16
"""Distance into the left tail, in standard deviations, from which the continued
fraction is used, and its depth; 16 levels are exact to 12 digits there."""
_THOUSANDFOLD = math.log(1000)
_LARGEST_Z = 1e150
"""Largest |z| whose square is still finite; with zero uncertainty the means decide."""


class AcquisitionFunction(Settings):
    """Base class of all acquisition functions."""

    title: ClassVar[str]
    """Name shown in the window."""
    needs_model: ClassVar[bool] = True
    """True if it evaluates the posterior; if False, no model is fitted."""
    seeks_best: ClassVar[bool] = True
    """True if it looks for an improvement on the best, not for knowledge alone."""

    kind: str = Field(title="Acquisition function")

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """Return the value of each candidate, shape `(n,)`; larger is better.

        `best` is the best utility known so far; `rng` the only source of randomness.
        """
        raise NotImplementedError

    def at(self, step: int) -> AcquisitionFunction:
        """Return the function in force in a step, from 0; see `Schedule`."""
        return self

    def begun(self, before: object, step: int) -> AcquisitionFunction:
        """Return the function as it replaces another at a step; see `Schedule`."""
        return self

    def per_cost(self, values: Array, cost: Array) -> Array:
        """Return the values per unit of measurement cost, both `(n,)`.

        Values that are not gains, and so cannot be divided, are returned unchanged.
        """
        return values

    def unit(self, values: Array) -> float:
        """Return the scale of the values for soft regions and travel costs of weight 1.

        By default the standard deviation of the finite values of the candidates,
        `(n,)`; 0 where there are none.
        """
        finite = values[np.isfinite(values)]
        return float(finite.std()) if len(finite) else 0.0

    def exploring(self, posterior: Posterior, best: float, chosen: int) -> float:
        """Return the share of a candidate's value that comes from exploration, 0 to 1.

        The candidate is compared with a typical one, which has the median mean and
        standard deviation of the field: the gain from its mean is exploitation, the
        gain from its standard deviation is exploration. NaN where neither is a gain. By
        default mean and standard deviation have the same weight.
        """
        mean, std = _of_field(posterior, chosen)
        return _share(mean[0] - mean[1], std[0] - std[1])


class _Improvement(Schedule, AcquisitionFunction):
    """Base class of all functions of the improvement on the best."""

    exploration: ClassVar[str] = "xi"
    xi: float = Field(default=0.0, ge=0, le=10, title="Exploration ξ")
    """Only what is better than the best so far by more than ξ counts, with ξ in units
    of the median predicted standard deviation. Larger: explores more. Default 0."""

    def _z(self, posterior: Posterior, best: float) -> tuple[Array, Array]:
        """Return the standardised improvement, and the positive standard deviation."""
        margin = self.xi * float(np.median(posterior.std)) if self.xi else 0.0
        std = np.maximum(posterior.std, _LEAST_STD)
        z = (posterior.mean - best - margin) / std
        return np.clip(z, -_LARGEST_Z, _LARGEST_Z), std

    def exploring(self, posterior: Posterior, best: float, chosen: int) -> float:
        """See `AcquisitionFunction`.

        The candidate's mean and standard deviation replace the typical ones, one after
        the other, in both orders; the gains of each are averaged. These are their
        Shapley values (Shapley 1953), which add up to the whole gain.

        The terms `σ z Φ(z)` and `σ φ(z)` of the expected improvement cannot be used for
        this: the best is a mean of the model, so that hardly any other mean is better,
        and the first term is a loss.
        """
        mean, std = _of_field(posterior, chosen)
        # The other candidates are typical ones, so the median standard deviation stays.
        at = Posterior(
            mean[[0, 0, 1, 1, 1, 1, 1]], std[[0, 1, 0, 1, 1, 1, 1]], posterior.sample
        )
        both, by_mean, by_std, usual = self(at, best, np.random.default_rng(0))[:4]
        exploited = (by_mean - usual + both - by_std) / 2
        explored = (by_std - usual + both - by_mean) / 2
        return _share(exploited, explored)


class LogExpectedImprovement(_Improvement):
    """The logarithm of the expected improvement, exact far from the best too.

    Ament et al., Unexpected improvements to expected improvement, NeurIPS 2023, eq. 9.
    """

    title: ClassVar[str] = "Expected improvement (log)"
    kind: Literal["log_ei"] = "log_ei"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        z, std = self._z(posterior, best)
        return np.log(std) + _log_h(z)

    def per_cost(self, values: Array, cost: Array) -> Array:
        """See `AcquisitionFunction` (Snoek et al., NeurIPS 2012, section 3.2)."""
        return values - np.log(cost)

    def unit(self, values: Array) -> float:
        """See `AcquisitionFunction`: a factor of a thousand.

        The logarithms of hopeless candidates vary by thousands.
        """
        return _THOUSANDFOLD


class ExpectedImprovement(_Improvement):
    """The expected improvement on the best (Jones et al., J. Glob. Optim. 13, 1998)."""

    title: ClassVar[str] = "Expected improvement"
    kind: Literal["ei"] = "ei"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        z, std = self._z(posterior, best)
        return std * np.exp(_log_h(z))

    def exploring(self, posterior: Posterior, best: float, chosen: int) -> float:
        """See `AcquisitionFunction`; in logarithms, as it falls by many orders."""
        logarithm = LogExpectedImprovement(xi=self.xi)
        return logarithm.exploring(posterior, best, chosen)

    def per_cost(self, values: Array, cost: Array) -> Array:
        """See `AcquisitionFunction` (Snoek et al., NeurIPS 2012, section 3.2)."""
        return values / cost


class ProbabilityOfImprovement(_Improvement):
    """The probability of an improvement on the best (Kushner 1964)."""

    title: ClassVar[str] = "Probability of improvement"
    kind: Literal["pi"] = "pi"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        # In log space: far from the best all probabilities would be the same zero.
        return np.asarray(log_ndtr(self._z(posterior, best)[0]))

    def unit(self, values: Array) -> float:
        """See `AcquisitionFunction`: a factor of a thousand.

        The logarithms of hopeless candidates vary by thousands.
        """
        return _THOUSANDFOLD


class UpperConfidenceBound(Schedule, AcquisitionFunction):
    """Mean plus β standard deviations (Srinivas et al., ICML 2010)."""

    title: ClassVar[str] = "Upper confidence bound"
    exploration: ClassVar[str] = "beta"
    kind: Literal["ucb"] = "ucb"
    beta: float = Field(default=2.0, ge=0, le=100, title="Exploration β")
    """How many standard deviations are added to the mean. 0 only exploits; larger:
    explores more. Default 2."""

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        return posterior.mean + self.beta * posterior.std

    def exploring(self, posterior: Posterior, best: float, chosen: int) -> float:
        """See `AcquisitionFunction`; a standard deviation counts as β means."""
        mean, std = _of_field(posterior, chosen)
        return _share(mean[0] - mean[1], self.beta * (std[0] - std[1]))


class MaximumUncertainty(AcquisitionFunction):
    """The standard deviation: learns the whole map, whatever the goal."""

    title: ClassVar[str] = "Maximum uncertainty"
    seeks_best: ClassVar[bool] = False
    kind: Literal["maximum_uncertainty"] = "maximum_uncertainty"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        return posterior.std

    def exploring(self, posterior: Posterior, best: float, chosen: int) -> float:
        """See `AcquisitionFunction`; the mean has no say."""
        return 1.0


class ThompsonSampling(AcquisitionFunction):
    """One function drawn from the posterior (Thompson, Biometrika 25, 1933)."""

    title: ClassVar[str] = "Thompson sampling"
    kind: Literal["thompson"] = "thompson"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        return posterior.sample(rng)


class RandomChoice(AcquisitionFunction):
    """Any candidate, with the same probability: the baseline."""

    title: ClassVar[str] = "Random"
    needs_model: ClassVar[bool] = False
    kind: Literal["random"] = "random"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        return rng.random(len(posterior.mean))


class Raster(AcquisitionFunction):
    """One row after the other, from the top left corner."""

    title: ClassVar[str] = "Raster"
    needs_model: ClassVar[bool] = False
    kind: Literal["raster"] = "raster"

    def __call__(
        self, posterior: Posterior, best: float, rng: np.random.Generator
    ) -> Array:
        """See `AcquisitionFunction`."""
        return -np.arange(len(posterior.mean), dtype=float)


def _of_field(posterior: Posterior, chosen: int) -> tuple[Array, Array]:
    """Return means and standard deviations of a candidate and a typical one, `(2,)`."""
    mean, std = posterior.medians
    return (
        np.array([posterior.mean[chosen], mean]),
        np.array([posterior.std[chosen], std]),
    )


def _share(exploited: float, explored: float) -> float:
    gained = max(exploited, 0.0), max(explored, 0.0)
    return float(gained[1] / sum(gained)) if sum(gained) > 0 else math.nan


def _log_h(z: Array) -> Array:
    """Return `log(φ(z) + z Φ(z))`, stable for all `z` (Ament et al. 2023, eq. 9).

    In the left tail it is `φ(z) (1 - t M(t))` with `t = -z` and Mills' ratio `M(t) =
    1/(t + 1/(t + 2/(t + 3/(t + …` (Abramowitz and Stegun 26.2.14). With `1/k` for the
    terms after the first `t +`, the bracket is `1/(1 + t k)`: no cancellation occurs.
    """
    z = np.asarray(z, dtype=np.float64)
    t = np.maximum(-z, _TAIL)
    below = t.copy()
    for level in range(_LEVELS, 1, -1):
        np.divide(level, below, out=below)
        below += t
    result: Array = -np.log1p(t * below) - t * t / 2 - _LOG_SQRT_2PI
    near = np.flatnonzero(z > -_TAIL)
    middle = z[near]
    result[near] = np.log(
        np.exp(-middle * middle / 2 - _LOG_SQRT_2PI) + middle * ndtr(middle)
    )
    return result
