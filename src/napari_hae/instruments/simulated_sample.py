"""Signals of the simulated sample: spectra, images and the ground truth.

A spectrum is a sum of few components (zero-loss peak, support, bulk plasmon and the
modes of each particle), each weighted by a function of position. So no spectrum image
is ever held: a spectrum, or a map of an energy band, is computed when asked for.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.instruments.nanoparticles import (
    MATTER_REACH,
    MODE_REACH,
    Particle,
    scatter_particles,
)
from napari_hae.types import EnergyAxis, dose_electrons

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_hae.instruments.simulated_settings import SimulatedSettings

    Array = NDArray[np.float64]

ENERGY = EnergyAxis(offset_ev=-0.30, dispersion_ev=0.004, size=439)

COLLECTED = 0.05
"""Part of the electrons that enters the spectrometer."""

_ZERO_LOSS_FWHM_EV, _ZERO_LOSS_TAILS = 0.04, 0.05
_MODE_FWHM_EV = np.array([0.05, 0.06, 0.07])
_MODE_PROBABILITY = np.array([0.012, 0.008, 0.006])
_BULK_EV, _BULK_FWHM_EV, _BULK_PER_NM = 1.20, 0.20, 8e-4
_SUPPORT_PROBABILITY = 0.004
_MEAN_FREE_PATH_NM = 100.0
_SUPPORT_NM = 10.0
# Relative scattering to high angles goes about as Z^1.7: metal oxide on carbon.
_HAADF_PER_NM, _HAADF_SUPPORT_PER_NM = 8e-3, 2e-3
_POINTS_AT_ONCE = 16384


class Sample:
    """Nanoparticles on a support film.

    Parameters
    ----------
    particles
        The particles; points are in the same coordinates, `(y, x)` in nm.
    """

    def __init__(self, particles: tuple[Particle, ...]) -> None:
        self.particles = particles

    @cached_property
    def components(self) -> Array:
        """Counts per channel for one collected electron and a weight of 1.

        Shape `(components, channels)`: zero-loss peak, support, bulk plasmon, and for
        each particle its corner, edge and face mode.
        """
        energies_ev = ENERGY.energies_ev
        rows = [_zero_loss(energies_ev), _support(energies_ev)]
        rows.append(_lorentzian(energies_ev, _BULK_EV, _BULK_FWHM_EV) * _BULK_PER_NM)
        for particle in self.particles:
            for mode in range(3):
                line = _lorentzian(
                    energies_ev, particle.energies_ev[mode], _MODE_FWHM_EV[mode]
                )
                rows.append(line * _MODE_PROBABILITY[mode])
        return np.array(rows) * ENERGY.dispersion_ev

    def weights(
        self, points_nm: Array, modes: float = 1.0, support: float = 1.0
    ) -> Array:
        """Return the weight of each component at points.

        `(points, 2)` to `(points, components)`. `modes` and `support` scale the
        particles' modes (damage) and the support's background (contamination).
        """
        weights = np.zeros((len(points_nm), 3 + 3 * len(self.particles)))
        weights[:, 1] = support
        for index, particle in enumerate(self.particles):
            felt = particle.near(points_nm, MODE_REACH)
            if len(felt):
                near_nm = points_nm[felt]
                distance_nm = particle.signed_distance(near_nm)
                weights[felt, 2] += particle.thickness(distance_nm)
                first = 3 + 3 * index
                strengths = particle.mode_strengths(near_nm, distance_nm)
                weights[felt, first : first + 3] = modes * strengths
        weights[:, 0] = np.exp(-weights[:, 2] / _MEAN_FREE_PATH_NM)
        return weights

    def spectra(
        self, points_nm: Array, modes: float = 1.0, support: float = 1.0
    ) -> Array:
        """Return expected counts per electron.

        `(points, 2)` to `(points, channels)`.
        """
        weights = self.weights(points_nm, modes, support)
        return COLLECTED * (weights @ self.components)

    def image_signals(self, points_nm: Array) -> dict[str, Array]:
        """Return expected counts per electron on each imaging detector, `(points,)`."""
        thickness_nm = np.zeros(len(points_nm))
        for start in range(0, len(points_nm), _POINTS_AT_ONCE):
            block = slice(start, start + _POINTS_AT_ONCE)
            thickness_nm[block] = self._thickness(points_nm[block])
        haadf = _HAADF_PER_NM * thickness_nm + _HAADF_SUPPORT_PER_NM * _SUPPORT_NM
        bright = np.exp(-(thickness_nm + 0.3 * _SUPPORT_NM) / _MEAN_FREE_PATH_NM)
        return {"HAADF": haadf, "BF": bright}

    def _thickness(self, points_nm: Array) -> Array:
        thickness_nm = np.zeros(len(points_nm))
        for particle in self.particles:
            felt = particle.near(points_nm, MATTER_REACH)
            distance_nm = particle.signed_distance(points_nm[felt])
            thickness_nm[felt] += particle.thickness(distance_nm)
        return thickness_nm


def sample_of(settings: SimulatedSettings) -> Sample:
    """Return the sample for these settings; equal settings give equal samples."""
    return _sample(
        settings.field_nm, settings.particles, settings.particles_touch, settings.seed
    )


@lru_cache(maxsize=8)
def _sample(
    fov_nm: tuple[float, float], number: int, touching: bool, seed: int
) -> Sample:
    rng = np.random.default_rng(seed)
    return Sample(scatter_particles(fov_nm, number, touching, rng))


def pixel_centres_nm(
    shape: tuple[int, int], fov_nm: tuple[float, float], rows: slice = slice(None)
) -> Array:
    """Centres of pixels in array order, shape `(rows, columns, 2)`, in nm."""
    y_nm = (np.arange(shape[0])[rows] + 0.5) * fov_nm[0] / shape[0]
    x_nm = (np.arange(shape[1]) + 0.5) * fov_nm[1] / shape[1]
    return np.stack(np.meshgrid(y_nm, x_nm, indexing="ij"), axis=2)


def ground_truth(
    settings: SimulatedSettings,
    shape: tuple[int, int],
    low_ev: float,
    high_ev: float,
) -> NDArray[np.float32]:
    """Noise-free counts in an energy band for every pixel, per pA·s of dose.

    Before drift, damage and contamination. For tests and benchmarks: no instrument
    gives this away.

    Parameters
    ----------
    settings
        The settings of the simulated microscope.
    shape
        `(rows, columns)` of the map; any resolution of the same field of view.
    low_ev, high_ev
        The band, both ends included.

    Returns
    -------
    Shape `(rows, columns)`, float32.
    """
    sample = sample_of(settings)
    in_band = sample.components[:, ENERGY.channels(low_ev, high_ev)].sum(axis=1)
    truth = np.empty(shape, dtype=np.float32)
    for rows, points_nm in _blocks(settings, shape):
        weights = sample.weights(points_nm)
        truth[rows] = (weights @ in_band).reshape(-1, shape[1])
    return truth * np.float32(COLLECTED * dose_electrons(1, 1))


def truth_spectrum_image(
    settings: SimulatedSettings, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Noise-free counts per pA·s, shape `(rows, columns, channels)`, float32.

    The whole spectrum image, and so for small fields only: 439 channels of 64 × 64
    pixels take 7 MB.
    """
    sample = sample_of(settings)
    image = np.empty((*shape, ENERGY.size), dtype=np.float32)
    for rows, points_nm in _blocks(settings, shape):
        counts = sample.spectra(points_nm) * dose_electrons(1, 1)
        image[rows] = counts.reshape(-1, shape[1], ENERGY.size)
    return image


def _blocks(
    settings: SimulatedSettings, shape: tuple[int, int]
) -> Iterator[tuple[slice, Array]]:
    rows_at_once = max(1, _POINTS_AT_ONCE // shape[1])
    for first in range(0, shape[0], rows_at_once):
        rows = slice(first, first + rows_at_once)
        points_nm = pixel_centres_nm(shape, settings.field_nm, rows)
        yield rows, points_nm.reshape(-1, 2)


def _lorentzian(energies_ev: Array, centre_ev: float, fwhm_ev: float) -> Array:
    half = fwhm_ev / 2
    line: Array = half / np.pi / ((energies_ev - centre_ev) ** 2 + half**2)
    return np.where(energies_ev > 0, line, 0)


def _zero_loss(energies_ev: Array) -> Array:
    """Return a pseudo-Voigt peak at 0 eV, a few per cent of it Lorentzian."""
    sigma = _ZERO_LOSS_FWHM_EV / np.sqrt(8 * np.log(2))
    gauss = np.exp(-0.5 * (energies_ev / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    half = _ZERO_LOSS_FWHM_EV / 2
    tails = half / np.pi / (energies_ev**2 + half**2)
    mixed: Array = (1 - _ZERO_LOSS_TAILS) * gauss + _ZERO_LOSS_TAILS * tails
    return mixed


def _support(energies_ev: Array) -> Array:
    """Return a smooth loss that sets in above 0 eV and falls slowly."""
    loss_ev = np.maximum(energies_ev, 0)
    return _SUPPORT_PROBABILITY * (1 - np.exp(-loss_ev / 0.1)) / (loss_ev + 0.5)
