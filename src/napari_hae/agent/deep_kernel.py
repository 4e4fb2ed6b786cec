"""The deep-kernel Gaussian process as a gpytorch model.

The covariance of two candidates is a kernel of what a network makes of their
descriptors (Wilson et al., Deep Kernel Learning, AISTATS 2016), plus, if wanted, a
kernel of their positions. Log-normal priors on all hyperparameters make the fit a MAP
estimate: from tens of measurements, maximum likelihood overfits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gpytorch
import torch
from gpytorch.kernels import Kernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.cholesky import psd_safe_cholesky

from napari_hae.agent.networks import network

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hae.agent.model_settings import ModelSettings

POSITION_UNIT_PX = 10.0
"""Positions enter the kernel in units of this many pixels."""


class DeepKernelGP(gpytorch.models.ExactGP):
    """Exact Gaussian process on rows of `(descriptors, row, column)`.

    Parameters
    ----------
    inputs
        Shape `(n, descriptors + 2)`, float64.
    targets
        Shape `(n,)`, standardised.
    """

    def __init__(
        self, inputs: Tensor, targets: Tensor, settings: ModelSettings
    ) -> None:
        likelihood = gpytorch.likelihoods.GaussianLikelihood(
            noise_prior=_log_normal(-3.0, 0.7)
        )
        super().__init__(inputs, targets, likelihood)
        self.network, width = network(settings, inputs.shape[1] - 2)
        self.mean_module = gpytorch.means.ZeroMean()
        self.kernel = _scaled(settings.kernel, width, _log_scale(width) + 0.3, 0.0)
        self.position_kernel: Kernel | None = None
        if settings.position_kernel:
            self.position_kernel = _scaled("matern52", 2, _log_scale(2), -1.0)
        self.double()
        self.likelihood.initialize(noise=math.exp(-3.0))

    def forward(self, inputs: Tensor) -> Any:
        """The prior at inputs of shape `(n, descriptors + 2)`."""
        return gpytorch.distributions.MultivariateNormal(
            self.mean_module(inputs), self.covariance(self.embed(inputs))
        )

    def embed(self, inputs: Tensor) -> Tensor:
        """What the kernels compare: `(n, width + 2)`, network output and position."""
        descriptors, positions = inputs[:, :-2], inputs[:, -2:]
        return torch.cat([self.network(descriptors), positions], dim=1)

    def covariance(self, one: Tensor, other: Tensor | None = None) -> Any:
        """The covariance of embedded inputs, `(n, m)`, evaluated lazily."""
        second = one if other is None else other
        result = self.kernel(one[:, :-2], second[:, :-2])
        if self.position_kernel is not None:
            places = self.position_kernel(one[:, -2:], second[:, -2:])
            result = result + places
        return result

    def factor(self, embedded: Tensor) -> Tensor:
        """Lower Cholesky factor of the noisy covariance of embedded inputs, `(n, n)`.

        Jitter is added as far as needed; raises `NotPSDError` when none suffices.
        """
        noise = self.likelihood.noise * torch.eye(len(embedded), dtype=embedded.dtype)
        covariance = self.covariance(embedded).to_dense()
        factor: Tensor = psd_safe_cholesky(covariance + noise)
        return factor

    def parts(self) -> list[tuple[ScaleKernel, slice]]:
        """The additive kernels, each with the columns of the embedding that it sees."""
        kernels = [(self.kernel, slice(None, -2))]
        if self.position_kernel is not None:
            kernels.append((self.position_kernel, slice(-2, None)))
        return kernels


def _scaled(
    kind: str, width: int, log_length: float, log_variance: float
) -> ScaleKernel:
    prior = _log_normal(log_length, 0.7)
    keywords = {"ard_num_dims": width, "lengthscale_prior": prior}
    base = RBFKernel(**keywords) if kind == "rbf" else MaternKernel(nu=2.5, **keywords)
    kernel = ScaleKernel(base, outputscale_prior=_log_normal(log_variance, 1.0))
    base.initialize(lengthscale=math.exp(log_length))
    kernel.initialize(outputscale=math.exp(log_variance))
    return kernel


def _log_scale(width: int) -> float:
    """Distances grow with the square root of the number of dimensions."""
    return 0.5 * math.log(width)


def _log_normal(mean: float, std: float) -> LogNormalPrior:
    return LogNormalPrior(torch.tensor(mean).double(), torch.tensor(std).double())
