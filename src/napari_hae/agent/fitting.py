"""Fits the deep kernel's hyperparameters and network weights: MAP by gradients."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import gpytorch
import torch
from botorch.optim.closures.core import ForwardBackwardClosure
from botorch.optim.core import scipy_minimize, torch_minimize
from botorch.optim.utils import get_parameters_and_bounds

if TYPE_CHECKING:
    from torch import Tensor

    from napari_hae.agent.deep_kernel import DeepKernelGP

logger = logging.getLogger(__name__)

WARM_ITERATIONS = 15
"""Iterations of L-BFGS from the last fit's result."""
FRESH_ITERATIONS = 60
"""The same from the prior's centre."""
CLASSIC_CYCLES = 200
"""Adam's steps for the classic network, always from scratch, as published."""
CLASSIC_LEARNING_RATE = 0.01


def negative_log_posterior(model: DeepKernelGP) -> Tensor:
    """Of the hyperparameters, per measurement, up to a constant.

    Minus the log marginal likelihood (Rasmussen and Williams 2006, eq. 2.30) minus the
    log priors. Written out, because it costs half of what gpytorch's general one does.
    """
    embedded = model.embed(model.train_inputs[0])
    factor = model.factor(embedded)
    targets = model.train_targets
    white = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
    total = white.square().sum() / 2 + factor.diagonal().log().sum()
    total = total + len(targets) * math.log(2 * math.pi) / 2
    for _, module, prior, closure, _ in model.named_priors():
        total = total - prior.log_prob(closure(module)).sum()
    result: Tensor = total / len(targets)
    return result


def fit_by_lbfgs(model: DeepKernelGP, iterations: int) -> bool:
    """Whether L-BFGS, from where the model stands, ended at finite values."""
    return _minimised(model, iterations, classic=False)


def fit_by_adam(model: DeepKernelGP) -> bool:
    """Whether Adam ended at finite values; for networks too large for L-BFGS."""
    return _minimised(model, CLASSIC_CYCLES, classic=True)


def _minimised(model: DeepKernelGP, iterations: int, *, classic: bool) -> bool:
    parameters, bounds = get_parameters_and_bounds(model, requires_grad=True)
    closure = ForwardBackwardClosure(lambda: negative_log_posterior(model), parameters)
    try:
        with gpytorch.settings.cholesky_max_tries(6):
            if classic:
                optimizer = torch.optim.Adam(
                    list(parameters.values()), lr=CLASSIC_LEARNING_RATE
                )
                torch_minimize(
                    closure,
                    parameters,
                    bounds,
                    optimizer=optimizer,
                    step_limit=iterations,
                )
            else:
                scipy_minimize(
                    closure, parameters, bounds, options={"maxiter": iterations}
                )
    # A covariance that is not positive definite, in all the ways the libraries say it.
    except (RuntimeError, ValueError, ArithmeticError) as error:
        logger.warning("the model's fit failed: %s", error)
        return False
    if all(bool(each.isfinite().all()) for each in parameters.values()):
        return True
    logger.warning("the model's fit failed: it ended at values that are not finite")
    return False
