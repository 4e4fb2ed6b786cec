"""A simulated microscope: STEM-EELS of plasmonic nanoparticles on a support film."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_hae.instruments.base import (
    Capabilities,
    Interval,
    SpectrumDetector,
)
from napari_hae.instruments.in_process import InProcessInstrument
from napari_hae.instruments.simulated_effects import Drift, LocalDose
from napari_hae.instruments.simulated_sample import (
    ENERGY,
    pixel_centres_nm,
    sample_of,
)
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.types import (
    ProbePosition,
    ScanImage,
    Spectrum,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.types import Area

    Array = NDArray[np.float64]

_DETECTORS = ("HAADF", "BF")
_EELS = SpectrumDetector("EELS", ENERGY, suggested_band_ev=(0.30, 0.40))
_METADATA = {
    "Signal": {"signal_type": "EELS"},
    "Acquisition_instrument": {"TEM": {"microscope": "simulated by napari-hae"}},
}
_DWELL_TIME_S = Interval(1e-7, 1e-2)
_EXPOSURE_S = Interval(1e-4, 100.0)


class SimulatedMicroscope(InProcessInstrument):
    """Nanoparticles with corner, edge and face modes, under a beam that counts.

    The noise of a spectrum follows from the noise seed, the position and how often that
    position was exposed before; so the same calls give the same spectra, also when
    a run is resumed with a new instrument.
    """

    title: ClassVar[str] = "Simulated microscope"
    settings_type: ClassVar[type[SimulatedSettings]] = SimulatedSettings

    def __init__(self, settings: SimulatedSettings) -> None:
        super().__init__(dead_time_s=settings.dead_time_s, realtime=settings.realtime)
        self._settings = settings
        self._sample = sample_of(settings)
        self._drift = Drift(
            (settings.drift_y_nm_per_s, settings.drift_x_nm_per_s),
            settings.random_walk_nm,
            np.random.default_rng([settings.noise_seed, 0]),
        )
        self._dose: LocalDose | None = None
        if settings.keeps_dose:
            self._dose = LocalDose(settings.shape, settings.field_nm)
        self._surveys = 0
        self._exposures: Counter[ProbePosition] = Counter()

    def capabilities(self) -> Capabilities:
        """Return the capabilities. Raises `NotConnected`."""
        self._check_connected()
        return Capabilities(
            survey_detectors=_DETECTORS,
            spectrum_detectors=(_EELS,),
            survey_shape=self._settings.shape,
            smallest_survey_shape=(32, 32),
            largest_survey_shape=(1024, 1024),
            dwell_time_s=_DWELL_TIME_S,
            exposure_s=_EXPOSURE_S,
            fov_nm=self._settings.field_nm,
            current_pa=self._settings.current_pa,
            blanker_can_be_read=True,
            scans_areas=True,
            metadata=_METADATA,
        )

    def _spectrum_at(
        self, position: ProbePosition, detector: str, exposure_s: float, *, lit: bool
    ) -> Spectrum:
        offset_nm = self._drift.pass_time(exposure_s + self._settings.dead_time_s)[0]
        dose_e = dose_electrons(self._settings.current_pa, exposure_s) if lit else 0.0
        counts = np.zeros(ENERGY.size)
        if lit:
            place_nm = np.array([position.y, position.x]) * self._settings.field_nm
            counts = self._counts(place_nm - offset_nm, dose_e, position)
        return Spectrum(
            counts.astype(np.float32), ENERGY, _EELS.name, position, exposure_s, dose_e
        )

    def _counts(self, point_nm: Array, dose_e: float, position: ProbePosition) -> Array:
        """Return counts at a point of the sample and apply the dose to it."""
        modes, support = self._condition(point_nm)
        per_electron = self._sample.spectra(point_nm[None], modes, support)[0]
        expected: Array = dose_e * per_electron
        if self._dose is not None:
            self._dose.add_spot(point_nm, dose_e)
        exposures = self._exposures[position]
        self._exposures[position] += 1
        if not self._settings.counting_noise:
            return expected
        place = np.array([position.x, position.y]).view(np.uint64).tolist()
        key = [self._settings.noise_seed, 1, *place, exposures]
        counts: Array = np.random.default_rng(key).poisson(expected).astype(float)
        return counts

    def _condition(self, point_nm: Array) -> tuple[float, float]:
        """Return the remaining mode strength and the background growth at a point."""
        if self._dose is None:
            return 1.0, 1.0
        dose = self._dose.at(point_nm)
        damage = self._settings.damage_dose_e_per_nm2
        contamination = self._settings.contamination_dose_e_per_nm2
        modes = 1.0 if damage is None else float(np.exp(-dose / damage))
        return modes, 1.0 if contamination is None else 1.0 + dose / contamination

    def _scan(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area,
    ) -> ScanImage:
        settings = self._settings
        rng = np.random.default_rng([settings.noise_seed, 2, self._surveys])
        self._surveys += 1
        scan_s = dwell_time_s * shape[0] * shape[1]
        height_nm, width_nm = settings.field_nm
        fov_nm = area.height * height_nm, area.width * width_nm
        points_nm = pixel_centres_nm(shape, fov_nm)
        points_nm += area.top * height_nm, area.left * width_nm
        points_nm -= self._drift.pass_time(scan_s, steps=shape[0])[:, None]
        points_nm[..., 1] += settings.line_jitter_nm * rng.normal(size=(shape[0], 1))
        signals = self._sample.image_signals(points_nm.reshape(-1, 2))
        electrons = dose_electrons(settings.current_pa, dwell_time_s)
        counts = electrons * np.stack([signals[name] for name in _DETECTORS])
        if settings.counting_noise:
            counts = rng.poisson(counts).astype(float)
        if self._dose is not None:
            self._dose.add_area(area, electrons * shape[0] * shape[1])
        asked_for = [_DETECTORS.index(name) for name in detectors]
        data = counts[asked_for].reshape(-1, *shape).astype(np.float32)
        return ScanImage(data, tuple(detectors), fov_nm, dwell_time_s, area)
