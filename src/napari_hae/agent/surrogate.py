"""The surrogate: a Gaussian-process model of the target at every candidate."""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_hae.agent.calibration import variance_scale
from napari_hae.agent.conditioning import Conditioning
from napari_hae.agent.covariance import Covariance, prior_of
from napari_hae.agent.embedding import embed, parts_of, positions
from napari_hae.agent.evidence import Evidence
from napari_hae.agent.expectation import expectations
from napari_hae.agent.experience import experience_for
from napari_hae.agent.fitting import FRESH_ITERATIONS, WARM_ITERATIONS, fit
from napari_hae.agent.pathwise import draw
from napari_hae.agent.posterior import Posterior
from napari_hae.agent.refits import SURPRISE, Refits, Standard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_hae.agent.covariance import Part
    from napari_hae.agent.model_settings import ModelSettings

    Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

_EMBED_ROWS = 8192
_ENOUGH = 4096
"""Number of candidates that suffice to estimate a variance."""
_ENOUGH_LIKE = 1024
"""Number of candidates that suffice to estimate the share of the field that a
measurement represents."""


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Result of a fit: kernels, logarithms of their hyperparameters, any network."""

    parts: tuple[Part, ...]
    logs: Array
    network: nn.Module | None = None
    scale: float = 1.0
    """Variance inflation factor from cross-validation."""

    @property
    def stretch(self) -> float:
        """Factor of the standard deviations."""
        return math.sqrt(self.scale)


class Surrogate:
    """A deep-kernel Gaussian process over the pixels of a survey image.

    Targets are standardised on the measured values only. All predictions are of the
    target itself, without measurement noise.

    Parameters
    ----------
    image
        The survey image's data, shape `(detectors, rows, columns)`.
    seed
        Seed of the initial weights of a network that is fitted here.

    Raises
    ------
    ValueError
        If the file with the network's weights holds none, that of an earlier run
        cannot be learned from, or there is no such device.
    """

    def __init__(
        self, image: NDArray[np.float32], settings: ModelSettings, *, seed: int
    ) -> None:
        columns = [embed(image, settings)]
        if experience := experience_for(settings, len(image)):
            columns.append(expectations(experience, image, settings))
        # Input columns besides the position: structure, then expectations.
        self._widths = [each.shape[1] for each in columns]
        columns.append(positions(*image.shape[1:]))
        self._inputs = torch.from_numpy(np.concatenate(columns, axis=1))
        self._settings, self._seed = settings, seed
        self._device = device_of(settings)
        self._fitted: _Fitted | None = None
        self._conditioning: Conditioning | None = None
        self._room: Tensor | None = None
        self._variety: tuple[nn.Module | None, Array] | None = None
        self._made: tuple[nn.Module, Tensor] | None = None
        self._refits, self._standard = Refits(), Standard()
        self._indices = np.empty(0, dtype=np.intp)
        self._targets: Array = np.empty(0)
        self._errors: Array = np.empty(0)
        self.fit_failed = False
        """True if the last fit failed, so that a plain Gaussian process predicts."""

    def fit(
        self,
        indices: Sequence[int] | NDArray[np.intp],
        targets: Array,
        errors: Array | None = None,
    ) -> None:
        """Fit the model to the targets measured at some candidates.

        `errors` are the standard deviations of their noise as far as it is known, such
        as from counting statistics; the unknown part is fitted.

        Few measurements more than at the last fit only condition the model; otherwise
        it is refitted, from the last result or, at times, from scratch. A failed fit is
        repeated from scratch; if that fails too, the model becomes a plain Gaussian
        process with the most probable hyperparameters of the prior: a prediction is
        always available.

        Raises
        ------
        ValueError
            If there is no target, or one that is not finite.
        """
        values = np.asarray(targets, dtype=np.float64)
        if not (len(values) and np.isfinite(values).all()):
            raise ValueError(f"the model needs finite targets, got {values}")
        places = np.asarray(indices, dtype=np.intp)
        known = np.zeros(len(values)) if errors is None else np.asarray(errors)
        if self._conditioned(places, values, known):
            return
        self._indices, self._targets, self._errors = places, values, known
        self._standard = Standard.of(values)
        if self._conditioning is not None:
            self._room = self._conditioning.room
        self._conditioning = None
        count, fitted = len(places), None
        self._refits.begin(count)
        if self._fitted is not None and self._refits.goes_on(count):
            fitted = self._fit_from(self._fitted.logs, WARM_ITERATIONS)
        if fitted is None:
            self._refits.begin_afresh(count)
            fitted = self._fit_from(None, FRESH_ITERATIONS)
        self.fit_failed = fitted is None
        if fitted is None:
            logger.warning("the model is a plain Gaussian process: its fit failed")
            fitted = self._unfitted()
        self._fitted = self._calibrated(fitted)

    def posterior(self, pending: Sequence[int] = ()) -> Posterior:
        """Return the prediction for all candidates, in the targets' own unit.

        Pending candidates count as measured with their predicted value (kriging
        believer, Ginsbourger et al. 2010): the mean is unchanged, and the standard
        deviation around them is reduced.
        """
        conditioning = self._everywhere()
        std = conditioning.variance_with(pending).clamp_min(0).sqrt()
        unit = self._standard.spread * self._known_fit().stretch
        return Posterior(
            mean=self._standard.back(conditioning.mean.cpu().numpy()),
            std=unit * std.cpu().numpy(),
            sample=lambda rng: self.sample(rng, pending),
        )

    def sample(self, rng: np.random.Generator, pending: Sequence[int] = ()) -> Array:
        """Draw a function from the joint posterior, `(n,)`, in the targets' unit."""
        covariance, candidates = self._covariance(), self._scaled()
        known, values = self._indices.tolist(), self._scaled_targets()
        noise, mean = self._known_noise(), self._everywhere().mean
        if len(pending):
            believed = mean[list(pending)].cpu()
            known, values = [*known, *pending], torch.cat([values, believed])
            noise = torch.cat([noise, noise.mean().expand(len(pending))])
        drawn = draw(covariance, candidates, known, values, noise, rng)
        # Pending candidates leave the mean unchanged.
        result: Array = torch.lerp(mean, drawn, self._known_fit().stretch).cpu().numpy()
        return self._standard.back(result)

    def embed(self) -> Array:
        """Return the kernel's inputs of all candidates, no position, `(n, width)`."""
        width = self._known_fit().parts[0].width
        embedding: Array = self._candidates()[:, :width].numpy()
        return embedding

    def likeness(
        self, indices: NDArray[np.intp], among: NDArray[np.intp] | None = None
    ) -> tuple[Array, Array]:
        """Return kernel inputs of some candidates, and their variance among others.

        Shapes `(len(indices), width)` and `(width,)`. Without `among` it is the
        variance over all candidates.
        """
        fitted = self._known_fit()
        width = fitted.parts[0].width
        seen = self._embedded(self._inputs[indices])[:, :width].numpy()
        if among is not None:
            others = self._embedded(self._inputs[_some(among)])[:, :width].numpy()
            return seen, others.var(axis=0)
        if self._variety is None or self._variety[0] is not fitted.network:
            self._variety = fitted.network, self.embed().var(axis=0)
        return seen, self._variety[1]

    @property
    def fitted_network(self) -> nn.Module | None:
        """Network fitted here; the result of `embed` changes only with it."""
        return None if self._fitted is None else self._fitted.network

    @property
    def is_fitted(self) -> bool:
        """Return whether it was fitted, so that it can predict."""
        return self._fitted is not None

    @property
    def noise_std(self) -> float:
        """Standard deviation of a typical measurement's noise, in the targets' unit."""
        if self._fitted is None:
            return float("nan")
        return math.hypot(self.fitted_noise_std, np.sqrt(np.mean(self._errors**2)))

    @property
    def fitted_noise_std(self) -> float:
        """Standard deviation of the noise beyond the known errors, in the same unit."""
        if self._fitted is None:
            return float("nan")
        unit = self._standard.spread * self._fitted.stretch
        return unit * math.sqrt(self._covariance().noise)

    @property
    def log_likelihood(self) -> float:
        """Log marginal likelihood of the standardised targets, per measurement."""
        return self._everywhere().log_likelihood / len(self._indices)

    def state_dict(self) -> dict[str, Any]:
        """Return the state from which `load_state_dict` restores the predictions."""
        return {
            "fitted": copy.deepcopy(self._known_fit()),
            "indices": self._indices.copy(),
            "targets": self._targets.copy(),
            "errors": self._errors.copy(),
            "standard": self._standard,
            "refits": copy.copy(self._refits),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a surrogate of the same candidates and settings."""
        self._fitted = copy.deepcopy(state["fitted"])
        self._indices, self._targets = state["indices"].copy(), state["targets"].copy()
        self._errors = state["errors"].copy()
        self._standard, self._refits = state["standard"], copy.copy(state["refits"])
        self._conditioning = None

    def _fit_from(self, start: Array | None, iterations: int) -> _Fitted | None:
        if self._settings.fits_network:
            return self._fit_with_network()
        plain = self._unfitted()
        begin = plain.logs if start is None else start
        logs = fit(self._evidence(plain), begin, iterations)
        return None if logs is None else _Fitted(plain.parts, logs)

    def _fit_with_network(self) -> _Fitted | None:
        # gpytorch is slow to import, and most runs do not need it.
        from napari_hae.agent.deep_kernel import fit_network

        parts = parts_of(self._settings, *self._widths)
        inputs = self._inputs[self._indices].double()
        found = fit_network(
            inputs,
            self._scaled_targets(),
            self._settings,
            parts,
            self._known_noise(),
            self._seed,
        )
        return None if found is None else _Fitted(parts, found[1], found[0])

    def _unfitted(self) -> _Fitted:
        """Return the fallback: the centre of the prior, without a fitted network."""
        parts = parts_of(self._settings.without_fitted_network(), *self._widths)
        return _Fitted(parts, prior_of(parts)[0])

    def _calibrated(self, fitted: _Fitted) -> _Fitted:
        """Return the fit with its variances rescaled by cross-validation."""
        covariance = Covariance(fitted.parts, fitted.logs)
        some = _some(np.arange(len(self._inputs)), _ENOUGH_LIKE)
        measured, candidates = (
            covariance.scaled(self._embedded(self._inputs[indices], fitted))
            for indices in (self._indices, some)
        )
        targets, noise = self._scaled_targets(), self._known_noise()
        try:
            scale = variance_scale(covariance, measured, targets, noise, candidates)
        except np.linalg.LinAlgError as error:
            logger.warning("intervals are those of the fit alone: %s", error)
            return fitted
        return replace(fitted, scale=scale)

    def _evidence(self, fitted: _Fitted) -> Evidence:
        measured = self._embedded(self._inputs[self._indices], fitted)
        targets, noise = self._scaled_targets(), self._known_noise()
        return Evidence(fitted.parts, measured, targets, noise)

    def _conditioned(
        self, indices: NDArray[np.intp], targets: Array, errors: Array
    ) -> bool:
        """Condition the model on new data; return False if it needs a fit instead."""
        before, count = len(self._indices), len(indices)
        if self._fitted is None or not before <= count < self._refits.due:
            return False
        if self._settings.network == "classic" or not (
            np.array_equal(indices[:before], self._indices)
            and np.array_equal(targets[:before], self._targets)
            and np.array_equal(errors[:before], self._errors)
        ):
            return False
        conditioning = self._everywhere()
        scaled = self._standard.scaled(targets)[before:].tolist()
        noise = (errors[before:] / self._standard.spread) ** 2
        new = indices[before:].tolist()
        far = SURPRISE * self._fitted.stretch
        surprises = sum(
            conditioning.is_surprised(place, target, known, far)
            for place, target, known in zip(new, scaled, noise.tolist(), strict=True)
        )
        suits = self._standard.suits(targets)
        if not suits or self._refits.surprised(count, surprises):
            return False
        if new:
            conditioning.add(new, scaled, torch.from_numpy(noise).to(self._device))
        self._indices, self._targets, self._errors = indices, targets, errors
        return True

    def _everywhere(self) -> Conditioning:
        """Return the prediction for all candidates, up to date."""
        if self._conditioning is None:
            self._conditioning = Conditioning(
                self._covariance(),
                self._scaled(),
                self._indices.tolist(),
                self._scaled_targets().to(self._device),
                self._known_noise().to(self._device),
                self._room,
            )
            self._room = None
        return self._conditioning

    def _covariance(self) -> Covariance:
        fitted = self._known_fit()
        return Covariance(fitted.parts, fitted.logs)

    def _scaled(self) -> Tensor:
        """Return candidates in units of length scales, on the predicting device."""
        return self._covariance().scaled(self._candidates().to(self._device))

    def _candidates(self) -> Tensor:
        """Return the kernels' inputs of all candidates; evaluate a network once."""
        network = self._known_fit().network
        if network is None:
            return self._embedded(self._inputs)
        if self._made is None or self._made[0] is not network:
            self._made = network, self._embedded(self._inputs)
        return self._made[1]

    def _embedded(self, inputs: Tensor, fitted: _Fitted | None = None) -> Tensor:
        """Return the kernels' inputs, `(n, columns)`, float64."""
        fitted = fitted or self._known_fit()
        network = fitted.network
        columns = sum(part.width for part in fitted.parts)
        if network is None:
            # Position comes last, and not every model uses it.
            return inputs[:, :columns].double()
        with torch.no_grad():
            blocks = torch.split(inputs[:, :-2], _EMBED_ROWS)
            made = [network(block.double()) for block in blocks]
        together = torch.cat([torch.cat(made), inputs[:, -2:].double()], dim=1)
        return together[:, :columns]

    def _known_fit(self) -> _Fitted:
        if self._fitted is None:
            raise RuntimeError("the surrogate has not been fitted yet")
        return self._fitted

    def _known_noise(self) -> Tensor:
        """Return each measurement's known noise, as a standardised variance, `(m,)`."""
        return torch.from_numpy((self._errors / self._standard.spread) ** 2)

    def _scaled_targets(self) -> Tensor:
        return torch.from_numpy(self._standard.scaled(self._targets))


def device_of(settings: ModelSettings) -> torch.device:
    """Return the device on which the settings let the model compute.

    Raises
    ------
    ValueError
        If a graphics card is requested and torch finds none.
    """
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "torch finds no graphics card to compute on: choose 'auto' or 'cpu'"
        )
    return torch.device(settings.device)


def _some(indices: NDArray[np.intp], enough: int = _ENOUGH) -> NDArray[np.intp]:
    """Return a sufficient subset of many candidates, always the same one."""
    if len(indices) <= enough:
        return indices
    return indices[np.random.default_rng(0).integers(len(indices), size=enough)]
