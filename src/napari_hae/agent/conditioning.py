"""Conditions a fitted model on more measurements, exactly and one at a time.

With the hyperparameters as they are, a further measurement adds one row to the
Cholesky factor. All candidates' cross-covariances, solved by the factor, are kept: then
a measurement costs one product over them, `O(n m)` for `n` candidates and `m` known,
instead of a new factor and `O(n m²)` (Rasmussen and Williams 2006, appendix A.4).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_hae.agent.deep_kernel import DeepKernelGP

_SPARE_ROWS = 16


class Conditioning:
    """What a model with fixed hyperparameters predicts, kept up to date.

    Parameters
    ----------
    model
        Fitted; its hyperparameters must stay as they are.
    candidates
        All candidates, embedded, `(n, width)`.
    known
        Indices of the measured candidates, at least one.
    targets
        Their standardised targets.
    """

    def __init__(
        self,
        model: DeepKernelGP,
        candidates: Tensor,
        known: Sequence[int],
        targets: Tensor,
    ) -> None:
        self._model, self._candidates = model, candidates
        self._noise = float(model.likelihood.noise)
        self._prior = sum(float(kernel.outputscale) for kernel, _ in model.parts())
        measured = candidates[list(known)]
        factor = model.factor(measured)
        covariance = model.covariance(measured, candidates).to_dense()
        solved = torch.linalg.solve_triangular(factor, covariance, upper=False)
        white = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
        self.size = len(known)
        """How many measurements are known."""
        self._rows = _with_room(solved, self.size)
        self.mean: Tensor = white[:, 0] @ solved
        """Of every candidate, standardised, `(n,)`."""
        self.variance: Tensor = self._prior - solved.square().sum(dim=0)
        """Of every candidate without noise, `(n,)`."""

    def add(self, index: int, target: float) -> None:
        """Learn one more measurement of a candidate, with its standardised target."""
        row, pivot = self._next_row(index, self.size)
        self.mean = self.mean + row * ((target - float(self.mean[index])) / pivot)
        self.variance = self.variance - row.square()
        self._keep(self.size, row)
        self.size += 1

    def variance_with(self, pending: Sequence[int]) -> Tensor:
        """The variance as if some candidates were measured too; nothing is learned."""
        variance = self.variance
        for count, index in enumerate(pending, self.size):
            row, _ = self._next_row(index, count)
            self._keep(count, row)
            variance = variance - row.square()
        return variance

    def is_surprised(self, index: int, target: float, deviations: float) -> bool:
        """Whether a target is so many standard deviations from the prediction."""
        variance = max(float(self.variance[index]), 0.0) + self._noise
        missed = abs(target - float(self.mean[index]))
        return missed > deviations * math.sqrt(variance)

    def _next_row(self, index: int, count: int) -> tuple[Tensor, float]:
        """The row of a candidate measured after the first `count`, and its pivot."""
        before = self._rows[:count]
        along = before[:, index]
        covariance = self._model.covariance(
            self._candidates[index : index + 1], self._candidates
        ).to_dense()[0]
        left = self._prior + self._noise - float(along.square().sum())
        # Rounding may leave less than the noise where a candidate is known already.
        pivot = math.sqrt(max(left, self._noise))
        return (covariance - along @ before) / pivot, pivot

    def _keep(self, count: int, row: Tensor) -> None:
        if count == len(self._rows):
            self._rows = _with_room(self._rows, count)
        self._rows[count] = row


def _with_room(rows: Tensor, count: int) -> Tensor:
    """The same rows with spare ones behind them."""
    larger = rows.new_empty((count + _SPARE_ROWS, rows.shape[1]))
    larger[:count] = rows[:count]
    return larger
