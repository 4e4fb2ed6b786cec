"""The covariance of the Gaussian process: a sum of stationary kernels and a constant.

Each kernel sees its own columns of the inputs, with a length scale for each (automatic
relevance determination; Rasmussen and Williams 2006, chapters 4.2 and 5.1). The
constant represents an unknown mean (chapter 2.7): an agent measures where it is bright,
and the mean of its measurements is a poor estimate of that of the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    Array = NDArray[np.float64]

JITTERS = (0.0, 1e-8, 1e-6, 1e-4)
"""Jitter added to the diagonal, tried in this order until the covariance can be
factorised."""
LENGTH_STD, VARIANCE_STD, NOISE_STD = 0.7, 1.0, 1.0
"""Standard deviations of the log-normal priors."""
MEAN_VARIANCE = 1.0
"""Prior variance of the mean, of standardised targets."""
LOG_NOISE = -2.5
"""Centre of the noise variance's prior, between an almost clean spectrum and a mostly
noisy one. A few targets can always be explained without any noise."""


@dataclass(frozen=True)
class Part:
    """One of the kernels, with the centres of its log-normal priors.

    Attributes
    ----------
    kind
        Kind of kernel.
    width
        Number of input columns that it sees.
    log_length, log_variance
        Centres of the priors of its length scales and of its variance.
    """

    kind: Literal["matern52", "rbf"]
    width: int
    log_length: float
    log_variance: float


def prior_of(parts: tuple[Part, ...]) -> tuple[Array, Array]:
    """Return centres and standard deviations of all hyperparameters' logarithms.

    In this order: the length scales of all columns, the variance of each part, the
    variance of the noise.
    """
    columns = sum(part.width for part in parts)
    centres = [part.log_length for part in parts for _ in range(part.width)]
    centres += [*(part.log_variance for part in parts), LOG_NOISE]
    deviations = [LENGTH_STD] * columns + [VARIANCE_STD] * len(parts) + [NOISE_STD]
    return np.array(centres), np.array(deviations)


class Covariance:
    """The sum of kernels and a constant, at fixed hyperparameters.

    Parameters
    ----------
    parts
        The kernels; together they see all columns, in their order.
    logs
        The hyperparameters' logarithms, in the order of `prior_of`.
    """

    def __init__(self, parts: tuple[Part, ...], logs: Array) -> None:
        columns = sum(part.width for part in parts)
        self.parts = parts
        self.lengths = np.exp(logs[:columns])
        """Length scale of each column."""
        self.variances = np.exp(logs[columns:-1])
        """Prior variance of each part."""
        self.noise = float(np.exp(logs[-1]))
        """Variance of one measurement's noise."""
        self.prior_variance = float(self.variances.sum()) + MEAN_VARIANCE
        """Prior variance of any candidate; the kernels are stationary."""

    def scaled(self, inputs: Tensor) -> Tensor:
        """Return inputs `(n, columns)` in units of the length scales."""
        return inputs / torch.from_numpy(self.lengths).to(inputs)

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the covariance of scaled inputs, `(n, columns)` and `(m, columns)`."""
        return self.between(self.lifted(one), self.lifted(other))

    def lifted(self, inputs: Tensor) -> Lifted:
        """Return scaled inputs, prepared for many comparisons."""
        blocks = []
        for _, columns, _ in self.terms():
            block = inputs[:, columns]
            norms = block.square().sum(dim=1, keepdim=True)
            blocks.append(torch.cat([block, norms, torch.ones_like(norms)], dim=1))
        # The kernel's scale goes into the product, which saves one pass over each.
        scales = [5.0 if part.kind == "matern52" else -0.5 for part in self.parts]
        return Lifted(tuple(blocks), tuple(scales))

    def between(self, one: Lifted, other: Lifted) -> Tensor:
        """Return the covariance of `(n, …)` and `(m, …)`, shape `(n, m)`."""
        result = one.blocks[0].new_full((len(one), len(other)), MEAN_VARIANCE)
        for (part, _, variance), mine, others in zip(
            self.terms(), one.turned, other.blocks, strict=True
        ):
            distances = mine @ others.T
            if part.kind == "rbf":
                result.add_(distances.clamp_max_(0).exp_(), alpha=variance)
                continue
            r = distances.clamp_min_(0).sqrt()
            polynomial = torch.add(r, distances, alpha=1 / 3).add_(1)
            result.addcmul_(polynomial, r.neg_().exp_(), value=variance)
        return result

    def terms(self) -> Iterator[tuple[Part, slice, float]]:
        """Yield each part with its columns and its variance."""
        start = 0
        for part, variance in zip(self.parts, self.variances, strict=True):
            yield part, slice(start, start + part.width), float(variance)
            start += part.width


@dataclass(frozen=True)
class Lifted:
    """Scaled inputs with two columns more for each part: squared norm, and 1.

    With them squared distances are a product, `|x|² - 2 x·y + |y|²`.

    Attributes
    ----------
    blocks
        One for each part.
    scales
        Factor of the squared distances in the kernel of each part.
    """

    blocks: tuple[Tensor, ...]
    scales: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.blocks[0])

    def __getitem__(self, rows: slice | list[int]) -> Lifted:
        return Lifted(tuple(block[rows] for block in self.blocks), self.scales)

    @cached_property
    def turned(self) -> tuple[Tensor, ...]:
        """Return the blocks whose products with others are scaled squared distances."""
        return tuple(
            torch.cat([block[:, :-2] * -2, block[:, -1:], block[:, -2:-1]], dim=1)
            * scale
            for block, scale in zip(self.blocks, self.scales, strict=True)
        )


def cholesky(covariance: Tensor) -> Tensor:
    """Return the lower Cholesky factor, `(n, n)`, with jitter added as needed.

    Raises
    ------
    numpy.linalg.LinAlgError
        If no jitter suffices.
    """
    for jitter in JITTERS:
        covariance.diagonal().add_(jitter)
        factor, info = torch.linalg.cholesky_ex(covariance)
        if not int(info) and math.isfinite(float(factor[-1, -1])):
            result: Tensor = factor
            return result
    raise np.linalg.LinAlgError("the covariance is not positive definite")


def squared_distances(one: Tensor, other: Tensor) -> Tensor:
    """Return squared distances: `(n, columns)` and `(m, columns)` to `(n, m)`."""
    squared = one @ other.T
    # A matrix product with ones sums short rows several times faster than `sum`.
    ones = one.new_ones(one.shape[1])
    squared.mul_(-2).add_((one.square() @ ones)[:, None])
    return squared.add_(other.square() @ ones).clamp_min_(0)


def log_scale(width: int) -> float:
    """Return the log of the typical distance, which grows as the root of the width."""
    return 0.5 * math.log(width)
