"""asyncroscopy over the wire: both dialects, what blanks, places and scans."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from lab import run
from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.agent.scalarizers import BandIntegral
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import (
    Budget,
    ExperimentSettings,
    MeasurementSettings,
    SurveySettings,
)
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.asyncroscopy.instrument import Asyncroscopy
from napari_hae.instruments.base import (
    InstrumentError,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.conformance import ConformanceError, check_instrument
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.types import BeamState, ProbePosition
from tango_devices import FOV_NM, signal
from tango_stack import (
    ELSEWHERE,
    HERE,
    spectrum_at,
)


@pytest.mark.parametrize("family", ["older", "older_listed", "newer", "stoppable"])
def test_it_conforms(stack, family):
    stack.lever(family)

    check_instrument(stack.microscope(family))


def test_it_conforms_with_its_data_on_tiled(stack, on_tiled):
    check_instrument(stack.microscope("tiled", **on_tiled))


def test_an_experiment_on_the_newer_dialect(connect, tmp_path):
    microscope, lever = connect("newer")
    gate = GuardedInstrument(microscope)
    gate.connect()
    settings = ExperimentSettings(
        acquisition=LogExpectedImprovement(),
        scalarizer=BandIntegral(low_ev=5.0, high_ev=15.0),
        initial=InitialDesign(points=6),
        budget=Budget(steps=20),
        survey=SurveySettings(shape=(24, 24), dwell_time_s=1e-6),
        measurement=MeasurementSettings(exposure_s=0.01),
    )
    record = Record.create(
        tmp_path / "run",
        instrument="asyncroscopy",
        instrument_settings=microscope._settings,
        settings=settings,
    )
    runner = run(Runner(gate, record, settings))

    assert runner.finish_reason is FinishReason.COMPLETED, runner
    stored = open_run(record.path)
    assert len(stored.measurements) == 20
    best = max(stored.measurements, key=lambda one: one.target)
    where = best.spectrum.position
    assert signal(where.x, where.y) > 0.8
    # Where it was told to go is where it said it was, and the beam was off on the way.
    placed = lever.happened("place")
    assert [is_on for is_on, *_ in placed] == [False] * 20
    assert [is_on for is_on, _ in lever.happened("spectrum")] == [True] * 20
    told = [(m.spectrum.position.x, m.spectrum.position.y) for m in stored.measurements]
    np.testing.assert_allclose([place[1:] for place in placed], told, atol=1e-6)
    assert gate.status().beam is BeamState.BLANKED


@pytest.mark.parametrize("family", ["older", "newer"])
def test_x_comes_first_and_images_are_rows_by_columns(connect, family):
    microscope, lever = connect(family)

    image = microscope.acquire_survey(("haadf",), (64, 64), 1e-6)
    row, column = np.unravel_index(np.argmax(image.data[0]), image.shape)
    brightest = ProbePosition((column + 0.5) / 64, (row + 0.5) / 64)

    assert (brightest.x, brightest.y) == pytest.approx((0.7, 0.3), abs=0.02)
    assert image.fov_nm == (pytest.approx(FOV_NM), pytest.approx(FOV_NM))
    there = spectrum_at(microscope, brightest).counts.max()
    assert there > 5 * spectrum_at(microscope, ProbePosition(0.3, 0.7)).counts.max()
    assert lever.happened("place")[0][1:] == pytest.approx([brightest.x, brightest.y])


def test_the_newer_dialect_scans_once_for_all_detectors(connect):
    microscope, lever = connect("newer")

    able = microscope.capabilities()
    image = microscope.acquire_survey(able.survey_detectors, (32, 32), 1e-6)

    assert image.detectors == able.survey_detectors == ("haadf", "bf_s")
    np.testing.assert_allclose(image.data[1], 2 * image.data[0])
    assert len(lever.happened("image")) == 1


def test_the_older_dialect_has_one_detector(connect):
    microscope, lever = connect("older_listed", survey_detectors=("HAADF", "BF"))

    assert microscope.capabilities().survey_detectors == ("HAADF",)
    microscope.acquire_survey(("HAADF",), (16, 16), 1e-6)
    assert lever.happened("image") == [[True, "HAADF"]]


def test_a_microscope_without_the_commands_is_named(stack):
    settings = stack.settings("newer").model_copy(
        update={"microscope": "newer/blanker/default"}
    )
    with pytest.raises(Unsupported, match=r"neither the commands acquire_scanned_im"):
        Asyncroscopy(settings).connect()


# Trap 1: blanking and placing that do nothing.


def test_a_twin_that_cannot_be_read_is_unverified_and_lights_the_sample(connect):
    microscope, _ = connect("bare")
    microscope.unblank()
    microscope.blank()

    assert not microscope.capabilities().blanker_can_be_read
    assert microscope.status().beam is BeamState.UNVERIFIED
    microscope.place_beam(HERE)
    spectrum = microscope.acquire_spectrum("eds", 0.01)
    assert spectrum.counts.sum() > 0
    assert spectrum.dose_e > 0


def test_the_conformance_check_finds_a_blanker_that_does_nothing(stack):
    stack.lever("bare")

    with pytest.raises(ConformanceError, match="blanked holds no signal"):
        check_instrument(stack.microscope("bare"))


def test_a_blanker_that_silently_fails_is_read(connect):
    microscope, lever = connect("newer")
    gate = GuardedInstrument(microscope)
    gate.connect()
    gate.place_beam(HERE)
    lever.pull(blank_ignored=True)

    with pytest.raises(InstrumentError, match="still reads as on: blank it by hand"):
        gate.acquire_spectrum("eds", 0.01)

    assert gate.status().beam is BeamState.ON


def test_connecting_to_a_beam_that_stays_on_is_refused(stack):
    lever = stack.lever("newer")
    lever.pull(blank_ignored=True)
    stack.proxy("newer/instrument/default").unblank_beam()
    microscope = stack.microscope("newer")

    with pytest.raises(InstrumentError, match="still reads as on: blank it by hand"):
        microscope.connect()

    assert not microscope.status().connected


def test_a_beam_that_does_not_go_where_it_is_told_is_noticed(connect):
    microscope, lever = connect("newer")
    lever.pull(place_ignored=True)

    with pytest.raises(InstrumentError, match=r"told to go to .* and reads as at"):
        microscope.place_beam(ELSEWHERE)

    assert microscope.status().position is None


def test_the_beam_goes_nowhere_when_the_magnification_was_changed(connect):
    microscope, lever = connect("newer")
    microscope.acquire_survey(("haadf",), (16, 16), 1e-6)
    lever.pull(fov_m=32e-9)

    with pytest.raises(InstrumentError, match="is 32 nm now and was 64 nm: take a new"):
        microscope.place_beam(HERE)

    assert lever.happened("place") == []
    image = microscope.acquire_survey(("haadf",), (16, 16), 1e-6)
    assert image.fov_nm == (pytest.approx(32), pytest.approx(32))
    microscope.place_beam(HERE)


# Trap 2: the scan region means different things.


def test_the_whole_field_is_scanned_and_the_settings_come_back(connect, stack, caplog):
    caplog.set_level(logging.INFO)
    microscope, lever = connect("newer")
    scan, eds = stack.proxy("newer/scan/default"), stack.proxy("newer/eds/default")

    microscope.acquire_survey(("haadf",), (32, 32), 1e-6)
    spectrum_at(microscope, HERE, 0.02)

    assert lever.happened("image") == [[True, 0.0, 0.0, 1.0, 1.0]]
    assert (scan.imsize, scan.dwell_time, eds.exposure_time) == (32, 1e-6, 0.02)
    assert f"imsize of {stack.host}/newer/scan/default is set to 32" in caplog.text
    microscope.disconnect()
    assert (scan.imsize, scan.dwell_time, eds.exposure_time) == (512, 2e-6, 1.0)
    assert list(scan.scan_region) == [0.1, 0.2, 0.3, 0.4]


def test_only_square_images_are_taken(connect):
    microscope, lever = connect("newer")
    able = microscope.capabilities()

    assert able.square_surveys_only
    assert not able.scans_areas
    assert able.survey_shape == (512, 512)
    with pytest.raises(Unsupported, match=r"32 × 64 pixels .* as many rows as columns"):
        microscope.acquire_survey(("haadf",), (32, 64), 1e-6)
    assert lever.happened("image") == []


def test_an_image_of_another_size_is_refused(connect):
    microscope, lever = connect("newer")
    lever.pull(wrong_size=48)

    with pytest.raises(InstrumentError, match=r"32 × 32 pixels was asked .* 48 × 48"):
        microscope.acquire_survey(("haadf",), (32, 32), 1e-6)


# Trap 5: positions are refused before they are sent.


def test_a_position_outside_never_reaches_the_device(connect):
    microscope, lever = connect("newer")
    nan, outside = ProbePosition(float("nan"), 0.5), ProbePosition(0.5, 1.01)
    for position in (nan, outside):
        with pytest.raises(OutOfRange):
            microscope.place_beam(position)

    assert lever.happened("place") == []
