"""Docks show what was used and what has happened, whole, whenever they are opened."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget, QLabel

from by_hand import enter, reach, select_by_click
from mouse import LEFT
from napari_hae.agent.scalarizers import PeakEnergy
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    LoopSettings,
    SurveySettings,
)
from napari_hae.experiment.votes import Vote
from napari_hae.gui.experiment import ExperimentDock
from napari_hae.gui.microscope import MicroscopeDock
from napari_hae.gui.monitor import MonitorDock
from steered import TIMEOUT_MS, entries, show, step, stop, until

pytestmark = pytest.mark.gui
SURVEY = SurveySettings(shape=(48, 48), dwell_time_s=2e-4)


def press_connect(cockpit, qtbot) -> None:
    button = cockpit.microscope.connect_button
    until(qtbot, button.isEnabled)
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(button, LEFT)


def pause_at_once(cockpit, qtbot) -> None:
    cockpit.show_experiment()
    cockpit.session.configure(budget=Budget(steps=40))
    qtbot.mouseClick(cockpit.experiment.controls.step, LEFT)
    until(qtbot, lambda: cockpit.session.state is RunPhase.PAUSED)


def judged(cockpit, qtbot, of: int) -> tuple[list[Vote], str]:
    """What is marked for a step, and what the button to discard offers."""
    bar = cockpit.monitor.spectra.judging
    select_by_click(cockpit, qtbot, of)
    until(qtbot, lambda: bar._shown is not None and bar._shown.step == of)
    marked = [vote for vote, button in bar.votes.items() if button.isChecked()]
    return marked, bar.discard.text()


def shown_survey(dock) -> tuple[object, object]:
    controls = dock.survey_form.controls
    return controls["shape"].value, controls["dwell_time_s"].value


def test_docks_show_what_an_opened_record_was_made_with(cockpit, qtbot):
    session, bar = cockpit.session, cockpit.monitor.spectra.judging
    session.configure(survey=SURVEY, seed=7)
    assert shown_survey(cockpit.microscope) == ("48, 48", "0.0002")
    press_connect(cockpit, qtbot)
    pause_at_once(cockpit, qtbot)
    step(cockpit, qtbot, 4)
    session.vote(1, Vote.GOOD)
    session.discard(2, is_discarded=True)
    until(qtbot, lambda: session.live.votes and session.live.discarded)
    stop(cockpit, qtbot)

    def shows_what_was_judged() -> None:
        assert judged(cockpit, qtbot, 1) == ([Vote.GOOD], "Discard")
        assert judged(cockpit, qtbot, 2) == ([], "Restore")
        for button in (*bar.votes.values(), bar.discard, bar.follow):
            assert not button.isEnabled()

    shows_what_was_judged()
    press_connect(cockpit, qtbot)
    session.configure(survey=SurveySettings(), seed=0)
    assert shown_survey(cockpit.microscope) == ("", "1e-05")
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        session.open_record(session.record_path)
    assert shown_survey(cockpit.microscope) == ("48, 48", "0.0002")
    assert cockpit.experiment.seed.value == session.settings.seed == 7
    shows_what_was_judged()
    press_connect(cockpit, qtbot)
    assert session.survey.shape == (48, 48)


def test_of_the_survey_image_only_the_dwell_time_is_changed_in_a_run(connected, qtbot):
    connected.show_microscope()
    controls = connected.microscope.survey_form.controls
    fixed = [controls[name].native for name in ("shape", "detectors")]
    assert all(each.isEnabled() for each in fixed)
    pause_at_once(connected, qtbot)
    later = MicroscopeDock(connected.viewer)
    qtbot.addWidget(later)
    fixed += [later.survey_form.controls["shape"].native]
    assert not any(each.isEnabled() for each in fixed)
    connected.show_microscope()
    reach(controls["dwell_time_s"].native, qtbot)
    enter(controls["dwell_time_s"], "3e-5", qtbot)
    # An image of an area takes as long for each pixel.
    assert connected.session.settings.survey == SurveySettings(dwell_time_s=3e-5)
    connected.show_experiment()
    stop(connected, qtbot)
    assert all(each.isEnabled() for each in fixed)


@pytest.fixture
def warned(cockpit, qtbot):
    """A run on a drifting sample, paused when a warning of it is over."""
    form = cockpit.microscope.instrument.form
    form.controls["drift_x_nm_per_s"].value = "10"
    press_connect(cockpit, qtbot)
    session, again = cockpit.session, cockpit.experiment.controls.survey_again
    session.configure(drift=DriftSettings(warn_nm=2))
    pause_at_once(cockpit, qtbot)
    step(cockpit, qtbot, 5)
    qtbot.mouseClick(again, LEFT)
    until(qtbot, lambda: entries(cockpit, "warning"))
    session.configure(drift=DriftSettings(warn_nm=100))
    qtbot.mouseClick(again, LEFT)
    until(qtbot, lambda: entries(cockpit, "warning_over"))
    yield cockpit
    session.abort()
    until(qtbot, lambda: not session.is_running)


def test_docks_that_are_opened_in_mid_run_tell_what_has_happened(warned, qtbot):
    told = show(warned, "Journal").text
    until(qtbot, lambda: "over since step" in told.toPlainText())
    later = MonitorDock(warned.viewer)
    qtbot.addWidget(later)
    later.tabs.setCurrentWidget(later.story)
    later.show()
    until(qtbot, lambda: later.story.text.toPlainText() == told.toPlainText())
    signs = [line[:1] for line in later.story.text.toPlainText().splitlines()]
    assert "✓" in signs and "⚠" not in signs
    for name, plot in warned.monitor.learning.plots.items():
        marked = [(each.value(), each.toolTip()) for each in plot._markers]
        same = later.learning.plots[name]._markers
        assert marked and marked == [(each.value(), each.toolTip()) for each in same]
    controls = warned.experiment.controls
    until(qtbot, lambda: "Drift x" in controls.drift.text())
    again = ExperimentDock(warned.viewer)
    qtbot.addWidget(again)
    assert again.controls.drift.text() == controls.drift.text()
    # How long a step takes is not known before some were seen.
    assert again.controls.state.text().endswith("step 6 of 40")
    assert not again.seed.native.isEnabled()


def test_units_and_goal_of_the_past_hold_in_a_panel_of_later(paused, qtbot):
    session = paused.session
    unit = session.settings.scalarizer.unit
    session.configure(scalarizer=PeakEnergy())
    until(qtbot, lambda: paused.monitor.learning._settings.unit == "eV")
    later = MonitorDock(paused.viewer)
    qtbot.addWidget(later)
    session.live.show_step(5)
    assert later.learning._settings.unit == unit != "eV"


@pytest.fixture
def narrow(paused, qtbot):
    """A paused run, its dock made as narrow as it goes, its folder with a long name."""
    dock = paused.experiment.parentWidget()
    while not isinstance(dock, QDockWidget):
        dock = dock.parentWidget()
    sideways = Qt.Orientation.Horizontal
    paused.viewer.window._qt_window.resizeDocks([dock], [100], sideways)
    until(qtbot, lambda: paused.experiment.width() == 300)
    return paused


def are_whole(words, qtbot) -> None:
    """All lines of a label have their room."""

    def is_whole() -> bool:
        width = words.width()
        is_laid_out = words.isVisible() and width == words.parentWidget().width()
        return is_laid_out and words.height() >= words.heightForWidth(width)

    until(qtbot, is_whole)


def test_what_is_asked_and_answered_fits_a_narrow_dock(narrow, qtbot):
    session, controls = narrow.session, narrow.experiment.controls
    session.configure(loop=LoopSettings(approve=True))
    qtbot.mouseClick(controls.pause, LEFT)
    until(qtbot, controls.approve.isVisible)
    assert narrow.experiment.minimumSizeHint().width() <= narrow.experiment.width()
    for answer in (controls.approve, controls.veto, controls.alone):
        until(qtbot, lambda each=answer: each.width() >= each.sizeHint().width())
    session.said.emit("The sample was not found again, and nobody knows where it is. ")
    session.failed.emit("Survey again", "the sample may have left the field for good")
    are_whole(controls.message, qtbot)
    are_whole(controls.problem, qtbot)
    qtbot.mouseClick(narrow.monitor.rewind.slider, LEFT, pos=QPoint(20, 5))
    until(qtbot, lambda: session.live.shown_step is not None)
    are_whole(controls.question, qtbot)
    assert narrow.experiment.width() == 300


def test_a_long_word_costs_no_lines_and_a_long_path_keeps_its_ends(narrow, qtbot):
    session, controls = narrow.session, narrow.experiment.controls
    reason = (
        f"{60 * 'W'} is not what anybody can make use of in any way {9 * 'at all '}"
    )
    session.failed.emit("Going back", reason)
    are_whole(controls.problem, qtbot)
    stop(narrow, qtbot)
    path, label = str(session.record_path), controls.record
    assert label.toolTip() == path and label.text() == f"Record: {path}"
    until(qtbot, label.isVisible)
    seen = QLabel.text(label)
    start, end = seen.split("…")
    assert label.text().startswith(start) and path.endswith(end) and end
    room = label.contentsRect().width()
    assert label.fontMetrics().horizontalAdvance(seen) <= room
