"""The simulated microscope behaves as a microscope does, and the same each time."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from pydantic import ValidationError

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.base import Aborted, Busy, OutOfRange, Unsupported
from napari_hae.instruments.simulated import SimulatedSettings
from napari_hae.types import Area, BeamState, ProbePosition, dose_electrons
from simulated_eels import BANDS_EV, MIDDLE, connected, expose


def test_the_same_calls_give_the_same_images_and_spectra():
    def run():
        microscope = connected(seed=3, noise_seed=5, random_walk_nm=1)
        image = microscope.acquire_survey(("HAADF", "BF"), (40, 32), 1e-5)
        positions = [MIDDLE, ProbePosition(0.1, 0.2), MIDDLE]
        spectra = [expose(microscope, position, 0.01) for position in positions]
        return [image.data, *(spectrum.counts for spectrum in spectra)]

    for first, second in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_repeated_exposures_and_other_noise_seeds_have_other_noise():
    microscope = connected()
    first, again = expose(microscope, MIDDLE), expose(microscope, MIDDLE)
    other = expose(connected(noise_seed=1), MIDDLE)

    assert not np.array_equal(first.counts, again.counts)
    assert not np.array_equal(first.counts, other.counts)


def test_a_new_instrument_goes_on_as_the_old_one_would_have():
    second = ProbePosition(0.3, 0.7)
    old = connected()
    expose(old, MIDDLE)

    np.testing.assert_array_equal(
        expose(old, second).counts, expose(connected(), second).counts
    )


def test_the_dose_of_a_spectrum_is_current_times_exposure():
    microscope = connected(current_pa=7)

    assert expose(microscope, MIDDLE, 0.2).dose_e == dose_electrons(7, 0.2)


def test_a_blanked_spectrum_holds_nothing():
    microscope = connected()
    microscope.place_beam(MIDDLE)
    spectrum = microscope.acquire_spectrum("EELS", 0.1)

    assert not spectrum.counts.any()
    assert spectrum.dose_e == 0


@pytest.mark.parametrize("shape", [(32, 32), (32, 1024), (100, 75)])
def test_surveys_of_any_shape_show_the_same_field(shape):
    microscope = connected(counting_noise=False, line_jitter_nm=0)
    image = microscope.acquire_survey(("BF", "HAADF"), shape, 1e-6)
    reference = microscope.acquire_survey(("HAADF",), (64, 64), 1e-6)

    assert image.detectors == ("BF", "HAADF")
    assert image.shape == shape
    assert image.data[1].mean() == pytest.approx(reference.data[0].mean(), rel=0.05)


def test_an_image_of_an_area_is_that_part_of_the_field():
    microscope = connected(counting_noise=False, line_jitter_nm=0)
    whole = microscope.acquire_survey(("HAADF",), (64, 64), 1e-6)
    area = Area(0.25, 0.5, 0.75, 1.0)
    part = microscope.acquire_survey(("HAADF",), (32, 32), 1e-6, area)
    np.testing.assert_allclose(part.data[0], whole.data[0, 32:, 16:48], rtol=1e-5)
    frame, whole_frame = FieldFrame.of(part), FieldFrame.of(whole)
    assert frame.position(0, 0) == whole_frame.position(32, 16)
    assert frame.origin_nm == pytest.approx(
        whole_frame.nm(whole_frame.position(32, 16))
    )


def test_an_image_of_an_area_damages_nothing_else():
    microscope = connected(damage_dose_e_per_nm2=1e3, shape=(64, 64))
    inside, outside = ProbePosition(0.25, 0.75), ProbePosition(0.75, 0.25)
    area = Area(0, 0.5, 0.5, 1.0)
    microscope.acquire_survey(("HAADF",), (64, 64), 1e-2, area)
    dose = microscope._dose
    y_nm, x_nm = microscope.capabilities().fov_nm
    assert dose.at(np.array([inside.y * y_nm, inside.x * x_nm])) > 0
    assert dose.at(np.array([outside.y * y_nm, outside.x * x_nm])) == 0


def test_counting_noise_of_a_survey_falls_with_the_dwell_time():
    def relative_noise(dwell_time_s):
        noisy = connected(line_jitter_nm=0)
        image = noisy.acquire_survey(("HAADF",), (64, 64), dwell_time_s).data[0]
        clean = connected(line_jitter_nm=0, counting_noise=False)
        expected = clean.acquire_survey(("HAADF",), (64, 64), dwell_time_s).data[0]
        return np.std(image / expected)

    ratio = relative_noise(1e-6) / relative_noise(1e-4)
    assert ratio == pytest.approx(10, rel=0.2)


def test_line_jitter_shifts_whole_lines():
    def survey(**changes):
        microscope = connected(counting_noise=False, **changes)
        return microscope.acquire_survey(("HAADF",), (64, 64), 1e-5).data[0]

    jittered, straight = survey(line_jitter_nm=2), survey(line_jitter_nm=0)
    assert (jittered != straight).any(axis=1).mean() > 0.4
    np.testing.assert_allclose(jittered.sum(axis=1), straight.sum(axis=1), rtol=0.05)


@contextmanager
def ended_by_abort(microscope, first=lambda: None):
    """Abort from another thread as soon as the wait inside has begun."""
    waiting, wait = threading.Event(), microscope._aborted.wait

    def announced(timeout):
        waiting.set()
        return wait(timeout)

    def abort():
        waiting.wait(30)
        try:
            first()
        finally:
            microscope.abort()

    microscope._aborted.wait = announced
    thread = threading.Thread(target=abort)
    thread.start()
    with pytest.raises(Aborted):
        yield
    thread.join(30)
    assert not thread.is_alive()


def test_abort_from_another_thread_ends_a_real_time_exposure():
    microscope = connected(realtime=True)
    microscope.place_beam(MIDDLE)
    microscope.unblank()
    with ended_by_abort(microscope):
        microscope.acquire_spectrum("EELS", 100.0)

    assert microscope.status().beam is BeamState.BLANKED
    assert not microscope.status().busy


def test_abort_from_another_thread_ends_a_real_time_scan():
    microscope = connected(realtime=True)
    with ended_by_abort(microscope):
        microscope.acquire_survey(("HAADF",), (1024, 1024), 1e-2)

    assert microscope.status().beam is BeamState.BLANKED


def test_a_second_acquisition_is_refused_while_one_runs():
    microscope = connected(dead_time_s=60)
    refused = []

    def interfere():
        for call in (
            lambda: microscope.place_beam(MIDDLE),
            lambda: microscope.acquire_spectrum("EELS", 0.1),
            lambda: microscope.acquire_survey(("HAADF",), (32, 32), 1e-6),
        ):
            with pytest.raises(Busy):
                call()
            refused.append(microscope.status().busy)

    microscope.place_beam(MIDDLE)
    with ended_by_abort(microscope, first=interfere):
        microscope.acquire_spectrum("EELS", 0.1)

    assert refused == [True] * 3


def test_an_aborted_beam_cannot_be_unblanked_before_it_is_placed_again():
    microscope = connected()
    microscope.place_beam(MIDDLE)
    microscope.abort()

    with pytest.raises(Aborted, match="place the beam"):
        microscope.unblank()
    assert expose(microscope, MIDDLE).counts.any()


@pytest.mark.parametrize("exposure_s", [0, -1, math.nan, math.inf, 101])
def test_an_exposure_that_is_not_allowed_is_named(exposure_s):
    microscope = connected()
    microscope.place_beam(MIDDLE)

    with pytest.raises(OutOfRange, match=r"an exposure of .* from 0.0001 to 100 s"):
        microscope.acquire_spectrum("EELS", exposure_s)


@pytest.mark.parametrize("shape", [(31, 64), (64, 1025), (64,)])
def test_a_survey_shape_that_is_not_possible_is_named(shape):
    with pytest.raises(Unsupported, match="32 to 1024"):
        connected().acquire_survey(("HAADF",), shape, 1e-6)


@pytest.mark.parametrize("detectors", [(), ("HAADF", "EDX")])
def test_survey_detectors_that_are_not_there_are_named(detectors):
    with pytest.raises(Unsupported, match="this instrument has: HAADF, BF"):
        connected().acquire_survey(detectors, (32, 32), 1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"shape": (31, 64)}, {"shape": (64, 2048)}, {"particles": 0}, {"current_pa": 0}],
)
def test_settings_outside_the_limits_are_refused(wrong):
    with pytest.raises(ValidationError):
        SimulatedSettings(**wrong)


def test_pixels_are_square_and_the_long_side_is_the_field_of_view():
    assert SimulatedSettings(shape=(32, 128), fov_nm=400).field_nm == (100, 400)
    assert SimulatedSettings(shape=(128, 64), fov_nm=400).field_nm == (400, 200)


def test_the_suggested_band_is_that_of_the_corner_mode():
    detector = connected().capabilities().spectrum_detector()

    assert detector.suggested_band_ev == BANDS_EV["corner"]
    assert detector.energy.energies_ev[[0, -1]] == pytest.approx([-0.30, 1.452])


def test_importing_it_loads_nothing_heavy():
    code = (
        "import sys, napari_hae.instruments.simulated as s;"
        "s.SimulatedMicroscope(s.SimulatedSettings()).connect();"
        "print(sorted({'torch','hyperspy','skimage','napari'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
