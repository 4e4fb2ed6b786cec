"""A network fitted within one experiment, together with its kernel, by gpytorch.

The covariance of two candidates is a kernel of the network's output for their
descriptors (Wilson et al., Deep Kernel Learning, AISTATS 2016), plus, optionally, a
kernel of their positions.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import gpytorch
import numpy as np
import torch
from botorch.optim.closures.core import ForwardBackwardClosure
from botorch.optim.core import scipy_minimize, torch_minimize
from botorch.optim.utils import get_parameters_and_bounds
from gpytorch.kernels import ConstantKernel, MaternKernel, RBFKernel, ScaleKernel
from gpytorch.priors import LogNormalPrior
from linear_operator.utils.cholesky import psd_safe_cholesky

from napari_hae.agent.covariance import (
    LENGTH_STD,
    LOG_NOISE,
    MEAN_VARIANCE,
    NOISE_STD,
    VARIANCE_STD,
    Part,
)
from napari_hae.agent.networks import network
from napari_hae.agent.threads import DRAWING

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_hae.agent.model_settings import ModelSettings

logger = logging.getLogger(__name__)

RESIDUAL_ITERATIONS = 40
"""Iterations of L-BFGS for the residual network."""
CYCLES = 200
"""Steps of Adam; the classic network always starts from scratch, as published."""
CLASSIC_LEARNING_RATE = 0.01
_TRIES = 6
"""Attempts to factorise a covariance, each with more jitter on its diagonal."""


class DeepKernelGP(gpytorch.models.ExactGP):
    """Exact Gaussian process on rows of `(descriptors, row, column)`.

    Parameters
    ----------
    inputs
        Shape `(n, descriptors + 2)`, float64.
    targets
        Shape `(n,)`, standardised.
    parts
        The kernels, the first one of the network's output, the second, if any, of the
        position.
    known_noise
        Known noise variance of each target, in addition to the fitted one.
    """

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        settings: ModelSettings,
        parts: tuple[Part, ...],
        known_noise: Tensor,
    ) -> None:
        likelihood = gpytorch.likelihoods.GaussianLikelihood(
            noise_prior=_log_normal(LOG_NOISE, NOISE_STD)
        )
        super().__init__(inputs, targets, likelihood)
        self.known_noise = known_noise
        self.network = network(settings, inputs.shape[1] - 2)
        self.kernels = torch.nn.ModuleList(_kernel(part) for part in parts)
        self.mean = ConstantKernel().requires_grad_(False)
        self.double()
        self.mean.constant = torch.tensor(MEAN_VARIANCE)
        self.likelihood.initialize(noise=math.exp(LOG_NOISE))

    def forward(self, inputs: Tensor) -> Any:
        """Return the prior at inputs of shape `(n, descriptors + 2)`."""
        return gpytorch.distributions.MultivariateNormal(
            inputs.new_zeros(len(inputs)), self.covariance(inputs)
        )

    def covariance(self, inputs: Tensor) -> Any:
        """Return the covariance without noise, `(n, n)`, evaluated lazily."""
        result = self.kernels[0](self.network(inputs[:, :-2])) + self.mean(inputs)
        for kernel in self.kernels[1:]:
            result = result + kernel(inputs[:, -2:])
        return result

    def logs(self) -> NDArray[np.float64]:
        """Return the logarithms of all hyperparameters, in the order of `prior_of`."""
        kernels: list[Any] = list(self.kernels)
        lengths = [kernel.base_kernel.lengthscale.ravel() for kernel in kernels]
        variances = [kernel.outputscale.ravel() for kernel in kernels]
        noise = self.likelihood.noise.ravel()
        values: NDArray[np.float64] = torch.cat([*lengths, *variances, noise]).numpy()
        return np.log(values)


def fit_network(
    inputs: Tensor,
    targets: Tensor,
    settings: ModelSettings,
    parts: tuple[Part, ...],
    known_noise: Tensor,
    seed: int,
) -> tuple[nn.Module, NDArray[np.float64]] | None:
    """Fit the network, and return it with the logarithms of the hyperparameters.

    The classic network, and any with a learning rate, is fitted by Adam, others by
    L-BFGS. None if the fit fails.
    """
    with DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = DeepKernelGP(inputs, targets, settings, parts, known_noise)
    parameters, bounds = get_parameters_and_bounds(model, requires_grad=True)
    closure = ForwardBackwardClosure(lambda: negative_log_posterior(model), parameters)
    classic = CLASSIC_LEARNING_RATE if settings.network == "classic" else None
    rate = settings.learning_rate or classic
    try:
        if rate is None:
            options = {"maxiter": RESIDUAL_ITERATIONS}
            scipy_minimize(closure, parameters, bounds, options=options)
        else:
            adam = torch.optim.Adam(parameters.values(), lr=rate)
            torch_minimize(
                closure, parameters, bounds, optimizer=adam, step_limit=CYCLES
            )
    # All exceptions that the libraries raise for a covariance that is not positive
    # definite.
    except (RuntimeError, ValueError, ArithmeticError) as error:
        logger.warning("the network's fit failed: %s", error)
        return None
    if not all(bool(each.isfinite().all()) for each in parameters.values()):
        logger.warning("the network's fit failed: it ended at values not finite")
        return None
    with torch.no_grad():
        return model.network.requires_grad_(False), model.logs()


def negative_log_posterior(model: DeepKernelGP) -> Tensor:
    """Return the negative log posterior of the hyperparameters, up to a constant.

    Per measurement: minus the log marginal likelihood (Rasmussen and Williams 2006, eq.
    2.30) minus the log priors. Written out, because it takes half the time of
    gpytorch's general implementation.
    """
    inputs, targets = model.train_inputs[0], model.train_targets
    noise = torch.diag(model.likelihood.noise + model.known_noise)
    covariance = model.covariance(inputs).to_dense() + noise
    factor = psd_safe_cholesky(covariance, max_tries=_TRIES)
    white = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
    total = white.square().sum() / 2 + factor.diagonal().log().sum()
    total = total + len(targets) * math.log(2 * math.pi) / 2
    for _, module, prior, closure, _ in model.named_priors():
        total = total - prior.log_prob(closure(module)).sum()
    result: Tensor = total / len(targets)
    return result


def _kernel(part: Part) -> ScaleKernel:
    keywords = {
        "ard_num_dims": part.width,
        "lengthscale_prior": _log_normal(part.log_length, LENGTH_STD),
    }
    rbf = part.kind == "rbf"
    base = RBFKernel(**keywords) if rbf else MaternKernel(nu=2.5, **keywords)
    prior = _log_normal(part.log_variance, VARIANCE_STD)
    kernel = ScaleKernel(base, outputscale_prior=prior)
    base.initialize(lengthscale=math.exp(part.log_length))
    kernel.initialize(outputscale=math.exp(part.log_variance))
    return kernel


def _log_normal(mean: float, std: float) -> LogNormalPrior:
    return LogNormalPrior(torch.tensor(mean).double(), torch.tensor(std).double())
