"""Log posterior of the hyperparameters given the measurements, and its gradient.

The log marginal likelihood (Rasmussen and Williams 2006, eq. 2.30) with the log priors,
and its gradient (eq. 5.9) in closed form: all length scales of a kernel share one
product of matrices, so that the gradient costs little more than the value. Automatic
differentiation through a general library takes ten times as long at these sizes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hae.agent.covariance import (
    MEAN_VARIANCE,
    cholesky,
    prior_of,
    squared_distances,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_hae.agent.covariance import Part

    Array = NDArray[np.float64]


class Evidence:
    """The evidence of measurements about the hyperparameters of a covariance.

    Parameters
    ----------
    parts
        The kernels.
    inputs
        Inputs of the kernels at the measured candidates, `(n, columns)`, float64.
    targets
        Standardised targets, `(n,)`, float64.
    known_noise
        Known noise variance of each measurement, `(n,)`; the fitted noise is added.
        None: no noise is known.
    """

    def __init__(
        self,
        parts: tuple[Part, ...],
        inputs: Tensor,
        targets: Tensor,
        known_noise: Tensor | None = None,
    ) -> None:
        self._parts, self._inputs, self._targets = parts, inputs, targets
        self._known_noise = known_noise
        self._centres, self._deviations = prior_of(parts)

    def __call__(self, logs: Array) -> tuple[float, Array]:
        """Return minus the log posterior per measurement, and its gradient, `(k,)`.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the covariance cannot be factorised with any jitter.
        """
        count, columns = self._inputs.shape
        lengths, noise = torch.from_numpy(np.exp(logs[:columns])), math.exp(logs[-1])
        scaled = self._inputs / lengths
        total = torch.full((count, count), MEAN_VARIANCE, dtype=torch.float64)
        kept, start = [], 0
        for part, log_variance in zip(self._parts, logs[columns:-1], strict=True):
            inputs = scaled[:, start : start + part.width]
            values, slopes = _kernel(part.kind, squared_distances(inputs, inputs))
            variance = math.exp(log_variance)
            total += values.mul_(variance)
            kept.append((inputs, values, slopes.mul_(variance)))
            start += part.width
        total.diagonal().add_(noise)
        if self._known_noise is not None:
            total.diagonal().add_(self._known_noise)
        factor = cholesky(total)
        inverse = torch.cholesky_inverse(factor)
        weights = inverse @ self._targets
        deviations = (logs - self._centres) / self._deviations
        value = float(self._targets @ weights) / 2
        value += float(factor.diagonal().log().sum())
        value += count * math.log(2 * math.pi) / 2
        value += float(deviations @ deviations) / 2
        # Half of the trace of this with the derivative of the covariance is the
        # gradient.
        pull = inverse.addr_(weights, weights, alpha=-1)
        by_variance = [torch.sum(pull * values)[None] / 2 for _, values, _ in kept]
        by_length = [
            _by_length(inputs, slopes.mul_(pull)) for inputs, _, slopes in kept
        ]
        by_noise = noise * pull.trace()[None] / 2
        gradient = torch.cat([*by_length, *by_variance, by_noise]).numpy()
        gradient += deviations / self._deviations
        return value / count, gradient / count


def _kernel(kind: str, squared: Tensor) -> tuple[Tensor, Tensor]:
    """Return the correlation `k` and `s`, with `dk / d log l = s (x - x')² / l²`."""
    if kind == "rbf":
        values = torch.exp(squared / -2)
        return values, values.clone()
    r = torch.sqrt(5 * squared)
    decay = torch.exp(-r)
    slopes = r.add_(1).mul_(decay)
    values = slopes + decay.mul_(squared).mul_(5 / 3)
    return values, slopes.mul_(5 / 3)


def _by_length(inputs: Tensor, pull: Tensor) -> Tensor:
    """Return the sum over all pairs of `pull (x - x')² / 2`, for each column."""
    own = pull.sum(dim=1) @ inputs.square()
    return own - (inputs * (pull @ inputs)).sum(dim=0)
