"""Instruments that change in mid-run or deliver odd things, in a real window."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from lab import experiment
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.instruments.gate import GuardedInstrument
from odd_instruments import Magnified, OddSpectra, of_length
from steered import until

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton
TIMEOUT_MS = 30_000


def connect(monkeypatch, cockpit, qtbot, bare):
    monkeypatch.setattr(
        "napari_hae.gui.connection.guarded", lambda *_: GuardedInstrument(bare)
    )
    session = cockpit.session
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        session.connection.open("fake", bare.settings)
    wanted = experiment()
    session.configure(
        acquisition=wanted.acquisition, initial=wanted.initial, budget=wanted.budget
    )
    return session


def test_after_another_magnification_a_new_survey_image_is_all_that_is_needed(
    monkeypatch, cockpit, qtbot
):
    bare = Magnified()
    session = connect(monkeypatch, cockpit, qtbot, bare)
    bare.fov_nm = (40.0, 40.0)
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS) as finished:
        session.start()
    assert finished.args[0] is FinishReason.FAILED
    assert "take a new survey image" in finished.args[1]
    assert not bare.beam.exposed
    until(qtbot, lambda: session.can_begin)
    qtbot.mouseClick(cockpit.microscope.survey_button, LEFT)
    until(qtbot, lambda: session.survey.fov_nm == (40.0, 40.0))
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS) as finished:
        session.start()
    assert finished.args[0] is FinishReason.COMPLETED


def test_a_run_of_nothing_but_odd_spectra_waits_for_the_person(
    monkeypatch, cockpit, qtbot
):
    bare = OddSpectra(lambda n, seen: of_length(seen, 1) if n > 3 else seen)
    session = connect(monkeypatch, cockpit, qtbot, bare)
    said = []
    session.said.connect(said.append)
    session.start()
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    assert len(session.live.measurements) == 9
    until(qtbot, lambda: any("in a row were set aside" in text for text in said))
    bare.change = lambda number, seen: seen
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS) as finished:
        session.runner.resume()
    assert finished.args[0] is FinishReason.COMPLETED
