"""A simulated microscope: STEM-EELS of plasmonic nanoparticles on a support film."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_hae.instruments.base import (
    Aborted,
    Busy,
    Capabilities,
    Interval,
    NotConnected,
    OutOfRange,
    SpectrumDetector,
    Status,
    Unsupported,
    check_interval,
    check_position,
)
from napari_hae.instruments.simulated_effects import Drift, LocalDose
from napari_hae.instruments.simulated_sample import (
    ENERGY,
    pixel_centres_nm,
    sample_of,
)
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.types import (
    BeamState,
    ProbePosition,
    ScanImage,
    Spectrum,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_DETECTORS = ("HAADF", "BF")
_EELS = SpectrumDetector("EELS", ENERGY, suggested_band_ev=(0.30, 0.40))
_DWELL_TIME_S = Interval(1e-7, 1e-2)
_EXPOSURE_S = Interval(1e-4, 100.0)


class SimulatedMicroscope:
    """Nanoparticles with corner, edge and face modes, under a beam that counts.

    The noise of a spectrum follows from the noise seed, the position and how often that
    position was exposed before; so the same calls give the same spectra, also when
    a run is resumed with a new instrument.
    """

    title: ClassVar[str] = "Simulated microscope"
    settings_type: ClassVar[type[SimulatedSettings]] = SimulatedSettings

    def __init__(self, settings: SimulatedSettings) -> None:
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
        self._state = threading.Lock()
        self._using = threading.Lock()
        self._aborted = threading.Event()
        self._connected = False
        self._beam = BeamState.BLANKED
        self._position: ProbePosition | None = None
        self._surveys = 0
        self._exposures: Counter[ProbePosition] = Counter()

    def connect(self) -> None:
        """Connect, with the beam blanked afterwards."""
        with self._state:
            if not self._connected:
                self._beam = BeamState.BLANKED
                self._aborted.clear()
                self._connected = True

    def disconnect(self) -> None:
        """Blank the beam and end what is running."""
        self.abort()
        with self._state:
            self._connected = False
            self._position = None

    def capabilities(self) -> Capabilities:
        """What it can do. Raises `NotConnected`."""
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
        )

    def status(self) -> Status:
        """The state now; never raises."""
        with self._state:
            return Status(
                self._connected, self._beam, self._position, self._using.locked()
            )

    def acquire_survey(
        self, detectors: Sequence[str], shape: tuple[int, int], dwell_time_s: float
    ) -> ScanImage:
        """Scan the whole field of view.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`.
        """
        self._check_connected()
        _check_detectors(detectors)
        _check_shape(shape)
        check_interval("a dwell time", dwell_time_s, _DWELL_TIME_S, "s")
        with self._in_use():
            self._aborted.clear()
            with self._beam_on():
                self._wait(dwell_time_s * shape[0] * shape[1])
                data = self._scan(detectors, shape, dwell_time_s)
            self._check_not_aborted()
        field_nm = self._settings.field_nm
        return ScanImage(data, tuple(detectors), field_nm, dwell_time_s)

    def place_beam(self, position: ProbePosition) -> None:
        """Put the beam at a position. Raises `NotConnected`, `OutOfRange`, `Busy`."""
        self._check_connected()
        check_position(position)
        with self._in_use():
            self._aborted.clear()
            self._move(position)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum where the beam is; zeros while the beam is blanked.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`.
        """
        self._check_exposure(detector, exposure_s)
        with self._in_use():
            return self._expose(exposure_s)

    def acquire_spectra(
        self, positions: Iterable[ProbePosition], detector: str, exposure_s: float
    ) -> Iterator[Spectrum]:
        """Take a spectrum at each position, each drawn when the beam is about to go.

        Raises what `place_beam` and `acquire_spectrum` raise. An abort ends it.
        """
        self._check_exposure(detector, exposure_s)
        with self._in_use():
            self._aborted.clear()
            with self._state:
                self._beam = BeamState.BLANKED
        return self._spectra(positions, exposure_s)

    def blank(self) -> None:
        """Keep the electrons off the sample. Raises `NotConnected`."""
        self._check_connected()
        with self._state:
            self._beam = BeamState.BLANKED

    def unblank(self) -> None:
        """Let the electrons reach the sample.

        Raises `NotConnected`, and `Aborted` while an abort holds.
        """
        self._check_connected()
        with self._state:
            self._check_not_aborted()
            self._beam = BeamState.ON

    def abort(self) -> None:
        """Blank at once, then end what is running."""
        with self._state:
            self._beam = BeamState.BLANKED
            self._aborted.set()

    def _spectra(
        self, positions: Iterable[ProbePosition], exposure_s: float
    ) -> Iterator[Spectrum]:
        for position in positions:
            self._check_connected()
            check_position(position)
            with self._in_use():
                self._check_not_aborted()
                self._move(position)
                with self._beam_on():
                    spectrum = self._expose(exposure_s)
            yield spectrum

    def _move(self, position: ProbePosition) -> None:
        with self._state:
            self._position = position

    def _expose(self, exposure_s: float) -> Spectrum:
        with self._state:
            position, is_on = self._position, self._beam is BeamState.ON
        if position is None:
            raise OutOfRange("no probe position: place the beam first")
        self._check_not_aborted()
        self._wait(exposure_s)
        offset_nm = self._drift.pass_time(exposure_s + self._settings.dead_time_s)[0]
        dose_e = dose_electrons(self._settings.current_pa, exposure_s) if is_on else 0.0
        counts = np.zeros(ENERGY.size)
        if is_on:
            place_nm = np.array([position.y, position.x]) * self._settings.field_nm
            counts = self._counts(place_nm - offset_nm, dose_e, position)
        self._check_not_aborted()
        return Spectrum(
            counts.astype(np.float32), ENERGY, _EELS.name, position, exposure_s, dose_e
        )

    def _counts(self, point_nm: Array, dose_e: float, position: ProbePosition) -> Array:
        """Counts at a point of the sample, which the electrons change."""
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
        """What is left of the modes, and the growth of the background, at a point."""
        if self._dose is None:
            return 1.0, 1.0
        dose = self._dose.at(point_nm)
        damage = self._settings.damage_dose_e_per_nm2
        contamination = self._settings.contamination_dose_e_per_nm2
        modes = 1.0 if damage is None else float(np.exp(-dose / damage))
        return modes, 1.0 if contamination is None else 1.0 + dose / contamination

    def _scan(
        self, detectors: Sequence[str], shape: tuple[int, int], dwell_time_s: float
    ) -> NDArray[np.float32]:
        settings = self._settings
        rng = np.random.default_rng([settings.noise_seed, 2, self._surveys])
        self._surveys += 1
        scan_s = dwell_time_s * shape[0] * shape[1]
        points_nm = pixel_centres_nm(shape, settings.field_nm)
        points_nm -= self._drift.pass_time(scan_s, steps=shape[0])[:, None]
        points_nm[..., 1] += settings.line_jitter_nm * rng.normal(size=(shape[0], 1))
        signals = self._sample.image_signals(points_nm.reshape(-1, 2))
        electrons = dose_electrons(settings.current_pa, dwell_time_s)
        counts = electrons * np.stack([signals[name] for name in _DETECTORS])
        if settings.counting_noise:
            counts = rng.poisson(counts).astype(float)
        if self._dose is not None:
            self._dose.add_everywhere(electrons * shape[0] * shape[1])
        asked_for = [_DETECTORS.index(name) for name in detectors]
        return counts[asked_for].reshape(-1, *shape).astype(np.float32)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        if not self._using.acquire(blocking=False):
            raise Busy("the microscope is acquiring; wait until it is done, or abort")
        try:
            yield
        finally:
            self._using.release()

    @contextmanager
    def _beam_on(self) -> Iterator[None]:
        try:
            self.unblank()
            yield
        finally:
            with self._state:
                self._beam = BeamState.BLANKED

    def _wait(self, exposure_s: float) -> None:
        """Let the time pass that the acquisition takes; an abort ends it at once."""
        wait_s = self._settings.dead_time_s
        if self._settings.realtime:
            wait_s += exposure_s
        if wait_s > 0:
            self._aborted.wait(wait_s)
        self._check_not_aborted()

    def _check_not_aborted(self) -> None:
        if self._aborted.is_set():
            raise Aborted("aborted: place the beam or start an acquisition to go on")

    def _check_connected(self) -> None:
        if not self._connected:
            raise NotConnected("the simulated microscope is not connected")

    def _check_exposure(self, detector: str, exposure_s: float) -> None:
        self.capabilities().spectrum_detector(detector)
        check_interval("an exposure", exposure_s, _EXPOSURE_S, "s")


def _check_detectors(detectors: Sequence[str]) -> None:
    unknown = [name for name in detectors if name not in _DETECTORS]
    if unknown or not detectors:
        raise Unsupported(
            f"survey detectors {list(detectors)} are not all known; "
            f"this instrument has: {', '.join(_DETECTORS)}"
        )


def _check_shape(shape: tuple[int, int]) -> None:
    if len(shape) != 2 or not all(32 <= size <= 1024 for size in shape):
        raise Unsupported(
            f"a survey image of {' × '.join(map(str, shape))} pixels is not possible: "
            "32 to 1024 rows and columns"
        )
