"""Rules about connecting, capabilities, survey images and placing the beam."""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel

from napari_hae.instruments.base import Instrument, Interval, OutOfRange, Unsupported
from napari_hae.instruments.conformance.subject import (
    FIRST,
    NO_DETECTOR,
    OUTSIDE,
    SECOND,
    Subject,
    are_close,
    expect,
    expect_not_connected,
    must_raise,
    outside,
)
from napari_hae.types import Area, ProbePosition


def protocol(subject: Subject) -> None:
    """An instrument has every method of the protocol, a title and a settings type."""
    instrument = subject.instrument
    names = [name for name in dir(Instrument) if not name.startswith("_")]
    names += ["title", "settings_type"]
    missing = [name for name in names if not hasattr(instrument, name)]
    expect(not missing, "an instrument is complete", f"it lacks {missing}")
    title, settings = instrument.title, instrument.settings_type
    expect(isinstance(title, str) and bool(title), "the title is text", repr(title))
    is_model = isinstance(settings, type) and issubclass(settings, BaseModel)
    expect(is_model, "settings_type is a pydantic model", repr(settings))


def unconnected(subject: Subject) -> None:
    """Before `connect` only `status` and `abort` answer."""
    expect(
        not subject.instrument.status().connected,
        "the check is given an instrument that is not connected",
        "it is connected",
    )
    expect_not_connected(subject.instrument, "before connect")
    subject.instrument.abort()


def connecting(subject: Subject) -> None:
    """Connecting works, twice does no harm, and leaves the beam blanked."""
    subject.instrument.connect()
    subject.capabilities = subject.instrument.capabilities()
    subject.expect_blanked("after connect")
    subject.instrument.connect()
    subject.expect_blanked("after a second connect")
    status = subject.instrument.status()
    expect(status.connected, "status says connected after connect", f"{status}")


def capabilities(subject: Subject) -> None:
    """Capabilities make sense."""
    can = subject.capabilities
    expect(bool(can.survey_detectors), "it has an imaging detector", "none")
    expect(bool(can.spectrum_detectors), "it has a spectrum detector", "none")
    for small, usual, large in zip(
        can.smallest_survey_shape,
        can.survey_shape,
        can.largest_survey_shape,
        strict=True,
    ):
        seen = f"{small} <= {usual} <= {large} does not hold"
        expect(0 < small <= usual <= large, "survey shapes are in order", seen)
    if can.square_surveys_only:
        shapes = (can.smallest_survey_shape, can.survey_shape, can.largest_survey_shape)
        square = all(rows == columns for rows, columns in shapes)
        expect(square, "an instrument that scans squares says squares", f"{shapes}")
    for name in ("dwell_time_s", "exposure_s"):
        interval: Interval = getattr(can, name)
        sane = 0 <= interval.low <= interval.high and interval.high > 0
        expect(sane, f"{name} is an interval of positive times", f"{interval}")
    sane = all(math.isfinite(size) and size > 0 for size in can.fov_nm)
    expect(sane, "the field of view has a size in nm", f"{can.fov_nm}")
    for detector in can.spectrum_detectors:
        axis = detector.energy
        sane = axis.size > 0 and axis.dispersion_ev > 0
        expect(sane, f"the energy axis of {detector.name} ascends", f"{axis}")


def survey(subject: Subject) -> None:
    """A survey image is what was asked for, and the beam is blanked afterwards."""
    instrument, can = subject.instrument, subject.capabilities
    for shape in {can.survey_shape, can.smallest_survey_shape}:
        image = instrument.acquire_survey(
            can.survey_detectors, shape, subject.dwell_time_s
        )
        asked = (can.survey_detectors, shape)
        got = (tuple(image.detectors), image.shape)
        rule = "a survey image has the detectors and the shape asked for"
        expect(got == asked, rule, f"{got} instead of {asked}")
        wanted = (*can.fov_nm, subject.dwell_time_s)
        seen_scan = (*image.fov_nm, image.dwell_time_s)
        rule = "a survey image has the field of view and the dwell time asked for"
        same = are_close(seen_scan, wanted)
        expect(same, rule, f"{seen_scan} instead of {wanted}")
        seen = f"{image.data.dtype}"
        expect(image.data.dtype == np.float32, "image counts are float32", seen)
        subject.expect_blanked("after a survey image")
    last = (can.survey_detectors[-1],)
    image = instrument.acquire_survey(
        last, can.smallest_survey_shape, subject.dwell_time_s
    )
    rule = "one detector alone gives one plane"
    expect(tuple(image.detectors) == last, rule, f"{image.detectors}")


def area_survey(subject: Subject) -> None:
    """An area of the field is scanned as asked, by an instrument that can do it."""
    instrument, can = subject.instrument, subject.capabilities
    area = Area(0.25, 0.5, 0.75, 1.0)
    asked = (can.survey_detectors, can.smallest_survey_shape, subject.dwell_time_s)
    if not can.scans_areas:
        return
    image = instrument.acquire_survey(*asked, area)
    seen = (image.area, image.shape)
    rule = "an image of an area has the area and the shape asked for"
    expect(seen == (area, asked[1]), rule, f"{seen} instead of {(area, asked[1])}")
    wanted = (can.fov_nm[0] * area.height, can.fov_nm[1] * area.width)
    rule = "an image of an area is as large as the area"
    expect(are_close(image.fov_nm, wanted), rule, f"{image.fov_nm} instead of {wanted}")
    subject.expect_blanked("after an image of an area")
    whole = instrument.acquire_survey(*asked)
    rule = "after an image of an area the whole field is scanned as before"
    expect(are_close(whole.fov_nm, can.fov_nm), rule, f"{whole.fov_nm}")


def survey_refusals(subject: Subject) -> None:
    """A survey image that cannot be had as asked is refused."""
    instrument, can = subject.instrument, subject.capabilities
    shape, dwell_s = can.smallest_survey_shape, subject.dwell_time_s
    detectors = can.survey_detectors
    with must_raise(Unsupported, "a survey with an unknown detector"):
        instrument.acquire_survey((NO_DETECTOR,), shape, dwell_s)
    too_large = (can.largest_survey_shape[0] + 1, can.largest_survey_shape[1])
    too_small = (shape[0], shape[1] - 1)
    wrong_shapes = [too_large, too_small]
    if can.square_surveys_only and shape != can.largest_survey_shape:
        wrong_shapes.append((shape[0], can.largest_survey_shape[1]))
    for wrong in wrong_shapes:
        with must_raise(Unsupported, f"a survey of shape {wrong}"):
            instrument.acquire_survey(detectors, wrong, dwell_s)
    for wrong_s in outside(can.dwell_time_s):
        with must_raise(OutOfRange, f"a survey with a dwell time of {wrong_s} s"):
            instrument.acquire_survey(detectors, shape, wrong_s)
    subject.expect_blanked("after a refused survey")


def first_spectrum(subject: Subject) -> None:
    """A spectrum needs a probe position."""
    position = subject.instrument.status().position
    rule = "status().position is None until the beam is placed"
    expect(position is None, rule, f"{position}")
    with must_raise(OutOfRange, "a spectrum before any place_beam"):
        subject.spectrum()


def placing(subject: Subject) -> None:
    """Placing moves the beam exactly where asked, blanked, or refuses."""
    instrument = subject.instrument
    for position in (FIRST, ProbePosition(0, 1), SECOND):
        instrument.place_beam(position)
        subject.expect_blanked("after place_beam")
        subject.expect_at(position, "place_beam")
    for wrong in OUTSIDE:
        with must_raise(OutOfRange, f"place_beam at {wrong} (never clipped)"):
            instrument.place_beam(wrong)
        subject.expect_at(SECOND, "a refused place_beam")


RULES = (
    protocol,
    unconnected,
    connecting,
    capabilities,
    survey,
    survey_refusals,
    area_survey,
    first_spectrum,
    placing,
)
