"""A measured spectrum image served as an instrument."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field, field_validator

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.base import (
    Capabilities,
    Interval,
    NotConnected,
    SpectrumDetector,
    Unsupported,
)
from napari_hae.instruments.in_process import InProcessInstrument
from napari_hae.instruments.spectrum_images import (
    FileChoices,
    SpectrumImage,
    WithoutImage,
    read_spectrum_image,
    spectrum_images_in,
)
from napari_hae.settings_base import Settings
from napari_hae.types import ScanImage, Spectrum, dose_electrons

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.types import Area, ProbePosition

_ANY_TIME_S = Interval(1e-9, 1e4)


class ReplaySettings(Settings):
    """Which file to serve."""

    file: Path | None = Field(default=None, title="Spectrum image")
    """A file with a spectrum image, of any kind that HyperSpy reads. Images of its
    shape that are known to be of a detector become the survey image; maps computed from
    the spectra never do."""
    spectrum_image: str = Field(
        default="",
        title="Which of them",
        json_schema_extra={
            "empty": "the first that can be used",
            "offered": True,
            "shown_if": {"file": "set"},
        },
    )
    """Which spectrum image, where the file holds several: its title, or its number from
    1. Default: the first that can be used."""
    survey_file: Path | None = Field(
        default=None, title="Survey image", json_schema_extra={"empty": "from the same"}
    )
    """A file with a survey image of the same shape, in grey or colours. Default: the
    images of detectors in the file."""
    survey_image: str = Field(
        default="", title="Which image", json_schema_extra={"empty": "of a detector"}
    )
    """Which of the images of that shape is the survey image: its title, or its number
    from 1. An image that the file does not say to be of a detector is taken only if it
    is named here. Default: all that are known to be of a detector."""
    without_image: WithoutImage = Field(default="blank", title="Without an image")
    """What the survey image is where there is none: blank, so that the agent goes by
    positions alone, or the sum over all channels, which is computed from the spectra
    and tells the agent of places that it did not measure. Default: blank."""
    energy_axis: str = Field(
        default="", title="Energy axis", json_schema_extra={"empty": "by its unit"}
    )
    """The axis of the energy, where the file does not mark it: its name, or its number
    from 1. Default: the only axis whose unit is an energy."""
    reader: str = Field(
        default="", title="Reader", json_schema_extra={"empty": "by the file's name"}
    )
    """The name of HyperSpy's reader, such as HSPY or EMD. Default: those that claim the
    file's extension, in turn."""
    current_pa: float | None = Field(
        default=None,
        gt=0,
        title="Beam current (pA)",
        json_schema_extra={"empty": "unknown"},
    )
    """Beam current during the measurement in pA, for the dose. Default: unknown."""
    dead_time_s: float = Field(default=0.0, ge=0, le=60, title="Dead time (s)")
    """Waiting time per acquisition in s, as of a real instrument. Default 0."""
    realtime: bool = Field(default=False, title="Take real time")
    """Let each exposure take its time on the clock. Default off."""

    @field_validator("file", "survey_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """Read empty text as no file; pathlib would turn it into the current folder."""
        return None if value in ("", Path()) else value

    @field_validator(
        "spectrum_image", "survey_image", "energy_axis", "reader", mode="before"
    )
    @classmethod
    def _number_is_text(cls, value: Any) -> Any:
        """Convert a number to text: TOML has 2 where a title would be "2"."""
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return str(value) if is_number else value

    @property
    def listed(self) -> tuple[Path | None, str, str]:
        """Return the settings on which the choices in the file depend."""
        return self.file, self.reader, self.energy_axis

    def offers(self) -> dict[str, list[tuple[str, str]]]:
        """Return the choices by field: `(label, value)` for each spectrum image.

        Raises
        ------
        Unsupported
            If the file cannot be read.
        """
        if self.file is None:
            return {"spectrum_image": []}
        found = spectrum_images_in(self.file, self.choices)
        return {"spectrum_image": [(words, number) for number, words in found]}

    @property
    def choices(self) -> FileChoices:
        """Return the choices made in the file."""
        return FileChoices(
            reader=self.reader,
            spectrum_image=self.spectrum_image,
            energy_axis=self.energy_axis,
            survey_image=self.survey_image,
            without_image=self.without_image,
        )


class ReplayedSpectrumImage(InProcessInstrument):
    """Instrument that returns the spectrum measured at the pixel under the beam.

    The recorded spectrum does not depend on the exposure that is asked for.
    """

    title: ClassVar[str] = "Replay of a spectrum image"
    settings_type: ClassVar[type[ReplaySettings]] = ReplaySettings

    def __init__(self, settings: ReplaySettings) -> None:
        super().__init__(dead_time_s=settings.dead_time_s, realtime=settings.realtime)
        self._settings = settings
        self._data: SpectrumImage | None = None
        self._spectra_served = 0

    @property
    def spectra_served(self) -> int:
        """Return the number of spectra taken with the beam on since creation."""
        return self._spectra_served

    def connect(self) -> None:
        """Read the file.

        Raises
        ------
        Unsupported
            If it cannot be served; the text says what was found and what is needed.
        """
        if self._data is None:
            if self._settings.file is None:
                raise Unsupported("choose a file with a spectrum image to replay")
            self._data = read_spectrum_image(
                self._settings.file, self._settings.survey_file, self._settings.choices
            )
        super().connect()

    def disconnect(self) -> None:
        """Blank the beam, end the running acquisition and close the file."""
        super().disconnect()
        with self._using:  # what was aborted may still be reading
            data, self._data = self._data, None
            if data is not None:
                data.close()

    def capabilities(self) -> Capabilities:
        """Return the capabilities that the file allows. Raises `NotConnected`."""
        data = self._loaded()
        return Capabilities(
            survey_detectors=data.survey_detectors,
            spectrum_detectors=(SpectrumDetector(data.detector, data.energy),),
            survey_shape=data.shape,
            smallest_survey_shape=data.shape,
            largest_survey_shape=data.shape,
            dwell_time_s=_ANY_TIME_S,
            exposure_s=_ANY_TIME_S,
            fov_nm=data.fov_nm,
            current_pa=self._settings.current_pa,
            blanker_can_be_read=True,
            exposure_has_effect=False,
            metadata=data.metadata,
            notes=data.notes,
        )

    def _scan(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area,
    ) -> ScanImage:
        data = self._loaded()
        planes = [data.survey_detectors.index(name) for name in detectors]
        return ScanImage(
            data.survey[planes], tuple(detectors), data.fov_nm, dwell_time_s
        )

    def _spectrum_at(
        self, position: ProbePosition, detector: str, exposure_s: float, *, lit: bool
    ) -> Spectrum:
        data, current_pa = self._loaded(), self._settings.current_pa
        dose_e = math.nan
        if current_pa is not None:
            dose_e = dose_electrons(current_pa, exposure_s) if lit else 0.0
        counts = np.zeros(data.energy.size, np.float32)
        if lit:
            frame = FieldFrame(data.shape, data.fov_nm)
            counts = data.spectrum(*frame.pixel(position))
            self._spectra_served += 1
        return Spectrum(
            counts, data.energy, data.detector, position, exposure_s, dose_e
        )

    def _loaded(self) -> SpectrumImage:
        data = self._data
        if data is None or not self._connected:
            raise NotConnected(f"{self.title} is not connected")
        return data
