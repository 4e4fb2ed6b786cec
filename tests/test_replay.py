"""A measured spectrum image behaves as an instrument does."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measured_files import (
    CLEAN,
    COLUMNS,
    COUNTS,
    P45,
    ROWS,
    connected,
    expose,
    expose_at,
    needs_data,
    save_cube,
    survey_of,
)
from napari_hae.experiment.oddities import oddities_of
from napari_hae.experiment.settings import SurveySettings
from napari_hae.experiment.survey import acquire_survey
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments import spectrum_images
from napari_hae.instruments.base import (
    Aborted,
    InstrumentError,
    NotConnected,
    Unsupported,
)
from napari_hae.instruments.conformance import check_instrument
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.replay import ReplayedSpectrumImage, ReplaySettings
from napari_hae.types import BeamState, ProbePosition, dose_electrons

MIDDLE = ProbePosition(0.5, 0.5)


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    return save_cube(tmp_path_factory.mktemp("cube") / "cube.hspy")


@pytest.fixture(scope="module")
def replay(cube):
    return connected(cube, without_image="sum_of_channels")


def test_every_pixel_gives_the_spectrum_measured_there(replay):
    for row, column in np.ndindex(ROWS, COLUMNS):
        counts = expose(replay, row, column).counts
        assert counts.dtype == np.float32
        np.testing.assert_array_equal(counts, COUNTS[row, column])


@given(x=st.floats(0, 1), y=st.floats(0, 1))
def test_a_position_gives_the_pixel_that_holds_it(replay, x, y):
    spectrum = expose_at(replay, ProbePosition(x, y))

    row, column = min(int(y * ROWS), ROWS - 1), min(int(x * COLUMNS), COLUMNS - 1)
    np.testing.assert_array_equal(spectrum.counts, COUNTS[row, column])
    assert spectrum.position == ProbePosition(x, y)


def test_what_is_done_to_a_served_spectrum_does_not_change_the_file(replay):
    expose(replay, 1, 2).counts[:] = -1
    survey_of(replay).data[:] = -1

    np.testing.assert_array_equal(expose(replay, 1, 2).counts, COUNTS[1, 2])
    np.testing.assert_array_equal(survey_of(replay).data[0], COUNTS.sum(axis=-1))


def test_only_the_shape_of_the_file_is_offered(replay):
    able = replay.capabilities()

    assert able.survey_shape == (ROWS, COLUMNS)
    assert able.smallest_survey_shape == able.largest_survey_shape == (ROWS, COLUMNS)
    with pytest.raises(Unsupported, match="5 × 7"):
        replay.acquire_survey(able.survey_detectors, (ROWS, COLUMNS + 1), 1e-6)


def test_the_spectrum_does_not_depend_on_the_exposure_but_the_dose_does(cube):
    replay = connected(cube, current_pa=20)
    short, long = expose(replay, 1, 1, 0.01), expose(replay, 1, 1, 1.0)

    np.testing.assert_array_equal(short.counts, long.counts)
    assert (short.exposure_s, long.exposure_s) == (0.01, 1.0)
    assert long.dose_e == dose_electrons(20, 1.0)


def test_the_dose_is_unknown_without_a_current(replay):
    assert math.isnan(expose(replay, 1, 1).dose_e)


def test_with_the_beam_blanked_a_spectrum_holds_nothing(cube):
    replay = connected(cube, current_pa=20)
    replay.place_beam(MIDDLE)
    dark = replay.acquire_spectrum("", 0.1)

    assert not dark.counts.any()
    assert dark.dose_e == 0


def test_spectra_with_the_beam_on_are_counted(cube):
    replay = connected(cube)
    expose(replay, 0, 0)
    replay.acquire_spectrum("", 0.1)
    expose_at(replay, MIDDLE)
    expose_at(replay, MIDDLE)
    expose_at(replay, MIDDLE)

    assert replay.spectra_served == 4
    with pytest.raises(AttributeError):
        replay.spectra_served = 0


def test_an_abort_ends_a_long_exposure(cube):
    replay = connected(cube, realtime=True)
    replay.place_beam(MIDDLE)
    replay.unblank()
    timer = threading.Timer(0.05, replay.abort)
    timer.start()
    with pytest.raises(Aborted):
        replay.acquire_spectrum("", 1000)
    timer.join()

    assert replay.status().beam is BeamState.BLANKED
    assert replay.spectra_served == 0


@pytest.mark.parametrize("empty", [None, "", Path()])
def test_without_a_file_it_asks_for_one(empty):
    replay = ReplayedSpectrumImage(ReplaySettings(file=empty, survey_file=empty))

    with pytest.raises(Unsupported, match="choose a file"):
        replay.connect()


@pytest.mark.parametrize(
    ("counts", "axis", "words"),
    [
        (COUNTS[..., :1], {}, "1 channel along its energy axis"),
        (COUNTS, {"offset": 1e300}, "begins at 1e\\+300 eV"),
        (COUNTS, {"offset": 1e8, "scale": 1e-12}, "cannot be told apart"),
    ],
)
def test_an_energy_axis_that_no_run_can_use_is_refused_on_connecting(
    tmp_path, counts, axis, words
):
    signal = hyperspy().signals.Signal1D(counts)
    energy = signal.axes_manager.signal_axes[0]
    energy.units = "eV"
    for name, value in axis.items():
        setattr(energy, name, value)
    signal.save(tmp_path / "odd.hspy")
    with pytest.raises(Unsupported, match=words):
        connected(tmp_path / "odd.hspy")


def test_after_a_refusal_it_is_not_connected(tmp_path):
    replay = ReplayedSpectrumImage(ReplaySettings(file=tmp_path / "missing.hspy"))
    with pytest.raises(Unsupported):
        replay.connect()

    assert not replay.status().connected
    with pytest.raises(NotConnected):
        replay.capabilities()


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A replay of a file that is too large for memory, and its path."""
    monkeypatch.setattr(spectrum_images, "IN_MEMORY_BYTES", 0)
    path = save_cube(tmp_path / "large.hspy", chunks=(2, 3, 4))
    replay = connected(path, without_image="sum_of_channels")
    yield replay, path
    replay.disconnect()


def test_a_large_file_serves_the_same(large, replay):
    lazy, _ = large

    np.testing.assert_array_equal(survey_of(lazy).data, survey_of(replay).data)
    for row, column in [(0, 0), (2, 5), (ROWS - 1, COLUMNS - 1)]:
        np.testing.assert_array_equal(
            expose(lazy, row, column).counts, expose(replay, row, column).counts
        )


def test_disconnecting_lets_go_of_a_large_file(large):
    lazy, path = large
    lazy.disconnect()
    hyperspy().load(path).save(path, overwrite=True)
    lazy.connect()

    np.testing.assert_array_equal(expose(lazy, 0, 1).counts, COUNTS[0, 1])


def test_a_file_that_vanishes_in_mid_run_is_an_instrument_error(large):
    lazy, _ = large
    lazy._data.close()

    with pytest.raises(InstrumentError, match="row 1, column 2 cannot be read"):
        expose(lazy, 1, 2)
    assert lazy.spectra_served == 0


class SlowCounts:
    """Counts that are read only when told so."""

    def __init__(self, counts):
        self.counts, self.shape = counts, counts.shape
        self.asked, self.go_on = threading.Event(), threading.Event()

    def __getitem__(self, pixel):
        self.asked.set()
        assert self.go_on.wait(30)
        return self.counts[pixel]


def test_disconnecting_waits_for_a_spectrum_that_is_being_read(large):
    lazy, _ = large
    slow = SlowCounts(lazy._data.counts)
    lazy._data = replace(lazy._data, counts=slow)
    lazy.place_beam(MIDDLE)
    lazy.unblank()

    with ThreadPoolExecutor() as pool:
        spectrum = pool.submit(lazy.acquire_spectrum, "", 0.1)
        assert slow.asked.wait(30)
        disconnected = pool.submit(lazy.disconnect)
        done, _ = wait([disconnected], timeout=0.1)
        slow.go_on.set()

        assert not done
        with pytest.raises(Aborted):
            spectrum.result(30)
        disconnected.result(30)
    assert not lazy.status().connected


@pytest.mark.parametrize("current_pa", [None, 50])
def test_it_conforms(cube, current_pa):
    settings = ReplaySettings(file=cube, current_pa=current_pa)

    check_instrument(ReplayedSpectrumImage(settings))


def test_importing_and_making_it_does_not_load_hyperspy():
    code = (
        "import sys; from napari_hae.instruments import replay; "
        "replay.ReplayedSpectrumImage(replay.ReplaySettings()); "
        "sys.exit(any(m.split('.')[0] in ('hyperspy', 'rsciio') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_data
@pytest.mark.parametrize(
    ("path", "shape", "surveys", "fov_nm", "offset_ev"),
    [
        (P45, (75, 100), ("BSE", "SE"), (655_259, 873_679), -472.4),
        (CLEAN, (50, 50), ("Ch 1",), (590.4, 590.4), -473.2),
    ],
)
def test_measured_maps_open(path, shape, surveys, fov_nm, offset_ev):
    replay = connected(path)
    able = replay.capabilities()
    [detector] = able.spectrum_detectors

    assert able.survey_shape == shape
    assert able.survey_detectors == surveys
    assert able.fov_nm == pytest.approx(fov_nm, rel=1e-4)
    assert detector.name == "EDS"
    assert detector.energy.size == 2048
    assert detector.energy.dispersion_ev == pytest.approx(10, rel=1e-3)
    assert detector.energy.offset_ev == pytest.approx(offset_ev, abs=0.1)
    assert survey_of(replay).shape == shape


@needs_data
@pytest.mark.parametrize(
    ("path", "band_ev", "counts"),
    [(P45, (1650, 1850), 7), (CLEAN, (1400, 1600), 160)],
)
def test_measured_maps_hold_the_lines_they_are_known_for(path, band_ev, counts):
    replay = connected(path)
    random = np.random.default_rng(0).random((400, 2))
    positions = [ProbePosition(x, y) for x, y in random]
    spectra = [expose_at(replay, position) for position in positions]
    band = spectra[0].energy.channels(*band_ev)
    per_pixel = [spectrum.counts[band].sum() for spectrum in spectra]

    assert np.mean(per_pixel) == pytest.approx(counts, rel=0.5)


@needs_data
def test_a_measured_map_conforms():
    check_instrument(ReplayedSpectrumImage(ReplaySettings(file=CLEAN)))


def test_a_survey_image_that_is_blank_for_want_of_one_is_told_of_once(tmp_path, caplog):
    settings = ReplaySettings(file=save_cube(tmp_path / "cube.hspy"))
    gate = GuardedInstrument(ReplayedSpectrumImage(settings))
    gate.connect()
    told = [each.getMessage() for each in caplog.records]
    assert sum("the survey image is blank" in each for each in told) == 1
    assert oddities_of(acquire_survey(gate, SurveySettings())) == ""
