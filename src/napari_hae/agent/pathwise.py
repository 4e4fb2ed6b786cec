"""Draws functions from a Gaussian process at a cost linear in the candidates.

Wilson et al., Efficiently sampling functions from Gaussian process posteriors, ICML
2020: a draw from the prior by random Fourier features, corrected by what was measured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from gpytorch.kernels import RBFKernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpytorch.kernels import ScaleKernel
    from torch import Tensor

FEATURES = 1024
"""Fourier features per kernel."""


def prior_function(
    parts: list[tuple[ScaleKernel, slice]], rng: np.random.Generator
) -> Callable[[Tensor], Tensor]:
    """One function from the prior of additive ARD kernels.

    Frequencies of the RBF kernel are normal, those of the Matérn 5/2 kernel follow
    Student's t distribution with 5 degrees of freedom. The function takes embedded
    inputs `(n, width)` and returns `(n,)`.
    """
    terms = [_term(kernel, columns, rng) for kernel, columns in parts]

    def function(embedded: Tensor) -> Tensor:
        return torch.stack([term(embedded) for term in terms]).sum(dim=0)

    return function


def _term(
    kernel: ScaleKernel, columns: slice, rng: np.random.Generator
) -> Callable[[Tensor], Tensor]:
    lengths = kernel.base_kernel.lengthscale.detach().squeeze(0).numpy()
    frequencies = rng.standard_normal((len(lengths), FEATURES)) / lengths[:, None]
    if not isinstance(kernel.base_kernel, RBFKernel):
        frequencies *= np.sqrt(5 / rng.chisquare(5, FEATURES))
    phases = rng.uniform(0, 2 * np.pi, FEATURES)
    variance = float(kernel.outputscale.detach())
    weights = rng.standard_normal(FEATURES) * np.sqrt(2 * variance / FEATURES)
    tensors = [torch.from_numpy(each) for each in (frequencies, phases, weights)]

    def term(embedded: Tensor) -> Tensor:
        frequency, phase, weight = tensors
        return torch.cos(embedded[:, columns] @ frequency + phase) @ weight

    return term
