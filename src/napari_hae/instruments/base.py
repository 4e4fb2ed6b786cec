"""Instrument protocol, with its capabilities and errors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from napari_hae.coordinates import place_text
from napari_hae.metadata import NO_METADATA, Metadata
from napari_hae.types import WHOLE_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from threading import Lock

    from pydantic import BaseModel

    from napari_hae.types import (
        Area,
        BeamState,
        EnergyAxis,
        ProbePosition,
        ScanImage,
        Spectrum,
    )


BLANK = "blank"
"""Detector name of a survey image that its instrument declares to be blank."""


class InstrumentError(Exception):
    """An instrument could not do what it was asked; the text says what and why."""


class NotConnected(InstrumentError):
    """The instrument was used before `connect` or after `disconnect`."""


class Unsupported(InstrumentError):
    """The instrument has no such detector, image shape or function."""


class OutOfRange(InstrumentError):
    """A value lies outside what the instrument allows; nothing is ever clipped."""


class Busy(InstrumentError):
    """Another acquisition is under way."""


class AcquisitionTimeout(InstrumentError):
    """The instrument did not deliver in time."""


class Aborted(InstrumentError):
    """The acquisition was ended by `abort`."""


class ForbiddenPosition(InstrumentError):
    """The position lies in a forbidden zone or outside the region of interest."""


class DoseExceeded(InstrumentError):
    """The exposure would exceed the dose budget."""


class LocalDoseExceeded(DoseExceeded):
    """The exposure would exceed what this place may take; others may be open."""


class FieldChanged(InstrumentError):
    """The field of view is another one than that which positions and regions mean."""


class BlankingFailed(InstrumentError):
    """The beam may be on although it was to be blanked: somebody has to look."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Allowed values, both ends included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class SpectrumDetector:
    """A spectroscopy detector.

    Attributes
    ----------
    energy
        Its energy axis as far as it is known before a measurement.
    suggested_band_ev
        The band that a new experiment starts with; None where the first spectra decide.
    """

    name: str
    energy: EnergyAxis
    suggested_band_ev: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Capabilities of a connected instrument.

    Attributes
    ----------
    survey_detectors
        Names of the imaging detectors, the usual one first.
    spectrum_detectors
        The spectroscopy detectors, the usual one first.
    survey_shape
        The shape `(rows, columns)` to ask for when the user asked for none.
    smallest_survey_shape, largest_survey_shape
        The limits of a survey image's shape; equal where there is no choice.
    dwell_time_s, exposure_s
        The allowed intervals.
    fov_nm
        Field of view `(height, width)` in nm.
    current_pa
        Beam current; None where it is unknown.
    blanker_can_be_read
        Whether `status().beam` was read back from the instrument.
    scans_areas
        Whether it can scan an area of the field of view and expose nothing else.
    square_surveys_only
        Whether a survey image has as many rows as columns.
    allowed_current_pa
        The beam currents that may be used; None where the instrument sets no limit.
    exposure_has_effect
        Whether a longer exposure gives more counts; not where spectra were recorded.
    metadata
        What holds for all spectra, in the layout of HyperSpy's `metadata`: beam energy,
        angles, detector, elements, date. Small, and of JSON.
    notes
        Sentences that the user should read before a run.
    """

    survey_detectors: tuple[str, ...]
    spectrum_detectors: tuple[SpectrumDetector, ...]
    survey_shape: tuple[int, int]
    smallest_survey_shape: tuple[int, int]
    largest_survey_shape: tuple[int, int]
    dwell_time_s: Interval
    exposure_s: Interval
    fov_nm: tuple[float, float]
    current_pa: float | None
    blanker_can_be_read: bool
    scans_areas: bool = False
    square_surveys_only: bool = False
    allowed_current_pa: Interval | None = None
    exposure_has_effect: bool = True
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)
    notes: tuple[str, ...] = ()

    def spectrum_detector(self, name: str = "") -> SpectrumDetector:
        """Return the spectroscopy detector of that name, or the default one.

        Raises
        ------
        Unsupported
            If there is none of that name.
        """
        for detector in self.spectrum_detectors:
            if name in ("", detector.name):
                return detector
        known = ", ".join(detector.name for detector in self.spectrum_detectors)
        raise Unsupported(
            f"there is no spectrum detector {name!r}; this instrument has: {known}"
        )


@dataclass(frozen=True, slots=True)
class Status:
    """The state of an instrument at one moment.

    `position` is where the beam was last placed; None before that.
    """

    connected: bool
    beam: BeamState
    position: ProbePosition | None
    busy: bool = False


@runtime_checkable
class Instrument(Protocol):
    """A microscope: a beam to place and blank, an imaging and a spectroscopy side.

    An implementation is a class whose constructor takes one pydantic model, its
    `settings_type`; it is registered in the entry-point group `napari_hae.instruments`.
    One thread uses an instrument at a time, except for `abort`, `blank` and `status`,
    which any thread may call at any time. Values are never clipped: what cannot be done
    as asked raises an `InstrumentError`.
    """

    title: ClassVar[str]
    """Display name."""
    settings_type: ClassVar[type[BaseModel]]

    def connect(self) -> None:
        """Connect, with the beam blanked afterwards; a second call does nothing."""

    def disconnect(self) -> None:
        """Blank the beam and release the instrument; a second call does nothing."""

    def capabilities(self) -> Capabilities:
        """Return the capabilities. Raises `NotConnected`."""

    def status(self) -> Status:
        """Return the current state; never raises for an unconnected instrument."""

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        """Scan the field of view, or an area of it; blanked before and after.

        Probe positions stay fractions of the whole field of view, whatever was scanned.
        `shape` is that of the image. An instrument that does not scan areas is asked
        for the whole field only.

        Raises `NotConnected`, `Unsupported` (detector or shape), `OutOfRange` (dwell
        time), `Busy`, `Aborted`, `AcquisitionTimeout`.
        """

    def place_beam(self, position: ProbePosition) -> None:
        """Put the beam at a position without unblanking it.

        Raises `NotConnected`, `OutOfRange` (not finite or outside 0..1), `Busy`.
        """

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum where the beam is; with the beam blanked it holds no signal.

        Raises `NotConnected`, `Unsupported`, `OutOfRange` (exposure, or no position
        placed yet), `Busy`, `Aborted`, `AcquisitionTimeout`.
        """

    def blank(self) -> None:
        """Keep the electrons off the sample. Raises `NotConnected`."""

    def unblank(self) -> None:
        """Let the electrons reach the sample. Raises `NotConnected`."""

    def abort(self) -> None:
        """Blank at once, then end what is running, which raises `Aborted`.

        May be called from any thread and any number of times. It holds until the next
        `place_beam` or `acquire_survey`, so that an abort between placing and
        acquiring is not lost.
        """


def check_position(
    position: ProbePosition, fov_nm: tuple[float, float] | None = None
) -> None:
    """Raise `OutOfRange` unless the position is finite and inside the field of view.

    With `fov_nm`, `(height, width)`, it is told in nm.
    """
    if position.is_inside:
        return
    if fov_nm is None:
        where, needed = f"{position}", "x and y must be numbers from 0 to 1"
    else:
        where, (height_nm, width_nm) = place_text(position, fov_nm), fov_nm
        needed = f"x reaches from 0 to {width_nm:.4g}, y from 0 to {height_nm:.4g} nm"
    raise OutOfRange(
        f"the probe position {where} is not inside the field of view: {needed}"
    )


def check_interval(name: str, value: float, allowed: Interval, unit: str) -> None:
    """Raise `OutOfRange` unless `value` is in the interval; NaN never is."""
    if value not in allowed:
        raise OutOfRange(
            f"{name} of {value:g} {unit} is not allowed: "
            f"from {allowed.low:g} to {allowed.high:g} {unit}"
        )


def check_exposure(detector: str, exposure_s: float, able: Capabilities) -> str:
    """Return the spectroscopy detector's name; an empty name means the default one.

    Raises `Unsupported` for an unknown detector, `OutOfRange` for the exposure in s.
    """
    name = able.spectrum_detector(detector).name
    check_interval("an exposure", exposure_s, able.exposure_s, "s")
    return name


def check_detectors(detectors: Sequence[str], able: Capabilities) -> None:
    """Raise `Unsupported` unless all are imaging detectors of the instrument."""
    known = able.survey_detectors
    if not detectors or not set(detectors) <= set(known):
        raise Unsupported(
            f"survey detectors {list(detectors)} are not all known; "
            f"this instrument has: {', '.join(known)}"
        )


def check_shape(shape: tuple[int, int], able: Capabilities) -> None:
    """Raise `Unsupported` unless a survey image may have that shape."""
    smallest, largest = able.smallest_survey_shape, able.largest_survey_shape
    limits = list(zip(shape, smallest, largest, strict=False))
    if len(shape) != 2 or not all(low <= size <= high for size, low, high in limits):
        raise Unsupported(
            f"a survey image of {' × '.join(map(str, shape))} pixels is not possible: "
            f"from {smallest[0]} × {smallest[1]} to {largest[0]} × {largest[1]}"
        )
    if able.square_surveys_only and shape[0] != shape[1]:
        raise Unsupported(
            f"a survey image of {shape[0]} × {shape[1]} pixels is not possible: "
            "this instrument scans as many rows as columns"
        )


def check_area(area: Area, able: Capabilities) -> None:
    """Raise `Unsupported` if an area is asked of what scans the whole field only."""
    if area != WHOLE_FIELD and not able.scans_areas:
        raise Unsupported(
            "this instrument scans the whole field of view only, no area of it"
        )


@contextmanager
def in_use(using: Lock) -> Iterator[None]:
    """Hold a microscope's lock in the context. Raises `Busy` if it is already held."""
    if not using.acquire(blocking=False):
        raise Busy("the microscope is acquiring; wait until it is done, or abort")
    try:
        yield
    finally:
        using.release()
