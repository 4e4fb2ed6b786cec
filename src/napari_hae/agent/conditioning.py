"""Exact conditioning of the Gaussian process on further measurements.

At fixed hyperparameters, a further measurement adds one row to the Cholesky factor
(Rasmussen and Williams 2006, appendix A.4). All candidates' cross-covariances, solved
by the factor, are kept: then a measurement costs one product over them, `O(n m)` for
`n` candidates and `m` known, instead of a new factor and `O(n m²)`. Where they would
not fit into memory, cross-covariances are computed again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hae.agent.covariance import cholesky

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from napari_hae.agent.covariance import Covariance

KEPT_VALUES = 32_000_000
"""Largest number of solved cross-covariances that are kept: 256 MB."""
_CHUNK_VALUES = 100_000
"""Cross-covariances computed at once, such that they stay in the processor's cache."""
_SPARE_ROWS = 16


class Conditioning:
    """Incrementally updated prediction of the process for all candidates.

    Parameters
    ----------
    covariance
        The covariance with its hyperparameters.
    candidates
        All candidates, scaled by the covariance, `(n, columns)`.
    known
        Indices of the measured candidates, at least one.
    targets
        Their standardised targets, `(m,)`.
    known_noise
        Known noise variance of each measurement, in addition to the covariance's,
        `(m,)`.
    room
        Buffer of an earlier instance that is no longer used: new memory is slow.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of the measurements cannot be factorised.
    """

    def __init__(
        self,
        covariance: Covariance,
        candidates: Tensor,
        known: Sequence[int],
        targets: Tensor,
        known_noise: Tensor,
        room: Tensor | None = None,
    ) -> None:
        self._covariance = covariance
        self._candidates = covariance.lifted(candidates)
        self._known = list(known)
        measured = self._candidates[self._known]
        noisy = covariance.between(measured, measured)
        noisy.diagonal().add_(covariance.noise).add_(known_noise)
        self._usual_noise = float(known_noise.mean())
        # Another memory layout changes the order of multiplication, and a resumed run
        # would differ in the last bits.
        self._factor = cholesky(noisy).contiguous()
        white = _solved(self._factor, targets[:, None])[:, 0]
        self.log_likelihood = _log_density(self._factor, white)
        """Log likelihood of all known targets, standardised (Rasmussen and Williams
        2006, eq. 2.30); by the chain rule each further one adds a term."""
        count, total = len(self._known), len(candidates)
        self._rows = _room(room, candidates, count)
        # Computed from the known measurements alone, independent of earlier pending
        # ones: another order of operations would differ in the last bits.
        self._kept = 0 if self._rows is None else count
        self.mean: Tensor = candidates.new_empty(total)
        """Predicted mean of every candidate, standardised, `(n,)`."""
        self.variance: Tensor = candidates.new_empty(total)
        """Predicted variance of every candidate without noise, `(n,)`."""
        self._pending: list[int] = []
        for place in _chunks(total, count):
            across = covariance.between(measured, self._candidates[place])
            solved = _solved(self._factor, across)
            torch.mv(solved.T, white, out=self.mean[place])
            explained = torch.einsum("mn,mn->n", solved, solved)
            self.variance[place] = covariance.prior_variance - explained
            if self._rows is not None:
                self._rows[:count, place] = solved

        self._with_pending = self.variance

    @property
    def room(self) -> Tensor | None:
        """Buffer of the cross-covariances, for reuse by the next instance."""
        return self._rows

    @property
    def size(self) -> int:
        """Number of known measurements."""
        return len(self._known) - len(self._pending)

    def add(
        self, indices: Sequence[int], targets: Sequence[float], known_noise: Tensor
    ) -> None:
        """Add measurements, with their standardised targets and known noise."""
        self._forget_pending()
        new = list(indices)
        missed = self.mean.new_tensor(list(targets)) - self.mean[new]
        rows, factor = self._extended(new, known_noise)
        if self._kept < len(self._known):
            self._rows = None
        # Forward substitution with the same triangular factor as for the rows.
        white = _solved(factor, missed[:, None])[:, 0]
        self.log_likelihood += _log_density(factor, white)
        self.mean = self.mean + white @ rows
        self.variance = self.variance - rows.square().sum(dim=0)
        self._with_pending = self.variance

    def variance_with(self, pending: Sequence[int]) -> Tensor:
        """Return the variance as if some candidates were measured too; add nothing.

        Their noise is assumed to equal that of the measured ones. The last pending ones
        are cached: each proposal of a batch adds one.
        """
        # One by one, also where several are new: otherwise rounding would depend on
        # which were pending together, and a resumed run would differ in the last bits.
        before = len(self._pending)
        if list(pending[:before]) != self._pending:
            self._forget_pending()
            before = 0
        noise = self.mean.new_full((1,), self._usual_noise)
        for new in pending[before:]:
            rows, _ = self._extended([new], noise)
            self._with_pending = self._with_pending - rows.square().sum(dim=0)
            self._pending.append(new)
        return self._with_pending

    def is_surprised(
        self, index: int, target: float, known_noise: float, deviations: float
    ) -> bool:
        """Return whether a target is off its prediction by more than `deviations` σ."""
        noise = self._covariance.noise + known_noise
        variance = max(float(self.variance[index]), 0.0) + noise
        missed = abs(target - float(self.mean[index]))
        return missed > deviations * math.sqrt(variance)

    def _forget_pending(self) -> None:
        count = len(self._known) - len(self._pending)
        self._known = self._known[:count]
        self._factor = self._factor[:count, :count].contiguous()
        self._kept = min(self._kept, count)
        self._pending, self._with_pending = [], self.variance

    def _extended(self, new: list[int], known_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and block of the factor with further candidates treated as known.

        The rows over all candidates have shape `(k, n)`.
        """
        count, covariance = len(self._known), self._covariance
        measured, added = self._candidates[self._known], self._candidates[new]
        along = _solved(self._factor, covariance.between(measured, added))
        noisy = covariance.between(added, added) - along.T @ along
        noisy.diagonal().add_(covariance.noise).add_(known_noise)
        block = cholesky(noisy)
        if self._rows is None or self._kept < count:
            upper = self._factor.T
            weights = torch.linalg.solve_triangular(upper, along, upper=True)
            rows = self.mean.new_empty((len(new), len(self._candidates)))
            for place in _chunks(rows.shape[1], count):
                across = covariance.between(measured, self._candidates[place])
                torch.mm(weights.T, across, out=rows[:, place])
        else:
            rows = along.T @ self._rows[:count]
        for place in _chunks(rows.shape[1], len(new)):
            own = covariance.between(added, self._candidates[place])
            own.sub_(rows[:, place])
            rows[:, place] = _solved(block, own)
        self._keep(count, rows)
        total = count + len(new)
        factor = self._factor.new_zeros((total, total))
        factor[:count, :count] = self._factor
        factor[count:, :count], factor[count:, count:] = along.T, block
        self._factor, self._known = factor, self._known + new
        return rows, block

    def _keep(self, count: int, rows: Tensor) -> None:
        total, most = count + len(rows), KEPT_VALUES // rows.shape[1]
        if self._rows is None or self._kept < count or total > most:
            return
        if total > len(self._rows):
            spare = _memory(min(total + _SPARE_ROWS, most), rows)
            spare[:count] = self._rows[:count]
            self._rows = spare
        self._rows[count:total] = rows
        self._kept = total


def _room(earlier: Tensor | None, candidates: Tensor, count: int) -> Tensor | None:
    """Return a buffer for the cross-covariances of `count` rows; None if too large."""
    total = len(candidates)
    most = KEPT_VALUES // total
    if count + _SPARE_ROWS > most:
        return None
    if earlier is not None and len(earlier) >= count + _SPARE_ROWS:
        return earlier
    # Memory is not committed before it is written to.
    return _memory(min(2 * count + _SPARE_ROWS, most), candidates.T)


def _memory(count: int, like: Tensor) -> Tensor:
    """Allocate `count` rows, each as long as those of `like`."""
    if like.is_cuda:
        return like.new_empty((count, like.shape[1]))
    # numpy requests huge pages: the first write to them takes a quarter of the time.
    return torch.from_numpy(np.empty((count, like.shape[1])))


def _log_density(factor: Tensor, white: Tensor) -> float:
    """Return the log density of normal variables from factor and whitened values."""
    squares = float(white @ white) + len(white) * math.log(2 * math.pi)
    return -squares / 2 - float(factor.diagonal().log().sum())


def _solved(factor: Tensor, values: Tensor) -> Tensor:
    result: Tensor = torch.linalg.solve_triangular(factor, values, upper=False)
    return result


def _chunks(total: int, width: int) -> Iterator[slice]:
    size = max(256, _CHUNK_VALUES // width)
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
