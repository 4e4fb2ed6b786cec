"""Ground truth of a run, if the spectrum of every pixel is available."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.replay import ReplaySettings
from napari_hae.instruments.simulated import SimulatedMicroscope
from napari_hae.instruments.simulated_sample import ENERGY, sample_of
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.instruments.spectrum_images import read_spectrum_image
from napari_hae.types import Spectrum, dose_electrons

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.stored import StoredRun

    Array = NDArray[np.float64]


class NoTruth(ValueError):
    """Error for a run without a ground truth; the text gives the reason."""


class Truth(Protocol):
    """True spectra of all pixels."""

    words: str
    """Description of the truth, as the end of a sentence."""

    def targets(
        self, scalarizer: Scalarizer, on_row: Callable[[], None] = lambda: None
    ) -> Array:
        """Return the target in every pixel, `(rows, columns)`; NaN where undefined.

        `on_row` is called before each row, and may raise to cancel.
        """
        ...

    def measured(self, row: int, column: int) -> Spectrum:
        """Return the spectrum that an exposure there would give."""
        ...

    def close(self) -> None:
        """Close files."""
        ...


def truth_of(run: StoredRun) -> Truth:
    """Return the ground truth of a run.

    Raises
    ------
    NoTruth
        If the instrument has none, or its file no longer exists.
    """
    makers: dict[str, Callable[[StoredRun], Truth]] = {
        "replay": _Replayed,
        "simulated": _Simulated,
    }
    if run.instrument not in makers:
        raise NoTruth(
            f"what lies in every pixel is not known for the instrument {run.instrument}"
        )
    try:
        return makers[run.instrument](run)
    except (InstrumentError, ValueError) as error:
        raise NoTruth(str(error)) from error


class _Replayed:
    """The replayed spectrum image."""

    words = "the spectrum image that was replayed, its noise included"

    def __init__(self, run: StoredRun) -> None:
        settings = ReplaySettings.model_validate(run.instrument_settings)
        file = settings.file
        if not run.is_trusted:
            raise NoTruth(
                f"the file that was replayed, {file}, is read only if you trust the "
                "record (--trust on the command line)"
            )
        if file is None or not Path(file).exists():
            raise NoTruth(f"the file that was replayed is not there any more: {file}")
        self._data = read_spectrum_image(file, settings.survey_file, settings.choices)
        self._frame = FieldFrame(self._data.shape, self._data.fov_nm)
        self._exposure_s = run.settings.measurement.exposure_s
        if self._data.shape != run.frame.shape:
            self.close()
            raise NoTruth(
                f"{file} has {self._data.shape} pixels now, the record "
                f"{run.frame.shape}: it is another one"
            )

    def targets(
        self, scalarizer: Scalarizer, on_row: Callable[[], None] = lambda: None
    ) -> Array:
        targets = np.empty(self._data.shape)
        for row, its in enumerate(targets):
            on_row()
            for column in range(len(its)):
                its[column] = scalarizer(self.measured(row, column))
        return targets

    def measured(self, row: int, column: int) -> Spectrum:
        data, position = self._data, self._frame.position(row, column)
        counts = data.spectrum(row, column)
        return Spectrum(
            counts, data.energy, data.detector, position, self._exposure_s, math.nan
        )

    def close(self) -> None:
        self._data.close()


class _Simulated:
    """The simulated sample of the seeds, before drift, damage and contamination."""

    words = "the simulated sample without noise, drift and damage"

    def __init__(self, run: StoredRun) -> None:
        settings = SimulatedSettings.model_validate(run.instrument_settings)
        self._frame, self._sample = run.frame, sample_of(settings)
        self._exposure_s = run.settings.measurement.exposure_s
        self._dose_e = dose_electrons(settings.current_pa, self._exposure_s)
        at_once: dict[str, Any] = {"realtime": False, "dead_time_s": 0.0}
        self._microscope = SimulatedMicroscope(settings.model_copy(update=at_once))
        self._microscope.connect()

    def targets(
        self, scalarizer: Scalarizer, on_row: Callable[[], None] = lambda: None
    ) -> Array:
        y_nm, x_nm = self._frame.centres_nm()
        targets = np.empty(self._frame.shape)
        for row in range(len(targets)):
            on_row()
            points = np.stack(np.broadcast_arrays(y_nm[row], x_nm[0]), axis=1)
            counts = self._dose_e * self._sample.spectra(points)
            for column, each in enumerate(counts.astype(np.float32)):
                targets[row, column] = scalarizer(self._spectrum(row, column, each))
        return targets

    def measured(self, row: int, column: int) -> Spectrum:
        self._microscope.place_beam(self._frame.position(row, column))
        self._microscope.unblank()
        spectrum = self._microscope.acquire_spectrum("EELS", self._exposure_s)
        self._microscope.blank()
        return spectrum

    def close(self) -> None:
        self._microscope.disconnect()

    def _spectrum(self, row: int, column: int, counts: NDArray[np.float32]) -> Spectrum:
        position = self._frame.position(row, column)
        return Spectrum(
            counts, ENERGY, "EELS", position, self._exposure_s, self._dose_e
        )
