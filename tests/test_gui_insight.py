"""What the agent knows about itself, in the Monitor of a real window."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from mouse import LEFT
from napari_hae.agent.scalarizers import PeakEnergy
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.insight import curves, inside, time_curves
from napari_hae.experiment.journal_events import WarningEvent
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layers import Role, find_layer
from napari_hae.gui.live import LiveView
from napari_hae.gui.why import WhyPanel
from napari_hae.types import ScanImage
from steered import TIMEOUT_MS, click_on_row, show, until

pytestmark = pytest.mark.gui


def choose(panel, title: str):
    """Choose a curve with the keyboard."""
    panel.choice.setFocus()
    QTest.keyClick(panel.choice, Qt.Key.Key_Home)
    while panel.choice.currentText() != title:
        QTest.keyClick(panel.choice, Qt.Key.Key_Down)
    return panel.plots[title]


@pytest.fixture
def paused(connected, qtbot):
    """A run that was paused after the agent chose for a while."""
    session = connected.session
    session.configure(budget=Budget(steps=1000))
    connected.show_experiment()
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        qtbot.mouseClick(connected.experiment.controls.start, LEFT)
    until(qtbot, lambda: len(session.live.measurements) >= 22)
    pause(connected, qtbot)
    return connected


def pause(cockpit, qtbot):
    qtbot.mouseClick(cockpit.experiment.controls.pause, LEFT)
    until(qtbot, lambda: cockpit.session.state is RunPhase.PAUSED)
    cockpit.session.live.refresh()


def points(item):
    steps, values = item.getData()
    return list(steps), list(values)


def test_empty_panels_say_what_comes(cockpit, qtbot):
    learning = show(cockpit, "Learning")
    assert all(plot.is_empty for plot in learning.plots.values())
    assert "No proposal yet" in show(cockpit, "Why here").text.text()
    assert show(cockpit, "Time").plot.is_empty
    story = show(cockpit, "Journal")
    assert story.text.toPlainText() == ""
    assert "Nothing has happened yet" in story.text.placeholderText()


def test_each_curve_shows_what_was_measured_and_known(paused):
    session = paused.session
    measurements = session.live.measurements
    known = curves(measurements, session.settings.goal)
    has_model = [i + 1 for i, m in enumerate(measurements) if m.proposal.insight]
    learning = show(paused, "Learning")
    uncertainty = choose(learning, "Uncertainty")
    assert points(uncertainty.mean) == (
        has_model,
        [measurements[i - 1].proposal.insight.mean_std for i in has_model],
    )
    assert points(uncertainty.largest)[1] == list(known.largest_std[-len(has_model) :])
    assert not uncertainty.is_empty
    assert "counts" in uncertainty.plot.getAxis("left").labelText
    error = choose(learning, "One-step-ahead error")
    outcomes = [m.outcome.missed for m in measurements if m.outcome]
    assert points(error.missed)[1] == outcomes
    calibration = choose(learning, "Calibration")
    for line, share in zip(calibration.shares, (0.5, 0.9), strict=True):
        hits, count = inside(measurements, share)
        assert points(line)[1][-1] == hits / count
    likelihood = choose(learning, "Marginal likelihood")
    assert points(likelihood.line)[0] == has_model


def test_a_panel_that_nobody_sees_draws_when_it_is_shown(paused, qtbot):
    session = paused.session
    show(paused, "Journal")
    times = paused.monitor.times
    assert times.plot.is_empty
    known = len(session.live.measurements)
    qtbot.mouseClick(paused.experiment.controls.step, LEFT)
    until(qtbot, lambda: len(session.live.measurements) > known)
    session.live.refresh()
    assert times.plot.is_empty
    show(paused, "Time")
    assert points(times.plot.agent)[0][-1] == len(session.live.measurements)


def test_the_time_of_each_step_is_stacked(paused):
    panel = show(paused, "Time")
    times = time_curves(paused.session.live.measurements)
    np.testing.assert_array_equal(
        points(panel.plot.instrument)[1], 1e3 * times.instrument_s
    )
    np.testing.assert_array_equal(
        points(panel.plot.beam)[1], 1e3 * (times.instrument_s + times.waiting_s)
    )
    assert f"{100 * times.beam_share:.0f} % of the time" in panel.summary.text()


def test_a_change_is_marked_on_all_curves_and_told_in_the_journal(paused, qtbot):
    session = paused.session
    step = len(session.live.measurements)
    scalarizer = session.settings.scalarizer
    form = paused.experiment.forms["scalarizer"].form
    form.controls["high_ev"].value = "0.45"
    markers = paused.monitor.learning.curve._markers
    until(qtbot, lambda: len(markers) == 1)
    show(paused, "Journal")
    story = paused.monitor.story.text
    until(qtbot, lambda: "recomputed" in story.toPlainText())
    told = "you moved the band from 0.30–0.40 to 0.30–0.45 eV"
    assert scalarizer.band_ev == (0.3, 0.4)
    for plot in paused.monitor.learning.plots.values():
        (marker,) = plot._markers
        assert marker.value() == step + 0.5
        assert told in marker.toolTip()
    text = story.toPlainText()
    assert f"Step {step + 1}: {told}." in text
    assert f"{step} targets were recomputed; the best is now step" in text


def test_curves_show_no_predictions_of_another_quantity(paused, qtbot):
    session, learning = paused.session, show(paused, "Learning")
    target, uncertainty, error = (
        choose(learning, title)
        for title in ("Target and best", "Uncertainty", "One-step-ahead error")
    )
    before = len(session.live.measurements)
    session.configure(scalarizer=PeakEnergy(low_ev=0.3, high_ev=0.4))
    until(qtbot, lambda: session.live.measurements[0].target < 1)
    for title in learning.plots:
        choose(learning, title)
    assert len(points(target._measured)[0]) == before
    assert target._predicted.getData()[0] is None
    assert uncertainty.is_empty
    assert error.is_empty
    assert "of this target" in error.message.text()
    assert not learning.plots["Calibration"].is_empty
    qtbot.mouseClick(paused.experiment.controls.step, LEFT)
    until(qtbot, lambda: len(session.live.measurements) > before)
    session.live.refresh()
    for title in learning.plots:
        choose(learning, title)
    newest = session.live.measurements[-1]
    assert points(target._predicted) == ([before + 1], [newest.proposal.mean])
    mean_std = newest.proposal.insight.mean_std
    assert points(uncertainty.mean) == ([before + 1], [mean_std])
    assert points(error.size_) == ([before + 1], [abs(newest.outcome.missed)])


def test_warnings_are_listed_as_they_are_in_the_record(paused, qtbot):
    session, story = paused.session, paused.monitor.story
    show(paused, "Journal")
    session.runner._loop.warnings.say("The stage is on fire. Put it out.")
    until(qtbot, lambda: "on fire" in story.text.toPlainText())
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(paused.experiment.controls.stop, LEFT)
    until(qtbot, lambda: "The run was stopped." in story.text.toPlainText())
    lines = story.text.toPlainText().splitlines()
    journal = open_run(session.record_path).journal
    warned = [sentence(each) for each in journal if isinstance(each, WarningEvent)]
    listed = [line for line in lines if line.startswith("⚠")]
    assert len(listed) == len(warned) >= 1
    assert all(any(text in line for line in listed) for text in warned)
    assert lines[-1].endswith("The run was stopped.")


def test_what_could_not_be_done_is_listed_too(connected):
    connected.session.failed.emit("Acquiring a survey image failed", "no beam")
    assert "failed: no beam" in show(connected, "Journal").text.toPlainText()


def test_why_here_shows_the_proposal_and_rings_a_runner_up(paused, qtbot):
    session, viewer = paused.session, paused.viewer
    panel = show(paused, "Why here")
    proposal = session.live.proposal
    insight = proposal.insight
    assert proposal.reason in panel.text.text()
    assert panel.share.isVisible() is math.isfinite(insight.exploring)
    assert panel.table.rowCount() == 1 + len(insight.runners_up)
    runner_up = insight.runners_up[1]
    frame = session.layers.frame
    y_nm, x_nm = frame.nm(frame.position(runner_up.row, runner_up.column))
    shown = [float(panel.table.item(2, column).text()) for column in range(1, 6)]
    numbers = [x_nm, y_nm, runner_up.mean, runner_up.std, runner_up.value]
    assert shown == pytest.approx(numbers, rel=1e-3)
    click_on_row(panel.table, 2)
    ring = find_layer(viewer, Role.RUNNER_UP, "points")
    assert ring.data.tolist() == [[runner_up.row, runner_up.column]]
    assert list(ring.scale) == pytest.approx(frame.pixel_nm)
    assert panel.follow.isVisible()
    qtbot.mouseClick(panel.follow, LEFT)
    assert find_layer(viewer, Role.RUNNER_UP, "points") is None
    assert not panel.follow.isVisible()


def test_the_places_of_an_ended_run_are_those_of_its_own_field(paused, qtbot):
    session = paused.session
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(paused.experiment.controls.stop, LEFT)
    panel, frame = show(paused, "Why here"), session.layers.frame
    data = np.ones((1, 32, 32), np.float32)
    session.show_survey(ScanImage(data, ("HAADF",), (50.0, 50.0), 1e-5))
    assert session.layers.frame != frame
    panel.draw_now()
    proposal = session.live.proposal
    y_nm, x_nm = frame.nm(frame.position(proposal.row, proposal.column))
    shown = [float(panel.table.item(0, column).text()) for column in (1, 2)]
    assert shown == pytest.approx([x_nm, y_nm], rel=1e-3)
    click_on_row(panel.table, 1)
    assert panel.is_held
    assert find_layer(paused.viewer, Role.RUNNER_UP, "points") is None


def test_the_reasons_are_read_in_a_narrow_window(paused, qtbot):
    panel = WhyPanel(paused.session)
    qtbot.addWidget(panel)
    panel.resize(660, 240)
    panel.show()
    until(qtbot, lambda: panel.table.rowCount() > 1)
    table, why = panel.table, panel.table.columnCount() - 1
    words = {table.item(row, why).text() for row in range(table.rowCount())}
    assert words - {""} <= {"exploring", "exploiting", "both"}
    assert any(words)
    for column in range(table.columnCount()):
        assert table.columnWidth(column) >= table.sizeHintForColumn(column)


def test_a_row_that_is_held_stays_while_the_run_goes_on(paused, qtbot):
    session = paused.session
    panel = show(paused, "Why here")
    before = panel.text.text()
    click_on_row(panel.table, 1)
    proposal = session.live.proposal
    qtbot.mouseClick(paused.experiment.controls.step, LEFT)
    until(qtbot, lambda: session.live.proposal is not proposal)
    assert panel.text.text() == before
    qtbot.mouseClick(panel.follow, LEFT)
    assert f"Step {session.live.proposal.step + 1}:" in panel.text.text()


def test_without_a_share_of_exploring_rows_can_still_be_taken_and_let_go(
    paused, qtbot, monkeypatch
):
    session, proposal = paused.session, paused.session.live.proposal
    panel = show(paused, "Why here")

    def propose(exploring: float) -> None:
        insight = replace(proposal.insight, exploring=exploring)
        proposed = replace(proposal, insight=insight)
        monkeypatch.setattr(LiveView, "proposal", property(lambda _: proposed))
        panel.draw_now()

    propose(0.25)
    assert panel.share.isVisible()
    assert panel.share.exploring == 0.25
    assert panel.exploiting.text() == "exploiting 75 %"
    assert panel.exploring.text() == "25 % exploring"
    propose(math.nan)
    for each in (panel.share, panel.exploiting, panel.exploring):
        assert not each.isVisible()
    click_on_row(panel.table, 1)
    until(qtbot, panel.follow.isVisible)
    qtbot.mouseClick(panel.follow, LEFT)
    assert not panel.is_held
    click_on_row(panel.table, 2)
    place = panel._places[2]
    qtbot.mouseClick(panel.take, LEFT)
    until(qtbot, lambda: session.runner.queue.pixels == (place,))
    assert not panel.is_held


def test_the_bar_is_split_where_exploring_begins(paused):
    panel = show(paused, "Why here")
    panel._split.show()
    panel.share.set_share(0.25)
    image = panel.share.grab().toImage()
    middle = image.height() // 2
    colors = [image.pixelColor(x, middle).name() for x in range(image.width())]
    assert colors.count(colors[0]) == pytest.approx(0.75 * len(colors), abs=2)
    assert colors.count(colors[-1]) == pytest.approx(0.25 * len(colors), abs=2)
