"""Instruments that deliver odd images and spectra, or change in mid-run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fakes import FakeInstrument, FakeSettings
from napari_hae.types import WHOLE_FIELD, EnergyAxis, ScanImage, Spectrum

if TYPE_CHECKING:
    from collections.abc import Callable


class OddImages(FakeInstrument):
    """Each survey image is changed before it is handed over."""

    def __init__(self, change: Callable[[ScanImage], ScanImage], **settings) -> None:
        super().__init__(FakeSettings(**settings))
        self.change = change

    def acquire_survey(self, detectors, shape, dwell_time_s, area=WHOLE_FIELD):
        image = super().acquire_survey(detectors, shape, dwell_time_s, area)
        return self.change(image)


class OddSpectra(FakeInstrument):
    """Each spectrum is changed before it is handed over; given its number, from 0."""

    def __init__(
        self, change: Callable[[int, Spectrum], Spectrum], **settings: object
    ) -> None:
        super().__init__(FakeSettings(**settings))
        self.change = change

    def acquire_spectrum(self, detector, exposure_s):
        number = len(self.beam.exposed)
        return self.change(number, super().acquire_spectrum(detector, exposure_s))


class Magnified(FakeInstrument):
    """The field of view that it says, and shows, is that of its magnification."""

    def __init__(self) -> None:
        super().__init__()
        self.fov_nm = (80.0, 80.0)

    def capabilities(self):
        return replace(super().capabilities(), fov_nm=self.fov_nm)

    def acquire_survey(self, *asked):
        return replace(super().acquire_survey(*asked), fov_nm=self.fov_nm)


def with_data(image: ScanImage, data) -> ScanImage:
    """The image with other pixels."""
    return replace(image, data=np.broadcast_to(data, image.data.shape).copy())


def with_field(*fov_nm: float) -> Callable[[ScanImage], ScanImage]:
    """Changes the field of view of an image."""
    return lambda image: replace(image, fov_nm=fov_nm)


def of_length(spectrum: Spectrum, size: int) -> Spectrum:
    """The spectrum with as many channels."""
    counts = np.resize(spectrum.counts, size)
    return replace(spectrum, counts=counts, energy=replace(spectrum.energy, size=size))


def shifted(spectrum: Spectrum, by_ev: float) -> Spectrum:
    """The spectrum with its axis shifted."""
    axis = spectrum.energy
    moved = EnergyAxis(axis.offset_ev + by_ev, axis.dispersion_ev, axis.size)
    return replace(spectrum, energy=moved)


class WithoutBand(OddSpectra):
    """Suggests no band: the first spectra decide."""

    def capabilities(self):
        able = super().capabilities()
        (detector,) = able.spectrum_detectors
        undecided = replace(detector, suggested_band_ev=None)
        return replace(able, spectrum_detectors=(undecided,))
