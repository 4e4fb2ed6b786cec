"""What begins a run is begun once, however often a person presses."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import Qt

from by_hand import show_section
from napari_hae.experiment.events import RunPhase
from steered import LEFT, TIMEOUT_MS, stop, until

pytestmark = pytest.mark.gui


@pytest.fixture
def held(connected):
    """Nothing is begun before the test lets it: the disk is slow."""
    session, going = connected.session, threading.Event()
    submit = session.background.do

    def slowly(name, work, done, failed):
        def waiting():
            assert going.wait(60)
            return work()

        submit(name, waiting, done, failed)

    session.background.do = slowly
    yield connected, going
    going.set()


def runs(cockpit):
    """The records there are, and the threads of runs that go."""
    names = [thread.name for thread in threading.enumerate()]
    records = list(cockpit.session.record_folder.glob("*.hae"))
    return len(records), names.count("napari-hae-experiment")


def press_again(cockpit, qtbot):
    """Press Start and Step again, by mouse and by key."""
    controls = cockpit.experiment.controls
    for button in (controls.start, controls.step):
        assert not button.isEnabled()
        qtbot.mouseClick(button, LEFT)
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    qtbot.keyClick(cockpit.viewer.window._qt_window, Qt.Key.Key_N, modifiers)
    cockpit.session.start()
    cockpit.session.step()


@pytest.mark.parametrize("first", ["start", "step"])
def test_a_run_is_started_once(held, qtbot, first):
    cockpit, going = held
    session, controls = cockpit.session, cockpit.experiment.controls
    cockpit.show_experiment()
    qtbot.mouseClick(getattr(controls, first), LEFT)
    press_again(cockpit, qtbot)
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        going.set()
    until(qtbot, lambda: not session.is_beginning and not session.background.is_busy)
    assert runs(cockpit) == (1, 1)
    assert controls.stop.isEnabled()
    stop(cockpit, qtbot)
    assert runs(cockpit) == (1, 0)
    assert controls.start.isEnabled()


def test_an_area_is_scanned_once(held, qtbot):
    cockpit, going = held
    session = cockpit.session
    frame = session.layers.frame
    cockpit.show_experiment()
    panel = cockpit.experiment.image_here
    show_section(cockpit.experiment, "Finer image", panel.image, qtbot)
    height, width = frame.fov_nm
    layer = cockpit.viewer.add_shapes(
        [[[0.25 * height, 0.25 * width], [0.5 * height, 0.5 * width]]],
        shape_type="rectangle",
        units=("nm", "nm"),
    )
    panel.layer.choose(layer)
    until(qtbot, panel.image.isEnabled)
    before_e = session.connection.instrument.dose_e
    qtbot.mouseClick(panel.image, LEFT)
    assert not panel.image.isEnabled()
    qtbot.mouseClick(panel.image, LEFT)
    refused = []
    session.failed.connect(lambda what, why: refused.append(why))
    panel._on_image()
    assert refused == ["Another run is being begun: wait until it goes."]
    with qtbot.waitSignal(session.survey_changed, timeout=TIMEOUT_MS):
        going.set()
    until(qtbot, panel.image.isEnabled)
    scans_e = session.connection.instrument.dose_e - before_e
    pixels = session.survey.data[0].size
    dwell_s = session.settings.survey.dwell_time_s
    current_pa = session.connection.instrument.capabilities().current_pa
    assert scans_e == pytest.approx(
        pixels * dwell_s * current_pa * 1e-12 / 1.602176634e-19
    )


def test_one_goes_back_once(paused, qtbot):
    session, back = paused.session, paused.experiment.back
    show_section(paused.experiment, "Record", back.button, qtbot)
    back.step.setValue(5)
    old = session.record_path
    qtbot.mouseClick(back.button, LEFT)
    assert not back.button.isEnabled()
    qtbot.mouseClick(back.button, LEFT)
    session.successors.go_back(7)
    until(qtbot, lambda: session.record_path != old)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    until(qtbot, back.button.isEnabled)
    assert runs(paused) == (2, 1)
    assert len(session.live.measurements) == 5
