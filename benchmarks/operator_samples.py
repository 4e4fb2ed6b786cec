"""Samples with a decoy, a trap and a rare feature, and a microscope that shows them.

All are 128 nm wide, of 64 x 64 pixels. A spectrum is a falling background, a line at
0.35 eV as strong as the mode there, and what thick matter and contamination add.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import trap_sample
from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.base import Capabilities, Interval, SpectrumDetector
from napari_hae.instruments.in_process import InProcessInstrument
from napari_hae.settings_base import Settings
from napari_hae.types import EnergyAxis, ScanImage, Spectrum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.types import Area, ProbePosition

SIDE = trap_sample.SIDE
FIELD_NM = (128.0, 128.0)
ENERGY = EnergyAxis(offset_ev=0.1, dispersion_ev=0.02, size=50)
BAND_EV = (0.30, 0.40)

_COUNTS = 400
"""In the top channel of the line, where the mode has a strength of 1."""
_IMAGE_NOISE = 0.05
_TOP, _RARE = 20, 8
"""Pixels of the goal: 0.5 % and 0.2 % of the field."""


@dataclass(frozen=True)
class Sample:
    """One sample; all arrays `(rows, columns)`.

    Attributes
    ----------
    image
        The survey image, particles near 1.
    mode
        Strength of the line of interest.
    thickness, contamination
        Of what else adds to a spectrum.
    is_goal
        Where the mode is to be found.
    """

    image: np.ndarray
    mode: np.ndarray
    thickness: np.ndarray
    contamination: np.ndarray
    is_goal: np.ndarray

    def expected(self, row: int, column: int) -> np.ndarray:
        """Expected counts of each channel."""
        energy_ev = ENERGY.energies_ev
        at = (row, column)
        return _COUNTS * (
            0.3 * (1 + 0.5 * self.thickness[at]) * np.exp(-energy_ev / 0.3)
            + self.mode[at] / (1 + ((energy_ev - 0.35) / 0.04) ** 2)
            + 0.3 * self.thickness[at] * np.exp(-(((energy_ev - 0.8) / 0.15) ** 2))
            + self.contamination[at] * np.exp(-energy_ev / 1.5)
        )


def decoy(seed: int) -> Sample:
    """Particles with a mode at their surface, and a square of contamination.

    The mode is the stronger the smaller a particle is. An earlier scan left the square:
    bright, and in the band brighter than any mode, but without a line.
    """
    rng = np.random.default_rng(seed)
    discs = _scattered(rng, [9.5, *rng.uniform(3.5, 6.5, 9)])
    rows, columns = np.indices((SIDE, SIDE))
    (row, column), _ = discs[0]
    from_centre = np.maximum(abs(rows - row), abs(columns - column))
    square = _inside(from_centre - 6.5)
    thickness, mode = np.zeros((2, SIDE, SIDE))
    for centre, radius in discs[1:]:
        distance = np.hypot(rows - centre[0], columns - centre[1]) - radius
        thickness += _inside(distance)
        mode += np.exp(-((distance / 1.5) ** 2)) * 3.5 / radius
    image = thickness + 1.2 * square
    return _sample(rng, image, mode, thickness, 1.2 * square, _TOP)


def rare(seed: int, elsewhere: float = 0.0) -> Sample:
    """Particles with two sites at their surfaces that have the mode.

    The image shows nothing of the sites, as of adsorbed molecules or defects. The other
    surfaces have the mode with a strength of `elsewhere`.
    """
    rng = np.random.default_rng(seed)
    discs = _scattered(rng, rng.uniform(3.5, 7.0, 10))
    rows, columns = np.indices((SIDE, SIDE))
    thickness, mode = np.zeros((2, SIDE, SIDE))
    for number, (centre, radius) in enumerate(discs):
        distance = np.hypot(rows - centre[0], columns - centre[1]) - radius
        thickness += _inside(distance)
        mode += elsewhere * np.exp(-((distance / 1.5) ** 2))
        if number < 2:
            angle = rng.uniform(0, 2 * np.pi)
            site = centre + radius * np.array([np.sin(angle), np.cos(angle)])
            away = np.hypot(rows - site[0], columns - site[1])
            mode += (1.2 - elsewhere) * np.exp(-((away / 1.5) ** 2))
    return _sample(rng, thickness, mode, thickness, np.zeros_like(mode), _RARE)


def trap(seed: int) -> Sample:
    """The sample of `trap_sample`: many good particles, two rare better ones."""
    made = trap_sample.Sample(seed)
    thickness = np.clip(made.image, 0, None)
    mode = np.clip(made.measured, 0, None)
    nothing = np.zeros_like(mode)
    return Sample(made.image, mode, thickness, nothing, made.is_better)


SAMPLES: dict[str, Callable[[int], Sample]] = {
    "decoy": decoy,
    "trap": trap,
    "rare feature": rare,
    "rare feature, hinted at": partial(rare, elsewhere=0.3),
}


class Microscope(InProcessInstrument):
    """Serves a sample; a pixel measured twice gives another spectrum."""

    title: ClassVar[str] = "Sample of a benchmark"
    settings_type: ClassVar[type[Settings]] = Settings

    def __init__(self, sample: Sample, seed: int) -> None:
        super().__init__(dead_time_s=0, realtime=False)
        self._sample = sample
        self._rng = np.random.default_rng([seed, 1])

    def capabilities(self) -> Capabilities:
        """See `Instrument`."""
        self._check_connected()
        any_time_s, shape = Interval(1e-6, 10), (SIDE, SIDE)
        return Capabilities(
            survey_detectors=("HAADF",),
            spectrum_detectors=(SpectrumDetector("EELS", ENERGY, BAND_EV),),
            survey_shape=shape,
            smallest_survey_shape=shape,
            largest_survey_shape=shape,
            dwell_time_s=any_time_s,
            exposure_s=any_time_s,
            fov_nm=FIELD_NM,
            current_pa=None,
            blanker_can_be_read=True,
        )

    def _scan(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area,
    ) -> ScanImage:
        image = self._sample.image[None].astype(np.float32)
        return ScanImage(image, tuple(detectors), FIELD_NM, dwell_time_s, area)

    def _spectrum_at(
        self, position: ProbePosition, detector: str, exposure_s: float, *, lit: bool
    ) -> Spectrum:
        counts = np.zeros(ENERGY.size)
        if lit:
            pixel = FieldFrame((SIDE, SIDE), FIELD_NM).pixel(position)
            counts = self._rng.poisson(self._sample.expected(*pixel))
        dose_e = float("nan")
        return Spectrum(
            counts.astype(np.float32), ENERGY, detector, position, exposure_s, dose_e
        )


def _scattered(
    rng: np.random.Generator, radii: Sequence[float]
) -> list[tuple[np.ndarray, float]]:
    """Discs of these radii that do not touch each other or the border."""
    while True:
        placed: list[tuple[np.ndarray, float]] = []
        for radius in radii:
            centres = rng.uniform(radius + 1, SIDE - radius - 2, (200, 2))
            free = (c for c in centres if _has_room(c, radius, placed))
            if (centre := next(free, None)) is None:
                break
            placed.append((centre, radius))
        else:
            return placed


def _has_room(
    centre: np.ndarray, radius: float, placed: list[tuple[np.ndarray, float]]
) -> bool:
    return all(
        np.hypot(*(centre - other)) > radius + reach + 3 for other, reach in placed
    )


def _inside(distance: np.ndarray) -> np.ndarray:
    """1 inside, 0 outside, with a soft edge of about a pixel."""
    return 1 / (1 + np.exp(2 * np.clip(distance, -20, 20)))


def _sample(
    rng: np.random.Generator,
    image: np.ndarray,
    mode: np.ndarray,
    thickness: np.ndarray,
    contamination: np.ndarray,
    top: int,
) -> Sample:
    """With noise in the image, and the pixels of the strongest mode for the goal."""
    noise = _IMAGE_NOISE * rng.standard_normal(image.shape)
    is_goal = mode >= np.sort(mode.ravel())[-top]
    return Sample(image + noise, mode, thickness, contamination, is_goal)
