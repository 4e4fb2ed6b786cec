"""A record that vanishes while somebody is at the window."""

from __future__ import annotations

import shutil

import pytest
from qtpy.QtCore import QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

from napari_hae.experiment import runner as running
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.stored import open_run
from napari_hae.types import BeamState
from steered import LEFT, start, until

pytestmark = pytest.mark.gui
STEPS = 12


@pytest.fixture
def held(paused, qtbot):
    """A run whose record was deleted, and which was to take another step."""
    session, controls = paused.session, paused.experiment.controls
    assert controls.save_elsewhere.isHidden()
    shutil.rmtree(session.record_path)
    qtbot.mouseClick(controls.step, LEFT)
    until(qtbot, controls.save_elsewhere.isVisible)
    assert session.state is RunPhase.PAUSED
    until(qtbot, lambda: "cannot be written" in controls.message.text())
    return paused


@pytest.fixture
def safe(tmp_path, monkeypatch):
    """The folder that a person chooses."""
    folder = tmp_path / "safe"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    return folder


def save(cockpit, qtbot):
    button = cockpit.experiment.controls.save_elsewhere
    qtbot.mouseClick(button, LEFT)
    until(qtbot, lambda: not button.isEnabled())


def stop(cockpit, qtbot):
    qtbot.mouseClick(cockpit.experiment.controls.stop, LEFT)
    until(qtbot, lambda: not cockpit.session.is_running)


def test_spectra_are_saved_to_a_folder_by_a_button(held, qtbot, safe, tmp_path):
    session, controls = held.session, held.experiment.controls
    assert session.connection.instrument.status().beam is BeamState.BLANKED
    before = controls.save_elsewhere.geometry()
    save(held, qtbot)
    (saved,) = safe.iterdir()
    assert len(open_run(saved).measurements) >= STEPS
    assert str(saved) in controls.message.text()
    # Nothing moves below the pointer.
    assert controls.save_elsewhere.isVisible()
    assert controls.save_elsewhere.geometry() == before
    stop(held, qtbot)
    assert str(saved) in controls.message.text()
    assert controls.save_elsewhere.isHidden()
    assert not list(tmp_path.glob("*-rescued.hae"))


def test_a_run_that_is_stopped_saves_them_by_itself(held, qtbot, tmp_path):
    stop(held, qtbot)
    (saved,) = tmp_path.glob("*-rescued.hae")
    assert len(open_run(saved).measurements) >= STEPS
    assert str(saved) in held.experiment.controls.message.text()
    assert held.experiment.controls.save_elsewhere.isHidden()


def test_where_they_can_be_saved_nowhere_the_button_stays(
    held, qtbot, safe, monkeypatch
):
    session, controls = held.session, held.experiment.controls
    rescue = running.rescue

    def no(*_):
        raise OSError("no space is left anywhere")

    monkeypatch.setattr(running, "rescue", no)
    stop(held, qtbot)
    assert "no space is left" in controls.message.text()
    assert controls.save_elsewhere.isVisible()
    qtbot.mouseClick(controls.save_elsewhere, LEFT)
    until(qtbot, lambda: "no space is left" in controls.problem.text())
    assert controls.save_elsewhere.isEnabled()
    monkeypatch.setattr(running, "rescue", rescue)
    save(held, qtbot)
    (saved,) = safe.iterdir()
    assert len(open_run(saved).measurements) >= STEPS
    assert controls.problem.text() == ""
    with qtbot.waitSignal(session.started, timeout=60_000):
        qtbot.mouseClick(controls.start, LEFT)
    assert controls.save_elsewhere.isHidden()


def test_what_the_button_saves_is_all_that_was_exposed(connected, qtbot, safe):
    """Also what is under way while the record is found gone."""
    session, controls = connected.session, connected.experiment.controls
    start(connected, qtbot, steps=4000)
    until(qtbot, lambda: session.live.taken > STEPS)
    shutil.rmtree(session.record_path)
    until(qtbot, controls.save_elsewhere.isVisible)
    save(connected, qtbot)
    proposed = session.runner.latest_proposal.step
    stop(connected, qtbot)
    # Nothing came after it: it is not saved once more.
    (saved,) = safe.iterdir()
    assert str(saved) in controls.message.text()
    steps = [each.step for each in open_run(saved).measurements]
    assert steps == list(range(proposed + 1))
    assert not list(session.record_path.parent.glob("*-rescued.hae"))


@pytest.fixture
def to_be_closed(connected, qtbot):
    """A run that is held, in a window that a test closes."""
    start(connected, qtbot, steps=4000)
    until(qtbot, lambda: connected.session.live.taken > STEPS)
    shutil.rmtree(connected.session.record_path)
    until(qtbot, connected.experiment.controls.save_elsewhere.isVisible)
    return connected


def test_a_window_that_is_closed_saves_them_and_tells_where(
    to_be_closed, tmp_path, caplog
):
    to_be_closed.session.close()
    (saved,) = tmp_path.glob("*-rescued.hae")
    assert len(open_run(saved).measurements) > STEPS
    assert f"all spectra are saved: {saved}" in caplog.text


class ByPerson(QCloseEvent):
    """The window's frame was clicked."""

    def spontaneous(self):
        return True


def choose(qtbot, words):
    """Answer what is asked next."""

    def answer():
        box = QApplication.activeModalWidget()
        if not isinstance(box, QMessageBox):
            QTimer.singleShot(20, answer)
            return
        assert "in memory only" in box.text()
        (button,) = (each for each in box.buttons() if words in each.text())
        qtbot.mouseClick(button, LEFT)

    QTimer.singleShot(0, answer)


def test_a_person_who_closes_the_window_is_asked_where_to_save(held, qtbot, safe):
    session, window = held.session, held.viewer.window._qt_window
    choose(qtbot, "Cancel")
    QApplication.sendEvent(window, ByPerson())
    assert window.isVisible()
    assert session.state is RunPhase.PAUSED
    assert not list(safe.iterdir())
    choose(qtbot, "Save to")
    assert session.unsaved.lets_close(window)
    (saved,) = safe.iterdir()
    assert len(open_run(saved).measurements) >= STEPS
    # It is saved: nothing is asked.
    assert session.unsaved.lets_close(window)
