"""Checks of reported values and delivered data before they are used."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.coordinates import place_text
from napari_hae.instruments.base import FieldChanged, InstrumentError
from napari_hae.types import LARGEST

if TYPE_CHECKING:
    from napari_hae.instruments.base import Capabilities
    from napari_hae.types import Area, EnergyAxis, ScanImage, Spectrum

SMALLEST_NM, LARGEST_NM = 1e-3, 1e9
"""Credible side lengths of a field of view: a picometre to a metre."""
LARGEST_EV = 1e9
"""Upper limit of a credible energy axis."""
SAME_FIELD = 1e-3
"""Relative difference up to which two fields of view count as equal."""

Field = tuple[float, float]
"""`(height, width)` of a field of view in nm."""


def check_field(fov_nm: Field, whose: str) -> None:
    """Raise `InstrumentError` unless a field of view can be true.

    `whose` begins the sentence: what says, or shows, such a field.
    """
    if not all(SMALLEST_NM <= side <= LARGEST_NM for side in fov_nm):
        raise InstrumentError(
            f"{whose} a field of view of {_in_words(fov_nm)}: both sides must be "
            f"numbers from {SMALLEST_NM:g} to {LARGEST_NM:g} nm. Check the calibration "
            "or the magnification, or enter the field of view in the instrument's "
            "settings where it can be entered"
        )


def check_stated(able: Capabilities, whose: str) -> None:
    """Raise `InstrumentError` unless a run can rest on what an instrument says.

    `whose` begins the sentence.
    """
    check_field(able.fov_nm, whose)
    for detector in able.spectrum_detectors:
        if why := why_no_axis(detector.energy):
            raise InstrumentError(
                f"{whose} of its detector {detector.name!r} that {why}"
            )


def why_no_axis(energy: EnergyAxis) -> str:
    """Return the reason why an energy axis is impossible; empty if it is valid."""
    offset_ev, step_ev, size = energy.offset_ev, energy.dispersion_ev, energy.size
    ends = offset_ev, offset_ev + step_ev * size
    if not all(abs(end) <= LARGEST_EV for end in ends):
        return (
            f"its energy axis begins at {offset_ev:g} eV and has {size} channels of "
            f"{step_ev:g} eV, and no energy is above {LARGEST_EV:g} eV. Check its "
            "calibration"
        )
    if ends[1] + step_ev == ends[1] or ends[0] + step_ev == ends[0]:
        return (
            f"its energy axis begins at {offset_ev:g} eV and has channels of "
            f"{step_ev:g} eV, which cannot be told apart. Check its calibration"
        )
    return ""


def are_same(one: Field, other: Field) -> bool:
    """Return whether two fields of view are equal within rounding."""
    return all(
        math.isclose(a, b, rel_tol=SAME_FIELD) for a, b in zip(one, other, strict=True)
    )


def check_same_field(now_nm: Field, known_nm: Field) -> None:
    """Raise `FieldChanged` if positions and regions no longer mean the same places.

    Parameters
    ----------
    now_nm
        What the instrument says now.
    known_nm
        That of the survey image that positions and regions rest on.
    """
    if not are_same(now_nm, known_nm):
        raise FieldChanged(
            f"the field of view is {_in_words(now_nm)} now and was "
            f"{_in_words(known_nm)} in the survey image: positions and regions no "
            "longer hold. Set it back, or take a new survey image and start a new run"
        )


def check_image(image: ScanImage) -> None:
    """Raise `InstrumentError` unless an image can be a survey image."""
    check_field(image.fov_nm, "the survey image shows")
    if not 0 < image.dwell_time_s <= LARGEST:
        raise InstrumentError(
            f"the survey image has a dwell time of {image.dwell_time_s:g} s: a number "
            "above 0 is needed"
        )
    if image.data.dtype.kind not in "fiub" or not image.data.size:
        raise InstrumentError(
            f"the survey image holds {image.data.dtype} of shape {image.data.shape}: "
            "numbers, at least one for each detector, are needed"
        )
    blind = [
        name
        for name, plane in zip(image.detectors, image.data, strict=True)
        if not np.isfinite(plane).any()
    ]
    if blind:
        raise InstrumentError(
            f"the survey image by {', '.join(blind)} has no pixel that is a finite "
            "number: check the detector, or choose others by the setting "
            "survey.detectors"
        )


def checked_image(
    image: ScanImage,
    detectors: tuple[str, ...],
    shape: tuple[int, int],
    area: Area,
    field_nm: Field,
) -> ScanImage:
    """Return an image that matches the request, its data as float32.

    Parameters
    ----------
    detectors, shape, area
        As asked for.
    field_nm
        The whole field of view as the instrument says it.

    Raises
    ------
    InstrumentError
        If the image is none that an experiment can rest on.
    """
    seen = (tuple(image.detectors), image.shape, image.area)
    if seen != (detectors, shape, area):
        raise InstrumentError(
            f"a survey image of {_asked(detectors, shape, area, field_nm)} was asked "
            f"for, and one of {_asked(*seen, field_nm)} came"
        )
    check_image(image)
    expected_nm = field_nm[0] * area.height, field_nm[1] * area.width
    if not are_same(image.fov_nm, expected_nm):
        raise FieldChanged(
            f"the survey image shows {_in_words(image.fov_nm)}, and by the field of "
            f"view that the instrument says it should be {_in_words(expected_nm)}: "
            "connect again if the magnification was changed"
        )
    if image.data.dtype == np.float32:
        return image
    return replace(image, data=image.data.astype(np.float32))


def checked_spectrum(spectrum: Spectrum) -> Spectrum:
    """Return the spectrum with its counts copied as float32.

    Counts that do not fill their axis, or go beyond it, get one of their own length:
    whoever knows the run's axis sets them aside.

    Raises
    ------
    InstrumentError
        If the counts do not lie along one axis.
    """
    # The instrument may write the next spectrum into the same memory.
    counts = np.array(spectrum.counts, dtype=np.float32)
    if counts.ndim != 1 or not counts.size:
        raise InstrumentError(
            f"the detector {spectrum.detector!r} gave counts of shape {counts.shape} "
            f"with an energy axis of {spectrum.energy.size} channels"
        )
    return replace(
        spectrum, counts=counts, energy=replace(spectrum.energy, size=counts.size)
    )


def _asked(
    detectors: tuple[str, ...], shape: tuple[int, int], area: Area, field_nm: Field
) -> str:
    pixels = " × ".join(map(str, shape))
    where = place_text(area, field_nm)
    return f"{pixels} pixels by {', '.join(detectors)} in {where}"


def _in_words(fov_nm: Field) -> str:
    return " × ".join(f"{side:.4g}" for side in fov_nm) + " nm"
