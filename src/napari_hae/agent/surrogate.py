"""The surrogate: what the agent believes about every candidate."""

from __future__ import annotations

import copy
import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_hae.agent.conditioning import Conditioning
from napari_hae.agent.deep_kernel import POSITION_UNIT_PX, DeepKernelGP
from napari_hae.agent.fitting import (
    FRESH_ITERATIONS,
    WARM_ITERATIONS,
    fit_by_adam,
    fit_by_lbfgs,
    negative_log_posterior,
)
from napari_hae.agent.pathwise import FEATURES, prior_function
from napari_hae.agent.posterior import Posterior

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_hae.agent.model_settings import ModelSettings

    Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

REFIT_GROWTH = 1.2
"""Hyperparameters are fitted again when there are so many times as many measurements;
in between the model is conditioned on them exactly."""
FRESH_GROWTH = 1.5
"""A fit starts afresh, to leave local optima, at so many times as many."""
SURPRISE = 3.0
"""So many standard deviations off, a measurement calls for a fit at once."""
_KEPT_VALUES = 16_000_000
_CHUNK_VALUES = 4_000_000
_EMBED_WIDTH = 1024


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
        self._conditioning: Conditioning | None = None
        self._refit_at = self._fresh_at = 0
        self._indices = np.empty(0, dtype=np.intp)
        self._targets: Array = np.empty(0)
        self._centre, self._spread = 0.0, 1.0

    def fit(self, indices: Sequence[int] | NDArray[np.intp], targets: Array) -> None:
        """Learn the targets measured at some candidates.

        A few more than at the last fit only condition the model; else it is fitted
        again, from the last fit or, now and then, afresh. What fails is tried afresh;
        if that fails too, the hyperparameters stay as they were: a prediction is
        always there.

        Raises
        ------
        ValueError
            If there is no target, or one that is not finite.
        """
        values = np.asarray(targets, dtype=np.float64)
        if not (len(values) and np.isfinite(values).all()):
            raise ValueError(f"the model needs finite targets, got {values}")
        places = np.asarray(indices, dtype=np.intp)
        is_classic = self._settings.network == "classic"
        if not is_classic and self._conditioned(places, values):
            return
        previous = self._model
        self._take_data(places, values)
        count = len(places)
        self._refit_at = math.ceil(REFIT_GROWTH * count)
        if previous is not None and not is_classic and count < self._fresh_at:
            kept = copy.deepcopy(previous.state_dict())
            previous.set_train_data(*self._training_data(), strict=False)
            if fit_by_lbfgs(previous, WARM_ITERATIONS):
                return
            previous.load_state_dict(kept)
        self._fresh_at = math.ceil(FRESH_GROWTH * count)
        self._model = self._new_model()
        if is_classic:
            succeeded = fit_by_adam(self._model)
        else:
            succeeded = fit_by_lbfgs(self._model, FRESH_ITERATIONS)
        if not succeeded:
            logger.warning("the model keeps its previous hyperparameters")
            self._model = previous or self._new_model()
            self._model.set_train_data(*self._training_data(), strict=False)

    def posterior(self, pending: Sequence[int] = ()) -> Posterior:
        """The prediction for all candidates, in the targets' own unit.

        Pending candidates count as measured with the value that is predicted for them
        (kriging believer, Ginsbourger et al. 2010): that leaves the mean, and narrows
        the standard deviation around them.
        """
        with torch.no_grad():
            if self._keeps_rows(len(self._indices) + len(pending)):
                conditioning = self._everywhere()
                mean = conditioning.mean
                variance = conditioning.variance_with(pending)
            else:
                mean, variance = self._in_blocks(pending)
            std = variance.clamp_min(0).sqrt()
        return Posterior(
            mean=self._centre + self._spread * mean.numpy(),
            std=self._spread * std.numpy(),
            sample=lambda rng: self.sample(rng, pending),
        )

    def sample(self, rng: np.random.Generator, pending: Sequence[int] = ()) -> Array:
        """One function from the joint posterior, `(n,)`, in the targets' own unit."""
        model = self._fitted_model()
        function = prior_function(model.parts(), rng)
        with torch.no_grad():
            known, factor, values = self._conditions(model, pending)
            noise_std = float(model.likelihood.noise) ** 0.5
            noise = torch.from_numpy(noise_std * rng.standard_normal(len(known)))
            missed = values - function(known) - noise
            weights = torch.cholesky_solve(missed[:, None], factor)[:, 0]
            drawn = [
                function(block) + model.covariance(block, known).to_dense() @ weights
                for block in self._blocks(model, max(len(known), FEATURES))
            ]
            result: Array = torch.cat(drawn).numpy()
        return self._centre + self._spread * result

    def embed(self) -> Array:
        """What the network makes of each candidate's descriptors, `(n, width)`."""
        with torch.no_grad():
            model = self._fitted_model()
            blocks = [block[:, :-2] for block in self._blocks(model, _EMBED_WIDTH)]
        embedding: Array = torch.cat(blocks).numpy()
        return embedding

    @property
    def noise_std(self) -> float:
        """Standard deviation of a measurement's noise, in the targets' own unit."""
        if self._model is None:
            return float("nan")
        variance = float(self._model.likelihood.noise.detach())
        return self._spread * math.sqrt(variance)

    @property
    def log_marginal_likelihood(self) -> float:
        """Of the standardised targets, per measurement, with the priors."""
        with torch.no_grad():
            return -float(negative_log_posterior(self._fitted_model()))

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs to predict the same again."""
        return {
            "model": copy.deepcopy(self._fitted_model().state_dict()),
            "indices": self._indices.copy(),
            "targets": self._targets.copy(),
            "scale": (self._centre, self._spread),
            "next": (self._refit_at, self._fresh_at),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of a surrogate of the same candidates and settings."""
        self._take_data(state["indices"].copy(), state["targets"].copy())
        self._centre, self._spread = state["scale"]
        self._refit_at, self._fresh_at = state["next"]
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

    def _take_data(self, indices: NDArray[np.intp], targets: Array) -> None:
        self._indices, self._targets = indices, targets
        self._centre, self._spread = _standard(targets)
        self._conditioning = None

    def _conditioned(self, indices: NDArray[np.intp], targets: Array) -> bool:
        """Whether the model took what is new without a fit."""
        model, before, count = self._model, len(self._indices), len(indices)
        if model is None or not before <= count < self._refit_at:
            return False
        if not (
            np.array_equal(indices[:before], self._indices)
            and np.array_equal(targets[:before], self._targets)
        ):
            return False
        scaled = ((targets - self._centre) / self._spread).tolist()
        with torch.no_grad():
            if self._keeps_rows(count):
                conditioning, places = self._everywhere(), indices.tolist()
            else:
                # The measured candidates alone tell whether one is a surprise.
                embedded = model.embed(self._candidates[indices].double())
                known = torch.tensor(scaled[:before], dtype=torch.float64)
                conditioning = Conditioning(model, embedded, range(before), known)
                self._conditioning, places = None, range(count)
            for place, target in zip(places[before:], scaled[before:], strict=True):
                if conditioning.is_surprised(place, target, SURPRISE):
                    return False
                conditioning.add(place, target)
        self._indices, self._targets = indices, targets
        model.set_train_data(*self._training_data(), strict=False)
        return True

    def _keeps_rows(self, count: int) -> bool:
        return count * len(self._candidates) <= _KEPT_VALUES

    def _everywhere(self) -> Conditioning:
        """The prediction for all candidates, up to date."""
        if self._conditioning is None:
            model = self._fitted_model()
            candidates = torch.cat(list(self._blocks(model, _EMBED_WIDTH)))
            self._conditioning = Conditioning(
                model, candidates, self._indices.tolist(), self._scaled_targets()
            )
        return self._conditioning

    def _in_blocks(self, pending: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean and variance of all candidates, for fields too large to keep rows of."""
        model = self._fitted_model()
        known, factor, values = self._conditions(model, pending)
        weights = torch.cholesky_solve(values[:, None], factor)[:, 0]
        means, variances = [], []
        for block in self._blocks(model, len(known)):
            covariance = model.covariance(block, known).to_dense()
            means.append(covariance @ weights)
            solved = torch.linalg.solve_triangular(factor, covariance.T, upper=False)
            variances.append(_variance(model) - solved.square().sum(dim=0))
        return torch.cat(means), torch.cat(variances)

    def _training_data(self) -> tuple[Tensor, Tensor]:
        return self._candidates[self._indices].double(), self._scaled_targets()

    def _scaled_targets(self) -> Tensor:
        return torch.from_numpy((self._targets - self._centre) / self._spread)

    def _conditions(
        self, model: DeepKernelGP, pending: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What counts as known, embedded; its Cholesky factor; its values."""
        values = self._scaled_targets()
        measured = model.embed(self._candidates[self._indices].double())
        factor = model.factor(measured)
        if not len(pending):
            return measured, factor, values
        expected = model.embed(self._candidates[list(pending)].double())
        weights = torch.cholesky_solve(values[:, None], factor)
        believed = model.covariance(expected, measured).to_dense() @ weights
        known = torch.cat([measured, expected])
        return known, model.factor(known), torch.cat([values, believed[:, 0]])

    def _blocks(self, model: DeepKernelGP, width: int) -> Iterator[Tensor]:
        """The embedded candidates, in chunks small enough for `width` columns."""
        size = max(1, _CHUNK_VALUES // max(width, 64))
        for start in range(0, len(self._candidates), size):
            yield model.embed(self._candidates[start : start + size].double())


def _standard(targets: Array) -> tuple[float, float]:
    """Centre and spread; equal targets have a spread of 1."""
    centre, spread = float(targets.mean()), float(targets.std())
    return centre, spread if spread > 1e-12 * max(abs(centre), 1e-300) else 1.0


def _variance(model: DeepKernelGP) -> Tensor:
    """The prior variance of any candidate; the kernels are stationary."""
    return torch.stack([kernel.outputscale for kernel, _ in model.parts()]).sum()
