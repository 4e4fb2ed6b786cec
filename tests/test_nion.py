"""Nion Swift by its instrumentation kit, tried on Nion's simulator.

Traps are numbered as they were met when the kit was tried out for this project.
"""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import (
    Budget,
    ExperimentSettings,
    MeasurementSettings,
)
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    Busy,
    InstrumentError,
    NotConnected,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.conformance import check_instrument
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.nion.instrument import NionSwift
from napari_hae.instruments.nion.settings import NionSettings
from napari_hae.instruments.nion.worker import Worker
from napari_hae.types import Area, BeamState, ProbePosition

SETTINGS = NionSettings(pixels=32)
EXPOSURE_S, DWELL_S = 0.001, 1e-6
CENTRE = ProbePosition(0.5, 0.5)
WORKER = "napari-hae-nion"
PATIENCE_S = 60


@contextmanager
def connected(**changes):
    nion = NionSwift(SETTINGS.model_copy(update=changes))
    nion.connect()
    try:
        yield nion
    finally:
        nion.disconnect()


@pytest.fixture
def nion():
    with connected() as nion:
        yield nion


@pytest.fixture
def controller(nion):
    return registered()


def registered():
    """What a script in Swift would get."""
    from nion.utils import Registry

    return Registry.get_component("stem_controller")


def spectrum_at(nion, position, exposure_s=EXPOSURE_S):
    nion.place_beam(position)
    nion.unblank()
    try:
        return nion.acquire_spectrum("EELS", exposure_s)
    finally:
        nion.blank()


def survey(nion, *area):
    return nion.acquire_survey(("HAADF",), (32, 32), DWELL_S, *area)


def hits_a_flake(controller, position, fov_nm):
    """Whether the simulator's own sample has something at a fraction of a field."""
    from nion.utils import Geometry

    point = Geometry.FloatPoint(y=position.y, x=position.x)
    size = Geometry.FloatSize(height=fov_nm, width=fov_nm)
    origin = Geometry.FloatPoint()
    features = controller.scan_data_generator.sample.features
    return any(f.intersects(origin, size, origin, point) for f in features)


def has_plasmons(spectrum):
    band = spectrum.energy.channels(12, 25)
    return bool(spectrum.counts[band].sum() > 1e5)


class InThread:
    """A call in a thread of its own, whose error can be asked for."""

    def __init__(self, call, *arguments) -> None:
        self.error: Exception | None = None
        self._call = call, arguments
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        call, arguments = self._call
        try:
            call(*arguments)
        except InstrumentError as error:
            self.error = error

    def ended(self):
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self.error


@contextmanager
def exposing(nion, controller, exposure_s):
    """An exposure that runs meanwhile; gives the call."""
    nion.place_beam(CENTRE)
    nion.unblank()
    call = InThread(nion.acquire_spectrum, "EELS", exposure_s)
    wait_until(lambda: controller.eels_camera.is_recording)
    yield call
    call.ended()


def wait_until(condition) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came")


def test_it_conforms_and_leaves_no_thread_behind():
    before = set(threading.enumerate())

    check_instrument(NionSwift(SETTINGS))

    assert set(threading.enumerate()) == before


def test_it_says_what_it_can_do(nion):
    able = nion.capabilities()
    detector = able.spectrum_detector("EELS")

    assert able.survey_detectors == ("HAADF",)
    assert able.fov_nm == (100.0, 100.0)
    assert able.current_pa == pytest.approx(200)
    assert (detector.energy.offset_ev, detector.energy.dispersion_ev) == (-20.0, 0.5)
    assert detector.energy.size == 1024
    assert detector.suggested_band_ev == (10.0, 30.0)


def test_the_beam_current_can_be_entered_and_may_be_unknown(monkeypatch):
    from nion.usim_device.InstrumentDevice import ValueManager

    with connected(current_pa=35.0) as nion:
        assert nion.capabilities().current_pa == 35.0
    asked = ValueManager.get_value
    monkeypatch.setattr(
        ValueManager,
        "get_value",
        lambda self, name: None if name == "BeamCurrent" else asked(self, name),
    )
    with connected() as nion:
        assert nion.capabilities().current_pa is None


# Trap 1: without an event loop on its thread the kit makes no devices, silently.


def test_it_connects_from_a_thread_without_event_loop_and_has_its_devices():
    def connect():
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        nion.connect()

    nion = NionSwift(SETTINGS)
    try:
        assert InThread(connect).ended() is None
        assert registered().scan_controller is not None
        assert registered().eels_camera is not None
    finally:
        nion.disconnect()


def test_all_orders_reach_the_microscope_on_the_same_thread(nion, controller):
    threads = set()
    value, start = controller.SetValAndConfirm, controller.eels_camera.start_recording

    def noted(call):
        def noting(*arguments, **named):
            threads.add(threading.current_thread().name)
            return call(*arguments, **named)

        return noting

    controller.SetValAndConfirm = noted(value)
    controller.eels_camera.start_recording = noted(start)
    for call in (nion.blank, nion.abort):
        assert InThread(call).ended() is None
    spectrum_at(nion, CENTRE)

    assert threads == {WORKER}


@pytest.mark.parametrize("missing", ["scan controller", "EELS camera"])
def test_a_swift_without_its_devices_is_told_in_words(missing):
    class Half:
        instrument_id = "half"
        scan_controller = object() if missing == "EELS camera" else None
        eels_camera = None if missing == "EELS camera" else object()

    with inside_swift(Half()):
        nion = NionSwift(SETTINGS)
        with pytest.raises(InstrumentError, match=f"has no {missing}"):
            nion.connect()
        assert not nion.status().connected


@contextmanager
def inside_swift(controller):
    from nion.utils import Registry

    Registry.register_component(controller, {"stem_controller"})
    try:
        yield
    finally:
        Registry.unregister_component(controller, {"stem_controller"})


# Trap 2: positions outside are moved inside, NaN is taken, and a tuple is not.


@pytest.mark.parametrize("x", [math.nan, math.inf, -0.001, 1.001])
def test_a_position_outside_is_refused_before_it_is_sent(nion, controller, x):
    nion.place_beam(CENTRE)
    sent = []
    controller.probe_state_changed_event.listen(lambda *said: sent.append(said))

    with pytest.raises(OutOfRange):
        nion.place_beam(ProbePosition(x, 0.5))

    assert not sent
    assert (controller.probe_position.x, controller.probe_position.y) == (0.5, 0.5)


def test_the_probe_is_placed_with_x_and_y_where_they_belong(nion, controller):
    nion.place_beam(ProbePosition(x=0.2, y=0.9))

    assert (controller.probe_position.x, controller.probe_position.y) == (0.2, 0.9)


def test_a_probe_that_was_moved_in_swift_gives_no_spectrum(nion, controller):
    from nion.utils import Geometry

    nion.place_beam(CENTRE)
    controller.probe_position = Geometry.FloatPoint(y=0.1, x=0.1)

    with pytest.raises(InstrumentError, match="is at"):
        nion.acquire_spectrum("EELS", EXPOSURE_S)


# Trap 3: a spectrum taken while a scan runs raises nothing.


@pytest.fixture
def scanning(controller):
    """Start a scan in Swift, and stop it at the end."""

    def scan():
        controller.scan_controller.start_playing()
        wait_until(lambda: controller.probe_state == "scanning")

    yield scan
    controller.scan_controller.abort_playing(sync_timeout=PATIENCE_S)


def test_while_swift_scans_nothing_is_placed_or_measured(nion, scanning):
    nion.place_beam(CENTRE)
    scanning()

    with pytest.raises(Busy, match="a scan is running"):
        nion.acquire_spectrum("EELS", EXPOSURE_S)
    with pytest.raises(Busy, match="a scan is running"):
        nion.place_beam(CENTRE)
    with pytest.raises(Busy, match="a scan is running"):
        survey(nion)
    assert nion.status().beam is BeamState.BLANKED


def test_a_scan_that_starts_during_an_exposure_spoils_it(nion, controller, scanning):
    with exposing(nion, controller, 1.0) as call:
        scanning()
        error = call.ended()

    assert isinstance(error, Busy)


# Trap 4: recording at another field of view leaves fractions of the old one behind.


@pytest.mark.parametrize("fov_nm", [100.0, 260.0])
def test_spectra_belong_to_the_place_in_the_field_that_was_scanned(fov_nm):
    positions = [
        ProbePosition(*place) for place in np.random.default_rng(5).random((12, 2))
    ]
    with connected(fov_nm=fov_nm) as nion:
        image = survey(nion)
        expected = [hits_a_flake(registered(), p, fov_nm) for p in positions]
        seen = [has_plasmons(spectrum_at(nion, position)) for position in positions]
        context_nm = registered().scan_context.fov_nm

    assert image.fov_nm == (fov_nm, fov_nm)
    assert context_nm == fov_nm
    assert seen == expected
    assert len(set(expected)) == 2


def test_a_field_that_was_changed_in_swift_is_refused_until_scanned(nion, controller):
    scan = controller.scan_controller
    parameters = scan.get_current_frame_parameters()
    parameters.fov_nm = 40.0
    scan.set_current_frame_parameters(parameters)

    with pytest.raises(InstrumentError, match="another field of view"):
        nion.place_beam(CENTRE)
    survey(nion)
    nion.place_beam(CENTRE)

    assert nion.status().position == CENTRE


def test_the_scan_is_told_of_the_same_position_in_a_new_field(nion, controller):
    nion.place_beam(CENTRE)
    told = []
    listener = controller.probe_state_changed_event.listen(
        lambda state, position: told.append(position)
    )
    nion.place_beam(CENTRE)
    listener.close()

    assert told[-1] == controller.probe_position


@pytest.mark.parametrize(
    ("area", "shape"),
    [(Area(0.25, 0.5, 0.75, 1.0), (32, 32)), (Area(0.1, 0.2, 0.9, 0.6), (40, 48))],
)
def test_an_area_is_that_part_of_the_whole_field(nion, area, shape):
    whole = nion.acquire_survey(("HAADF",), (320, 320), DWELL_S).data[0]
    rows = ((np.arange(shape[0]) + 0.5) / shape[0] * area.height + area.top) * 320
    columns = ((np.arange(shape[1]) + 0.5) / shape[1] * area.width + area.left) * 320
    part = whole[np.ix_(rows.astype(int), columns.astype(int))]

    image = nion.acquire_survey(("HAADF",), shape, DWELL_S, area)

    assert image.area == area
    assert image.fov_nm == pytest.approx((area.height * 100, area.width * 100))
    # Pixels at edges of flakes differ, and all have noise.
    assert np.corrcoef(image.data[0].ravel(), part.ravel())[0, 1] > 0.8


def test_after_an_area_positions_are_fractions_of_the_whole_field(nion, controller):
    positions = [ProbePosition(x, 0.55) for x in (0.1, 0.25, 0.5, 0.7, 0.9)]
    nion.place_beam(positions[0])
    survey(nion, Area(0.25, 0.5, 0.75, 1.0))
    nion.unblank()
    first = nion.acquire_spectrum("EELS", EXPOSURE_S)
    nion.blank()
    rest = [spectrum_at(nion, position) for position in positions[1:]]

    seen = [has_plasmons(spectrum) for spectrum in (first, *rest)]
    assert seen == [hits_a_flake(controller, place, 100.0) for place in positions]
    assert len(set(seen)) == 2


# Trap 5: two recordings at once are an assertion, and data come before the device is
# ready for the next.


def test_two_acquisitions_at_once_are_refused_in_words(nion, controller):
    with exposing(nion, controller, 60.0) as call:
        with pytest.raises(Busy, match="acquiring"):
            nion.acquire_spectrum("EELS", EXPOSURE_S)
        with pytest.raises(Busy, match="acquiring"):
            survey(nion)
        nion.abort()

    assert isinstance(call.error, Aborted)


def test_acquisitions_follow_each_other_without_a_pause(nion):
    for _ in range(4):
        survey(nion)
        nion.place_beam(CENTRE)
        spectrum_at(nion, CENTRE)

    assert nion.status().beam is BeamState.BLANKED


def test_what_somebody_records_in_swift_is_waited_for():
    with connected(timeout_s=0.05) as nion:
        camera = registered().eels_camera
        task = camera.start_recording()  # half a second
        with pytest.raises(Busy, match="recording"):
            nion.place_beam(CENTRE)
        task.wait_finished(timeout=PATIENCE_S)
        wait_until(lambda: not camera.is_recording)
        nion.place_beam(CENTRE)
        camera.start_recording()
        with pytest.raises(Busy, match="recording"):
            nion.acquire_spectrum("EELS", EXPOSURE_S)


# Trap 6: abort, fault and time-out all look like nothing, or like anything.


def test_an_abort_ends_a_long_exposure_with_the_beam_blanked(nion, controller):
    with exposing(nion, controller, 100.0) as call:
        nion.abort()
        assert nion.status().beam is BeamState.BLANKED
        assert isinstance(call.ended(), Aborted)
    with pytest.raises(Aborted):
        nion.unblank()
    nion.place_beam(CENTRE)
    assert has_plasmons(spectrum_at(nion, CENTRE))


def test_an_abort_ends_a_long_scan_with_the_beam_blanked(nion, controller):
    call = InThread(nion.acquire_survey, ("HAADF",), (1024, 1024), 1e-3)
    wait_until(lambda: nion.status().beam is BeamState.ON)
    nion.abort()
    assert nion.status().beam is BeamState.BLANKED

    assert isinstance(call.ended(), Aborted)
    assert survey(nion).shape == (32, 32)


def test_blanking_and_status_do_not_wait_for_an_exposure(nion, controller):
    with exposing(nion, controller, 100.0):
        assert nion.status().beam is BeamState.ON
        assert nion.status().busy
        nion.blank()
        assert nion.status().beam is BeamState.BLANKED
        assert controller.eels_camera.is_recording
        nion.abort()


def test_what_is_blanked_in_swift_is_seen(nion, controller):
    nion.unblank()
    controller.SetVal("C_Blank", 1.0)
    wait_until(lambda: nion.status().beam is BeamState.BLANKED)


def test_a_recording_that_was_ended_in_swift_counts_as_aborted(nion, controller):
    spectrum_at(nion, CENTRE)  # what the simulator would give once more
    with exposing(nion, controller, 100.0) as call:
        controller.eels_camera.abort_recording()
        controller.eels_camera.camera.acquire_single_cancel()

    assert isinstance(call.error, Aborted)


def test_a_fault_of_the_camera_is_told_with_its_reason(nion, controller):
    def fail():
        raise RuntimeError("the camera is off")

    controller.eels_camera._test_start_hook = fail
    with pytest.raises(InstrumentError, match="failed: the camera is off"):
        spectrum_at(nion, CENTRE)
    assert nion.status().beam is BeamState.BLANKED
    controller.eels_camera._test_start_hook = None

    assert has_plasmons(spectrum_at(nion, CENTRE))


def test_a_fault_of_the_scan_is_told_with_its_reason(nion, controller):
    def fail():
        raise RuntimeError("no high voltage")

    controller.scan_controller._test_acquire_hook = fail
    with pytest.raises(InstrumentError, match="failed: no high voltage"):
        survey(nion)

    assert nion.status().beam is BeamState.BLANKED


def test_a_device_that_does_not_deliver_runs_into_a_time_out():
    release = threading.Event()
    with connected(timeout_s=0.2) as nion:
        camera = registered().eels_camera
        camera._test_acquire_hook = release.wait
        with pytest.raises(AcquisitionTimeout, match="did not deliver"):
            spectrum_at(nion, CENTRE)
        beam = nion.status().beam
        with pytest.raises(Busy, match="recording"):
            nion.place_beam(CENTRE)
        release.set()
        camera._test_acquire_hook = None

        assert beam is BeamState.BLANKED
        wait_until(lambda: not camera.is_recording)
        assert has_plasmons(spectrum_at(nion, CENTRE))


@pytest.mark.parametrize("exposure_s", [0.0, -5.0, math.nan, 1000.0])
def test_exposures_that_are_none_are_refused_before_the_camera_hears(
    nion, controller, exposure_s
):
    nion.place_beam(CENTRE)
    heard = []
    controller.eels_camera.start_recording = lambda **named: heard.append(named)

    with pytest.raises(OutOfRange, match="exposure"):
        nion.acquire_spectrum("EELS", exposure_s)
    assert not heard


def test_a_camera_without_a_sum_gives_no_spectrum(nion, controller):
    camera, start = controller.eels_camera, controller.eels_camera.start_recording

    class ImageOnly:
        def __init__(self, task):
            self._task = task
            self.is_error = False

        def grab_xdatas(self, timeout):
            return self._task.grab_xdatas(timeout=timeout)[:1]

    camera.start_recording = lambda **named: ImageOnly(start(**named))

    with pytest.raises(InstrumentError, match="no spectrum"):
        spectrum_at(nion, CENTRE)


def test_a_camera_without_an_energy_axis_is_refused(monkeypatch):
    from nion.instrumentation.camera_base import CameraHardwareSource3

    asked = CameraHardwareSource3.get_camera_calibrations

    def uncalibrated(self, parameters):
        return [type(axis)(units="px") for axis in asked(self, parameters)]

    monkeypatch.setattr(CameraHardwareSource3, "get_camera_calibrations", uncalibrated)
    with pytest.raises(InstrumentError, match="not calibrated in eV"):
        NionSwift(SETTINGS).connect()


# Trap 7: the interpreter does not end while the simulator's threads live.


def test_the_program_ends_and_the_beam_is_blanked_however_it_is_left():
    script = Path(__file__).with_name("nion_leaving.py")
    children = [
        subprocess.Popen(
            [sys.executable, str(script), way], stdout=subprocess.PIPE, text=True
        )
        for way in ("disconnect", "forget", "exposing")
    ]
    try:
        said = [child.communicate(timeout=2 * PATIENCE_S)[0] for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()

    assert [child.returncode for child in children] == [0, 0, 0]
    # Trap 9: Swift's port for scripts, 8199, has no authentication. It stays closed.
    assert said == ["left: beam blanked, bound []\n"] * 3


def test_it_connects_again_after_it_was_left():
    nion = NionSwift(SETTINGS)
    for _ in range(2):
        nion.connect()
        assert has_plasmons(spectrum_at(nion, CENTRE))
        nion.disconnect()
    with pytest.raises(NotConnected):
        nion.place_beam(CENTRE)
    nion.abort()


def test_the_simulator_serves_one_instrument_at_a_time(nion):
    other = NionSwift(SETTINGS)

    with pytest.raises(Busy, match="another Nion instrument"):
        other.connect()
    assert has_plasmons(spectrum_at(nion, CENTRE))


# Trap 8: the simulator's own spectrum image is shifted by a pixel.


def test_the_kits_spectrum_images_are_not_used(nion, controller):
    def refuse(**named):
        raise AssertionError("a spectrum image was recorded")

    controller.scan_controller.grab_synchronized = refuse

    survey(nion)
    assert has_plasmons(spectrum_at(nion, CENTRE))


# Inside Swift, without the kit, and without a blanker that answers.


def test_inside_swift_its_microscope_is_used_and_left_running():
    from napari_hae.instruments.nion import simulator

    with ExitStack() as swift:
        thread = Worker("swift", lambda: None, swift.close)
        try:
            swift.push(thread.call(lambda: simulator.start(0), PATIENCE_S))
            its_own = registered()
            with connected(simulator=False) as nion:
                assert has_plasmons(spectrum_at(nion, CENTRE))
            assert registered() is its_own
            assert its_own.TryGetVal("C_Blank") == (True, 1.0)
            task = its_own.eels_camera.start_recording()
            assert len(task.grab_xdatas(timeout=PATIENCE_S)) == 2
        finally:
            thread.stop(PATIENCE_S)


def test_outside_swift_the_simulator_can_be_forbidden():
    with pytest.raises(Unsupported, match="no Nion Swift in this program"):
        NionSwift(NionSettings(simulator=False)).connect()


def test_without_the_kit_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nion.instrumentation", None)

    with pytest.raises(Unsupported, match=r'pip install "napari-hae\[nion\]"'):
        NionSwift(SETTINGS).connect()


def test_a_blanker_of_an_unknown_name_is_refused():
    with pytest.raises(InstrumentError, match="blank it by hand"):
        NionSwift(NionSettings(blanker="Nothing")).connect()


def test_a_blanker_that_cannot_be_read_is_unverified(monkeypatch):
    from nion.usim_device.InstrumentDevice import ValueManager

    asked = ValueManager.get_value
    monkeypatch.setattr(
        ValueManager,
        "get_value",
        lambda self, name: None if name == "C_Blank" else asked(self, name),
    )
    with connected() as nion:
        assert not nion.capabilities().blanker_can_be_read
        assert nion.status().beam is BeamState.UNVERIFIED
        assert has_plasmons(spectrum_at(nion, CENTRE))
        assert registered().value_manager.is_blanked


def test_a_blanker_that_does_nothing_is_noticed_by_the_gate(nion, controller):
    gate = GuardedInstrument(nion)
    gate.connect()
    nion.unblank()
    controller.SetValAndConfirm = lambda *order: True

    with pytest.raises(InstrumentError, match="still reads as on"):
        gate.blank()


def test_only_square_images_of_the_square_field(nion):
    with pytest.raises(Unsupported, match="as many rows as columns"):
        nion.acquire_survey(("HAADF",), (32, 64), DWELL_S)


def test_an_experiment_of_40_steps_finds_more_than_it_began_with(tmp_path):
    settings = ExperimentSettings(
        budget=Budget(steps=40),
        measurement=MeasurementSettings(exposure_s=EXPOSURE_S),
        seed=1,
    )
    with connected() as nion:
        gate = GuardedInstrument(nion)
        gate.connect()
        record = Record.create(
            tmp_path / "run",
            instrument="nion",
            instrument_settings=SETTINGS,
            settings=settings,
        )
        runner = Runner(gate, record, settings)
        runner.start()
        assert runner.wait(PATIENCE_S)
        beam = nion.status().beam

    run = open_run(record.path)
    targets = [measurement.target for measurement in run.measurements]
    began = settings.initial.points
    assert len(targets) == 40
    assert np.all(np.isfinite(targets))
    assert max(targets) > max(targets[:began])
    assert np.mean(targets[began:]) > np.mean(targets[:began])
    energy = run.measurements[0].spectrum.energy
    assert (energy.offset_ev, energy.last_ev) == (-20.0, 491.5)
    assert beam is BeamState.BLANKED
    names = {thread.name for thread in threading.enumerate()}
    assert not any(WORKER in name or "acqui" in name for name in names)
