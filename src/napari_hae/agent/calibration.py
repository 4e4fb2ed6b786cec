"""Cross-validation of the Gaussian process: rescales its predicted variances.

Hyperparameters of maximum likelihood from few measurements give overconfident
predictions, and where the image is less informative about the target than the kernels
assume, more measurements hardly improve this. The leave-one-out residuals show it
(Rasmussen and Williams 2006, eq. 5.12): a variance estimated from them is robust to a
misspecified model, that of maximum likelihood is not (Bachoc, Computational Statistics
and Data Analysis 66, 2013).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_hae.agent.covariance import cholesky

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hae.agent.covariance import Covariance

PRIOR_WEIGHT = 3.0
"""Weight of the fit's own variances, in measurements."""
SPENT = 15.0
"""Correction for the optimism of the leave-one-out residuals, as the left-out
measurements took part in the fit: squared residuals are multiplied by `1 + SPENT / n`
for `n` measurements. Tuned on simulated samples and those of the comparison."""
LEAST = 0.7
"""Lower bound of the factor: a few residuals may all be small by chance, and an
overconfident agent measures again where it has been."""


def variance_scale(
    covariance: Covariance,
    measured: Tensor,
    targets: Tensor,
    known_noise: Tensor,
    candidates: Tensor,
) -> float:
    """Return the variance inflation factor from leave-one-out cross-validation.

    Parameters
    ----------
    covariance
        The fitted covariance.
    measured
        Inputs of the measured candidates, scaled by it, `(m, columns)`, float64.
    targets
        Standardised targets, `(m,)`, float64.
    known_noise
        Known noise variance of each measurement, `(m,)`.
    candidates
        Inputs of a subset of the candidates, `(k, columns)`, scaled likewise.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the covariance of the measurements cannot be factorised.
    """
    noisy = covariance(measured, measured)
    noisy.diagonal().add_(covariance.noise).add_(known_noise)
    inverse = torch.cholesky_inverse(cholesky(noisy))
    squares = (inverse @ targets).square() / inverse.diagonal()
    # The agent measures close together where it is bright: each measurement is weighted
    # by the share of the field to which it is the most similar one.
    nearest = covariance(candidates, measured).argmax(dim=1)
    shares = torch.bincount(nearest, minlength=len(measured)) / len(candidates)
    number = 1 / float(shares.square().sum())
    missed = float(shares.to(squares) @ squares)
    spent = 1 + SPENT / len(measured)
    scale = spent * (PRIOR_WEIGHT + number * missed) / (PRIOR_WEIGHT + number)
    return max(scale, LEAST)
