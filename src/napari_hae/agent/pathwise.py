"""Pathwise sampling from a Gaussian process, at a cost linear in the candidates.

Wilson et al., Efficiently sampling functions from Gaussian process posteriors, ICML
2020: a draw from the prior by random Fourier features, corrected by the measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hae.agent.covariance import MEAN_VARIANCE, cholesky

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_hae.agent.covariance import Covariance

FEATURES = 1024
"""Fourier features per kernel."""
_CHUNK = 2048


def draw(
    covariance: Covariance,
    candidates: Tensor,
    known: Sequence[int],
    values: Tensor,
    known_noise: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """Draw one function from the posterior at all candidates, `(n,)`.

    Parameters
    ----------
    candidates
        Scaled by the covariance, `(n, columns)`.
    known, values
        Indices of the measured candidates, and their standardised targets.
    known_noise
        Known noise variance of each measurement, in addition to the covariance's.
    """
    function = prior_function(covariance, rng, candidates)
    measured = candidates[list(known)]
    noisy = covariance(measured, measured)
    noise = known_noise.to(measured) + covariance.noise
    noisy.diagonal().add_(noise)
    missed = values.to(measured) - function(measured)
    missed -= noise.sqrt() * torch.from_numpy(rng.standard_normal(len(known))).to(noise)
    factor = cholesky(noisy)
    weights = torch.cholesky_solve(missed[:, None], factor)[:, 0]
    return torch.cat(
        [
            function(block) + covariance(block, measured) @ weights
            for block in torch.split(candidates, _CHUNK)
        ]
    )


def prior_function(
    covariance: Covariance, rng: np.random.Generator, like: Tensor
) -> Callable[[Tensor], Tensor]:
    """Draw a function from the prior, of scaled inputs `(n, columns)` to `(n,)`.

    Frequencies of the RBF kernel are normal, those of the Matérn 5/2 kernel follow
    Student's t distribution with 5 degrees of freedom.
    """
    terms: list[tuple[slice, Tensor, Tensor, Tensor]] = []
    for part, columns, variance in covariance.terms():
        frequencies = rng.standard_normal((part.width, FEATURES))
        if part.kind == "matern52":
            frequencies *= np.sqrt(5 / rng.chisquare(5, FEATURES))
        phases = rng.uniform(0, 2 * np.pi, FEATURES)
        weights = rng.standard_normal(FEATURES) * np.sqrt(2 * variance / FEATURES)
        frequency, phase, weight = (
            torch.from_numpy(x).to(like) for x in (frequencies, phases, weights)
        )
        terms.append((columns, frequency, phase, weight))
    mean = rng.normal(scale=np.sqrt(MEAN_VARIANCE))

    def function(inputs: Tensor) -> Tensor:
        made = [
            torch.cos(inputs[:, columns] @ frequency + phase) @ weight
            for columns, frequency, phase, weight in terms
        ]
        return torch.stack(made).sum(dim=0) + mean

    return function
