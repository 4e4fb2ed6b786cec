"""ABORT in a real window: its buttons, its key, and what it does not wait for."""

from __future__ import annotations

import threading

import pytest
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QApplication

from mouse import LEFT, canvas_widget
from napari_hae.experiment.ending import AbortedBy
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run
from napari_hae.gui.abort import ABORT_KEY, AbortButton
from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.types import BeamState
from recording import TRUE_PA, RecordingInstrument
from steered import TIMEOUT_MS, until

pytestmark = pytest.mark.gui

CONTROL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


def press_key(widget) -> None:
    # Only the active window hears keys; under Xvfb nobody makes it so.
    widget.window().activateWindow()
    QApplication.processEvents()
    QTest.keyClick(widget, Qt.Key.Key_Backspace, CONTROL_SHIFT)


def use(monkeypatch, bare: RecordingInstrument, **patience: float) -> None:
    """Let the window connect this instrument, whatever is chosen in the form."""
    monkeypatch.setattr(
        "napari_hae.gui.connection.guarded",
        lambda name, settings: GuardedInstrument(bare, **patience),
    )


@pytest.fixture
def bare(monkeypatch) -> RecordingInstrument:
    made = RecordingInstrument()
    use(monkeypatch, made, settle_s=0.0)
    return made


@pytest.fixture
def lab(bare, cockpit, qtbot):
    """The cockpit with the recording instrument connected."""
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        cockpit.session.connection.open("fake", bare.settings)
    return cockpit


def begin(cockpit, qtbot, **sections) -> None:
    cockpit.session.configure(**{"budget": Budget(steps=40), **sections})
    with qtbot.waitSignal(cockpit.session.started, timeout=TIMEOUT_MS):
        cockpit.session.start()


def test_the_key_aborts_wherever_the_focus_is_and_whichever_dock_lies_in_front(
    lab, qtbot
):
    session, window = lab.session, lab.viewer.window._qt_window
    reason = lab.experiment.reason
    layer_list = lab.viewer.window._qt_viewer.layers
    for front, focus in (
        (lab.show_experiment, reason),
        (lab.show_experiment, canvas_widget(lab.viewer)),
        (lab.show_microscope, canvas_widget(lab.viewer)),
        (lab.show_microscope, layer_list),
        (lab.show_forensics, lab.forensics.open),
        (lab.show_forensics, window),
        (lab.show_forensics, lab.monitor.tabs),
    ):
        session.connection.instrument.rearm()
        front()
        QApplication.processEvents()
        focus.setFocus()
        press_key(focus)
        until(qtbot, lambda: session.connection.instrument.is_aborted)
    reason.setText("some words")
    press_key(reason)
    assert reason.text() == "some words"


def test_the_key_ends_a_run_in_mid_exposure(lab, bare, qtbot):
    bare.hold = threading.Event()
    begin(lab, qtbot)
    until(qtbot, lambda: bare.beam.on)
    with qtbot.waitSignal(lab.session.finished, timeout=TIMEOUT_MS) as finished:
        press_key(canvas_widget(lab.viewer))
    assert finished.args[0] is FinishReason.ABORTED
    assert not bare.beam.on
    ending = open_run(lab.session.record_path).ending
    assert (ending.reason, ending.step) == (FinishReason.ABORTED, 0)
    assert (ending.aborted_by, ending.beam) == (AbortedBy.KEY, BeamState.BLANKED)
    told = lab.experiment.controls.message.text()
    assert told == "Aborted by you at step 1, beam blanked (read back)."


def test_in_each_tab_at_the_side_a_button_that_tells_the_key_is_enabled(lab, qtbot):
    for show, dock in (
        (lab.show_microscope, lab.microscope),
        (lab.show_experiment, lab.experiment),
        (lab.show_forensics, lab.forensics),
    ):
        show()
        (button,) = dock.findChildren(AbortButton)
        until(qtbot, button.isVisible)
        assert button.isEnabled()
        assert ABORT_KEY in button.toolTip()
        lab.session.connection.instrument.rearm()
        qtbot.mouseClick(button, LEFT)
        until(qtbot, lambda: lab.session.connection.instrument.is_aborted)


def test_the_buttons_stay_enabled_while_a_run_goes_and_work_goes_on(lab, bare, qtbot):
    bare.hold = threading.Event()
    begin(lab, qtbot)
    until(qtbot, lambda: bare.beam.on)
    for dock in (lab.microscope, lab.experiment, lab.forensics):
        assert dock.findChild(AbortButton).isEnabled()
    lab.show_experiment()
    with qtbot.waitSignal(lab.session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(lab.experiment.controls.abort, LEFT)


def test_nothing_else_in_the_window_has_the_key(lab):
    key = QKeySequence(ABORT_KEY)
    bindings = [each for keys in default_shortcuts.values() for each in keys]
    assert bindings
    clashing = [each for each in bindings if QKeySequence(str(each)) == key]
    assert clashing == []
    window = lab.viewer.window._qt_window
    actions = [
        action for action in window.findChildren(QAction) if key in action.shortcuts()
    ]
    assert actions == []
    buttons = [b for b in window.findChildren(QAbstractButton) if b.shortcut() == key]
    assert buttons == []


def test_the_window_answers_while_the_instrument_takes_its_time(lab, bare, qtbot):
    """An abort that hangs holds up neither the window nor the next press."""
    let_go = threading.Event()
    abort, heard = bare.abort, []

    def slow() -> None:
        heard.append(threading.current_thread())
        assert let_go.wait(60)
        abort()

    bare.abort = slow
    lab.show_experiment()
    button = lab.experiment.controls.abort
    qtbot.mouseClick(button, LEFT)
    until(qtbot, lambda: len(heard) == 1)
    assert "Aborting" in lab.experiment.controls.message.text()
    box = lab.experiment.reason
    qtbot.keyClicks(box, "alive")
    assert box.text() == "alive"
    qtbot.mouseClick(button, LEFT)
    until(qtbot, lambda: len(heard) == 2)
    assert threading.main_thread() not in heard
    let_go.set()
    message = lab.experiment.controls.message
    until(qtbot, lambda: message.text() == "Aborted: the beam is blanked.")


def test_a_blanker_that_does_not_obey_is_told_with_what_to_do(lab, bare, qtbot):
    bare.beam.on = True
    bare.ignores = {"blank", "abort"}
    lab.show_experiment()
    qtbot.mouseClick(lab.experiment.controls.abort, LEFT)
    problem = lab.experiment.controls.problem
    until(qtbot, lambda: "blank it by hand" in problem.text())
    bare.ignores = set()


def test_an_abort_reaches_an_instrument_that_is_only_connecting(bare, cockpit, qtbot):
    scanning = threading.Event()

    def hang(moment: str) -> None:
        if moment == "acquire_survey":
            scanning.set()
            assert bare._aborted.wait(60)

    bare.at = hang
    cockpit.session.connection.open("fake", bare.settings)
    until(qtbot, scanning.is_set)
    with qtbot.waitSignal(cockpit.session.failed, timeout=TIMEOUT_MS) as failed:
        qtbot.mouseClick(cockpit.microscope.abort, LEFT)
    assert "aborted" in failed.args[1]
    assert not bare.connected
    assert not bare.beam.on
    assert not cockpit.session.connection.is_open


def test_an_abort_before_a_run_begins_keeps_it_from_beginning(lab, bare, qtbot):
    delivered = len(bare.delivered)
    said = []
    lab.session.said.connect(said.append)
    lab.session.start()
    lab.session.abort()
    until(qtbot, lambda: "Aborted before the run began." in said)
    assert not lab.session.is_running
    assert len(bare.delivered) == delivered
    with qtbot.waitSignal(lab.session.started, timeout=TIMEOUT_MS):
        lab.session.start()
    until(qtbot, lambda: len(bare.delivered) > delivered)
    lab.session.abort()
    until(qtbot, lambda: not lab.session.is_running)


def test_without_a_microscope_it_says_that_there_is_nothing_to_abort(cockpit, qtbot):
    qtbot.mouseClick(cockpit.microscope.abort, LEFT)
    cockpit.show_experiment()
    assert "nothing to abort" in cockpit.experiment.controls.message.text()


def test_a_blanker_that_cannot_be_read_is_shown_as_unverified(
    monkeypatch, cockpit, qtbot
):
    bare = RecordingInstrument(readable=False)
    use(monkeypatch, bare)
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        cockpit.session.connection.open("fake", bare.settings)
    for line in (cockpit.microscope.beam, cockpit.experiment.controls.beam):
        until(qtbot, lambda line=line: "Beam unverified" in line.text())
        assert "cannot be asked whether it did" in line.toolTip()
    assert cockpit.session.connection.instrument.status().beam is BeamState.UNVERIFIED
    cockpit.session.abort()
    message = cockpit.experiment.controls.message
    until(qtbot, lambda: message.text() == "Aborted: the beam was told to blank.")


def test_a_microscope_that_does_not_answer_has_a_beam_that_is_unknown(
    lab, bare, qtbot, monkeypatch
):
    """And the window goes on meanwhile: it is asked on another thread."""
    let_go = threading.Event()
    monkeypatch.setattr("napari_hae.gui.beam.PATIENCE_S", 0.0)

    def hang(moment: str) -> None:
        if moment == "status":
            assert let_go.wait(60)

    line = lab.microscope.beam
    until(qtbot, lambda: "Beam blanked" in line.text())
    bare.at = hang
    until(qtbot, lambda: "Beam unknown: the microscope does not" in line.text())
    assert "Look at the microscope itself" in line.toolTip()
    bare.at = lambda moment: None
    let_go.set()
    until(qtbot, lambda: "Beam blanked" in line.text())


def test_a_current_is_entered_in_the_budget_and_a_dose_limited_with_it(
    monkeypatch, cockpit, qtbot
):
    bare = RecordingInstrument(says_current=False)
    use(monkeypatch, bare)
    session = cockpit.session
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        session.connection.open("fake", bare.settings)
    form = cockpit.experiment.forms["budget"]
    form.controls["dose_e"].value = "1e8"
    form.controls["steps"].value = 40
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS) as failed:
        session.start()
    assert "needs the beam current" in failed.args[1]
    assert session.record_path is None
    form.controls["current_pa"].value = str(TRUE_PA)
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS) as finished:
        session.start()
    assert finished.args[0] is FinishReason.COMPLETED
    assert "dose budget" in finished.args[1]
    stored = open_run(session.record_path)
    assert sum(m.spectrum.dose_e for m in stored.measurements) <= 1e8


def test_a_survey_image_by_hand_keeps_the_limits_of_a_place(lab, bare, qtbot):
    first_e = bare.delivered[0].dose_e / bare.delivered[0].points
    session = lab.session
    session.configure(budget=Budget(point_dose_e=1.5 * first_e))
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS) as failed:
        qtbot.mouseClick(lab.microscope.survey_button, LEFT)
    assert "at one point: the limit is" in failed.args[1]
    assert len(bare.delivered) == 1


def test_a_window_closes_although_the_microscope_fails(lab, bare, qtbot, caplog):
    def fail(moment: str) -> None:
        if moment == "blank":
            raise InstrumentError("the blanker says no")

    bare.at = fail
    lab.session.close()
    assert not bare.connected
    assert "not let go of as it should be" in caplog.text
