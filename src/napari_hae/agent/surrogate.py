"""The surrogate: what the agent believes about every candidate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import gpytorch
import numpy as np
import torch
from botorch.optim.fit import fit_gpytorch_mll_scipy, fit_gpytorch_mll_torch
from linear_operator.utils.cholesky import psd_safe_cholesky

from napari_hae.agent.deep_kernel import POSITION_UNIT_PX, DeepKernelGP
from napari_hae.agent.pathwise import prior_function
from napari_hae.agent.posterior import Posterior

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_hae.agent.model_settings import ModelSettings

    Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

WARM_ITERATIONS = 15
"""Iterations of L-BFGS from the last fit's result."""
FRESH_ITERATIONS = 60
"""The same from the prior's centre."""
FRESH_START_EVERY = 10
"""Every so many new measurements a fit starts afresh, to leave local optima."""
CLASSIC_CYCLES = 200
"""Adam's steps for the classic network, always from scratch, as published."""
CLASSIC_LEARNING_RATE = 0.01

_CHUNK_VALUES = 4_000_000


class Surrogate:
    """A deep-kernel Gaussian process over a fixed set of candidates.

    Targets are standardised on the measured values only. All predictions are of the
    target itself, without the noise of a measurement.

    Parameters
    ----------
    descriptors
        Shape `(n, d)`, standardised.
    positions_px
        Shape `(n, 2)`, row and column.
    seed
        Of the network's first weights.
    """

    def __init__(
        self,
        descriptors: NDArray[np.float32],
        positions_px: NDArray[np.float32],
        settings: ModelSettings,
        *,
        seed: int,
    ) -> None:
        places = (positions_px - positions_px.mean(axis=0)) / POSITION_UNIT_PX
        together = np.concatenate([descriptors, places], axis=1, dtype=np.float32)
        self._candidates = torch.from_numpy(together)
        self._settings = settings
        self._seed = seed
        self._model: DeepKernelGP | None = None
        self._indices = np.empty(0, dtype=np.intp)
        self._targets: Array = np.empty(0)
        self._centre, self._spread = 0.0, 1.0

    def fit(self, indices: Sequence[int] | NDArray[np.intp], targets: Array) -> None:
        """Fit to the targets measured at some candidates.

        Starts from the last fit. If that fails, it starts afresh; if that fails too,
        the hyperparameters stay at the centres of their priors: a prediction is
        always there.
        """
        before = len(self._indices)
        self._indices = np.asarray(indices, dtype=np.intp)
        self._targets = np.asarray(targets, dtype=np.float64)
        self._centre, self._spread = _standard(self._targets)
        fresh = (
            self._model is None
            or self._settings.network == "classic"
            or len(self._indices) // FRESH_START_EVERY != before // FRESH_START_EVERY
        )
        if self._model is not None and not fresh:
            self._model.set_train_data(*self._training_data(), strict=False)
            if _fitted(self._model, WARM_ITERATIONS):
                return
        self._model = self._new_model()
        if self._settings.network == "classic":
            succeeded = _fitted_by_adam(self._model)
        else:
            succeeded = _fitted(self._model, FRESH_ITERATIONS)
        if not succeeded:
            self._model = self._new_model()

    def posterior(self, pending: Sequence[int] = ()) -> Posterior:
        """The prediction for all candidates, in the targets' own unit.

        Pending candidates count as measured with the value that is predicted for them:
        that leaves the mean, and narrows the standard deviation around them.
        """
        model = self._fitted_model()
        with torch.no_grad():
            measured = self._embedded(self._indices)
            factor, weights = self._solved(model, measured, self._scaled_targets())
            known = self._embedded(np.append(self._indices, np.array(pending, np.intp)))
            if len(pending):
                factor = self._factor(model, known)
            means, variances = [], []
            for block in self._blocks():
                covariance = model.covariance(block, known).to_dense()
                means.append(covariance[:, : len(measured)] @ weights)
                solved = torch.linalg.solve_triangular(
                    factor, covariance.T, upper=False
                )
                variances.append(_variance(model) - solved.square().sum(dim=0))
            mean = torch.cat(means).numpy()
            std = torch.cat(variances).clamp_min(0).sqrt().numpy()
        return Posterior(
            mean=self._centre + self._spread * mean,
            std=self._spread * std,
            sample=self.sample,
        )

    def sample(self, rng: np.random.Generator) -> Array:
        """One function from the joint posterior, `(n,)`, in the targets' own unit."""
        model = self._fitted_model()
        function = prior_function(model.parts(), rng)
        with torch.no_grad():
            measured = self._embedded(self._indices)
            noise_std = float(model.likelihood.noise) ** 0.5
            noise = noise_std * rng.standard_normal(len(measured))
            missed = (
                self._scaled_targets() - function(measured) - torch.from_numpy(noise)
            )
            _, weights = self._solved(model, measured, missed)
            drawn = [
                function(block) + model.covariance(block, measured).to_dense() @ weights
                for block in self._blocks()
            ]
            values: Array = torch.cat(drawn).numpy()
        return self._centre + self._spread * values

    def embed(self) -> Array:
        """What the network makes of each candidate's descriptors, `(n, width)`."""
        with torch.no_grad():
            blocks = [block[:, :-2] for block in self._blocks()]
        embedding: Array = torch.cat(blocks).numpy()
        return embedding

    @property
    def log_marginal_likelihood(self) -> float:
        """Of the standardised targets, per measurement, with the priors."""
        model = self._fitted_model()
        with torch.no_grad():
            return -float(_loss(model))

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to predict the same again."""
        return {
            "model": self._fitted_model().state_dict(),
            "indices": self._indices.copy(),
            "targets": self._targets.copy(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of a surrogate of the same candidates and settings."""
        self._indices, self._targets = state["indices"].copy(), state["targets"].copy()
        self._centre, self._spread = _standard(self._targets)
        self._model = self._new_model()
        self._model.load_state_dict(state["model"])

    def _new_model(self) -> DeepKernelGP:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return DeepKernelGP(*self._training_data(), self._settings)

    def _fitted_model(self) -> DeepKernelGP:
        if self._model is None:
            raise RuntimeError("the surrogate has not been fitted yet")
        return self._model

    def _training_data(self) -> tuple[Tensor, Tensor]:
        return self._candidates[self._indices].double(), self._scaled_targets()

    def _scaled_targets(self) -> Tensor:
        return torch.from_numpy((self._targets - self._centre) / self._spread)

    def _embedded(self, indices: NDArray[np.intp]) -> Tensor:
        return self._fitted_model().embed(self._candidates[indices].double())

    def _blocks(self) -> Iterator[Tensor]:
        """The embedded candidates, in chunks whose covariance fits the memory."""
        size = max(1, _CHUNK_VALUES // max(len(self._indices), 64))
        for start in range(0, len(self._candidates), size):
            block = self._candidates[start : start + size]
            yield self._fitted_model().embed(block.double())

    def _factor(self, model: DeepKernelGP, known: Tensor) -> Tensor:
        covariance = model.covariance(known).to_dense()
        noise = model.likelihood.noise * torch.eye(len(known), dtype=torch.float64)
        factor: Tensor = psd_safe_cholesky(covariance + noise)
        return factor

    def _solved(
        self, model: DeepKernelGP, measured: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The Cholesky factor, and the covariance's inverse times some values."""
        factor = self._factor(model, measured)
        return factor, torch.cholesky_solve(values[:, None], factor)[:, 0]


def _standard(targets: Array) -> tuple[float, float]:
    """Centre and spread; equal targets have a spread of 1."""
    centre, spread = float(targets.mean()), float(targets.std())
    return centre, spread if spread > 1e-12 * max(abs(centre), 1e-300) else 1.0


def _variance(model: DeepKernelGP) -> Tensor:
    """The prior variance of any candidate; the kernels are stationary."""
    return torch.stack([kernel.outputscale for kernel, _ in model.parts()]).sum()


def _loss(model: DeepKernelGP) -> Tensor:
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    loss: Tensor = -mll(model(*model.train_inputs), model.train_targets)
    return loss


def _fitted(model: DeepKernelGP, iterations: int) -> bool:
    """Whether L-BFGS found finite hyperparameters."""
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    try:
        with gpytorch.settings.cholesky_max_tries(6):
            fit_gpytorch_mll_scipy(
                mll, method="L-BFGS-B", options={"maxiter": iterations}
            )
    # A covariance that is not positive definite, in all the ways the libraries say it.
    except (RuntimeError, ValueError, ArithmeticError) as error:
        logger.warning("the model's fit failed and starts afresh: %s", error)
        return False
    return _is_finite(model)


def _fitted_by_adam(model: DeepKernelGP) -> bool:
    mll = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=CLASSIC_LEARNING_RATE)
    try:
        fit_gpytorch_mll_torch(mll, optimizer=optimizer, step_limit=CLASSIC_CYCLES)
    except (RuntimeError, ValueError, ArithmeticError) as error:
        logger.warning("the model's fit failed: %s", error)
        return False
    return _is_finite(model)


def _is_finite(model: DeepKernelGP) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())
