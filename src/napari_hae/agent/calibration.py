"""Sizes what the Gaussian process claims to know by what it misses: cross-validation.

The hyperparameters that a few measurements make most probable are too sure of
themselves, and where the image says less of the target than the kernels take for
granted, many measurements change little of it. What the process predicts of each
measurement from all others tells (Rasmussen and Williams 2006, eq. 5.12): the variance
that such errors ask for holds where the model is wrong, and that of the largest
likelihood does not (Bachoc, Computational Statistics and Data Analysis 66, 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_hae.agent.covariance import cholesky

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hae.agent.covariance import Covariance

PRIOR_WEIGHT = 3.0
"""The fit's own variances count as much as so many measurements."""
SPENT = 15.0
"""Errors look smaller than elsewhere, as the fit saw what is left out: their squares by
`1 + SPENT / n` for `n` measurements. Chosen on simulated samples and those of the
comparison."""
LEAST = 0.7
"""Variances stay at so much of the fit's: a few errors may all be small by luck, and an
agent that is too sure of itself measures where it has been."""


def variance_scale(
    covariance: Covariance,
    measured: Tensor,
    targets: Tensor,
    known_noise: Tensor,
    candidates: Tensor,
) -> float:
    """How many times as large all variances should be.

    Parameters
    ----------
    covariance
        As fitted.
    measured
        Of the measured candidates, scaled by it, `(m, columns)`, float64.
    targets
        Standardised, `(m,)`, float64.
    known_noise
        What is known of each one's noise, as a variance, `(m,)`.
    candidates
        Some of all candidates, `(k, columns)`, scaled likewise.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of what is measured has no factor.
    """
    noisy = covariance(measured, measured)
    noisy.diagonal().add_(covariance.noise).add_(known_noise)
    inverse = torch.cholesky_inverse(cholesky(noisy))
    squares = (inverse @ targets).square() / inverse.diagonal()
    # The agent measures close together where it is bright: each measurement counts as
    # much as the share of the field that it is the most like.
    nearest = covariance(candidates, measured).argmax(dim=1)
    shares = torch.bincount(nearest, minlength=len(measured)) / len(candidates)
    number = 1 / float(shares.square().sum())
    missed = float(shares.to(squares) @ squares)
    spent = 1 + SPENT / len(measured)
    scale = spent * (PRIOR_WEIGHT + number * missed) / (PRIOR_WEIGHT + number)
    return max(scale, LEAST)
