"""The goal of the experiment: the largest target, the smallest, or a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_hae.agent.posterior import Posterior
from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class Goal(Settings):
    """Turns targets into utilities, of which more is better."""

    direction: Literal["maximise", "minimise", "reach"] = Field(
        default="maximise", title="Direction"
    )
    """Look for the largest target, the smallest, or the one nearest to a value.
    Default: maximise."""
    value: float | None = Field(
        default=None,
        title="Value to reach",
        json_schema_extra={"empty": "none", "shown_if": {"direction": ["reach"]}},
    )
    """The target to reach, in the target's own unit; used with the direction "reach"
    only."""

    @model_validator(mode="after")
    def _has_value_to_reach(self) -> Self:
        if self.direction == "reach" and self.value is None:
            raise ValueError("the direction 'reach' needs a value to reach")
        return self

    def utility_of(self, targets: ArrayLike) -> NDArray[np.float64]:
        """Return the utility of measured targets, same shape; NaN where a target is."""
        values = np.asarray(targets, dtype=np.float64)
        if self.direction == "reach":
            return -np.abs(values - self._value)
        return values if self.direction == "maximise" else -values

    def utility(self, posterior: Posterior) -> Posterior:
        """Return the posterior of the utility.

        For "reach" the utility `-|t - value|` is no normal variable: its mean and
        standard deviation are those of the folded normal distribution (Leone et
        al., Technometrics 3, 543 (1961)).
        """

        def sample(rng: np.random.Generator) -> NDArray[np.float64]:
            return self.utility_of(posterior.sample(rng))

        mean, std = posterior.mean, posterior.std
        if self.direction == "reach":
            mean, std = _folded_normal(mean - self._value, std)
        if self.direction != "maximise":
            mean = -mean
        return Posterior(mean=mean, std=std, sample=sample)

    def best(self, targets: Sequence[float] | NDArray[np.float64]) -> float:
        """Return the best of the finite targets; NaN if there is none."""
        values = np.asarray(targets, dtype=np.float64)
        utilities = self.utility_of(values)
        if not np.isfinite(utilities).any():
            return float("nan")
        return float(values[int(np.nanargmax(utilities))])

    @property
    def _value(self) -> float:
        assert self.value is not None
        return self.value


def _folded_normal(
    mean: NDArray[np.float64], std: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of `|x|` for normal `x`."""
    from scipy.special import erf

    safe = np.maximum(std, np.finfo(float).tiny)
    # Beyond 40 standard deviations the folded part is zero.
    ratio = np.clip(mean / safe, -40, 40)
    folded = safe * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
    folded += mean * erf(ratio / np.sqrt(2))
    variance = np.maximum(mean**2 + std**2 - folded**2, 0)
    return folded, np.sqrt(variance)
