"""Conditions the Gaussian process on more measurements, exactly and one at a time.

With the hyperparameters as they are, a further measurement adds one row to the
Cholesky factor (Rasmussen and Williams 2006, appendix A.4). All candidates'
cross-covariances, solved by the factor, are kept: then a measurement costs one product
over them, `O(n m)` for `n` candidates and `m` known, instead of a new factor and
`O(n m²)`. Where they would not fit into memory, cross-covariances are computed again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from napari_hae.agent.covariance import cholesky

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_hae.agent.covariance import Covariance

KEPT_VALUES = 16_000_000
"""So many solved cross-covariances are kept: 128 MB."""
_CHUNK_VALUES = 100_000
"""Cross-covariances computed at once: what stays in the processor's cache."""
_SPARE_ROWS = 16


class Conditioning:
    """What the process predicts for all candidates, kept up to date.

    Parameters
    ----------
    covariance
        With its hyperparameters.
    candidates
        All candidates, scaled by the covariance, `(n, columns)`.
    known
        Indices of the measured candidates, at least one.
    targets
        Their standardised targets, `(m,)`.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of what is known has no factor.
    """

    def __init__(
        self,
        covariance: Covariance,
        candidates: Tensor,
        known: Sequence[int],
        targets: Tensor,
    ) -> None:
        self._covariance, self._candidates = covariance, candidates
        self._known = list(known)
        measured = candidates[self._known]
        noisy = covariance(measured, measured)
        noisy.diagonal().add_(covariance.noise)
        # How much of each row of the factor is known is the size of `_known`.
        self._factor = cholesky(noisy)
        white = _solved(self._factor, targets[:, None])[:, 0]
        count, total = len(self._known), len(candidates)
        self._rows: Tensor | None = None
        if (count + _SPARE_ROWS) * total <= KEPT_VALUES:
            self._rows = candidates.new_empty((count + _SPARE_ROWS, total))
        self.mean: Tensor = candidates.new_empty(total)
        """Of every candidate, standardised, `(n,)`."""
        self.variance: Tensor = candidates.new_empty(total)
        """Of every candidate without noise, `(n,)`."""
        for place in _chunks(total, count):
            solved = _solved(self._factor, covariance(measured, candidates[place]))
            torch.mv(solved.T, white, out=self.mean[place])
            explained = torch.einsum("mn,mn->n", solved, solved)
            self.variance[place] = covariance.prior_variance - explained
            if self._rows is not None:
                self._rows[:count, place] = solved

    @property
    def size(self) -> int:
        """How many measurements are known."""
        return len(self._known)

    def add(self, index: int, target: float) -> None:
        """Learn one more measurement of a candidate, with its standardised target."""
        row, pivot = self._extended(index)
        self.mean = self.mean + row * ((target - float(self.mean[index])) / pivot)
        self.variance = self.variance - row.square()

    def variance_with(self, pending: Sequence[int]) -> Tensor:
        """The variance as if some candidates were measured too; nothing is learned."""
        known, factor, variance = list(self._known), self._factor, self.variance
        for index in pending:
            row, _ = self._extended(index)
            variance = variance - row.square()
        self._known, self._factor = known, factor
        return variance

    def is_surprised(self, index: int, target: float, deviations: float) -> bool:
        """Whether a target is so many standard deviations from the prediction."""
        variance = max(float(self.variance[index]), 0.0) + self._covariance.noise
        missed = abs(target - float(self.mean[index]))
        return missed > deviations * math.sqrt(variance)

    def _extended(self, index: int) -> tuple[Tensor, float]:
        """Count a candidate as known: its row over all candidates, and its pivot."""
        count, covariance = len(self._known), self._covariance
        candidate = self._candidates[index : index + 1]
        across = covariance(self._candidates[self._known], candidate)
        along = _solved(self._factor, across)[:, 0]
        left = covariance.prior_variance + covariance.noise - float(along @ along)
        # Rounding may leave less than the noise where a candidate is known already.
        pivot = math.sqrt(max(left, covariance.noise))
        row = self._candidates.new_empty(len(self._candidates))
        if self._rows is None:
            upper = self._factor.T
            weights = torch.linalg.solve_triangular(upper, along[:, None], upper=True)
            measured = self._candidates[self._known]
            for place in _chunks(len(row), count):
                known = covariance(measured, self._candidates[place])
                row[place] = weights[:, 0] @ known
        else:
            torch.mv(self._rows[:count].T, along, out=row)
        for place in _chunks(len(row), 1):
            own = covariance(candidate, self._candidates[place])[0]
            row[place] = own.sub_(row[place]).div_(pivot)
        self._keep(count, row)
        factor = self._factor.new_zeros((count + 1, count + 1))
        factor[:count, :count] = self._factor
        factor[count, :count], factor[count, count] = along, pivot
        self._factor, self._known = factor, [*self._known, index]
        return row, pivot

    def _keep(self, count: int, row: Tensor) -> None:
        if self._rows is None:
            return
        if count == len(self._rows):
            if (count + _SPARE_ROWS) * len(row) > KEPT_VALUES:
                self._rows = None
                return
            spare = self._rows.new_empty((_SPARE_ROWS, len(row)))
            self._rows = torch.cat([self._rows, spare])
        self._rows[count] = row


def _solved(factor: Tensor, values: Tensor) -> Tensor:
    result: Tensor = torch.linalg.solve_triangular(factor, values, upper=False)
    return result


def _chunks(total: int, width: int) -> Iterator[slice]:
    size = max(256, _CHUNK_VALUES // width)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
