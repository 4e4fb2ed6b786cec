"""The dock *Forensics* in a real window, used with the mouse."""

from __future__ import annotations

import shutil
import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QDockWidget, QFileDialog, QLabel

from by_hand import pick, reach
from mouse import LEFT
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.experiment.forensics import analysis as analysis_module
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings
from napari_hae.experiment.stored import open_run
from napari_hae.gui.abort import AbortButton
from napari_hae.instruments.catalogue import guarded
from napari_hae.instruments.simulated_settings import SimulatedSettings
from steered import TIMEOUT_MS, show, until

pytestmark = pytest.mark.gui

STEPS, CHANGED_AT = 14, 9


def click(qtbot, button) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, LEFT)


@pytest.fixture
def finished(cockpit, qtbot):
    """The cockpit after a short run in which the acquisition function was changed."""
    session = cockpit.session
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        session.connection.open("simulated", SimulatedSettings(shape=(32, 32)))
    session.configure(budget=Budget(steps=STEPS), initial=InitialDesign(points=5))

    def change(_) -> None:
        if len(session.live.measurements) >= CHANGED_AT:
            session.live.measured.disconnect(change)
            session.configure(acquisition=UpperConfidenceBound(beta=20.0))
            session.resume()

    def pause(measurement) -> None:
        if measurement.step == CHANGED_AT - 1:
            session.runner.pause()

    session.live.measured.connect(change)
    session.started.connect(lambda: session.runner.events.measured.connect(pause))
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        session.start()
    cockpit.show_forensics()
    until(qtbot, cockpit.forensics.isVisible)
    return cockpit


def analyse(dock, qtbot):
    click(qtbot, dock.analyse)
    until(qtbot, lambda: dock.analysis is not None or dock.problem.text())
    assert dock.problem.text() == ""
    return dock.analysis


def test_an_empty_dock_says_what_to_do_next(cockpit):
    dock = cockpit.forensics
    assert "No finished run yet" in dock.state.text()
    assert not dock.analyse.isEnabled()
    assert not dock.save.isEnabled()
    assert dock.open.isEnabled()
    assert dock.results.isHidden()


def test_the_finished_run_is_analysed_and_shown(finished, qtbot):
    dock, session = finished.forensics, finished.session
    assert session.record_path.name in dock.record.text()
    assert dock.state.isHidden()
    found = analyse(dock, qtbot)
    results = dock.results
    assert not results.isHidden()
    assert f"{STEPS} spectra on simulated" in results.summary.text()
    steps, values = results.regret._items[0].getData()
    assert np.array_equal(steps, np.arange(1, STEPS + 1))
    assert np.array_equal(values, found.regret.simple)
    assert not results.model.is_empty
    assert results.others.is_empty
    table = results.interventions
    assert table.rowCount() == len(found.interventions) == 1
    assert table.item(0, 0).text() == str(found.interventions[0].step + 1)
    said = table.item(0, 1).text()
    assert "from Expected improvement (log) to Upper confidence bound" in said
    assert "Without it the agent would have gone to" in said
    assert dock.save.isEnabled()
    assert not dock.progress.isVisible()


def test_the_dock_is_narrow_and_all_words_can_be_read(finished, qtbot):
    dock = finished.forensics
    analyse(dock, qtbot)
    assert dock.width() <= 380
    summary, table = dock.results.summary, dock.results.interventions
    until(qtbot, lambda: summary.height() >= summary.heightForWidth(summary.width()))
    until(qtbot, lambda: table.rowHeight(0) > 2 * table.fontMetrics().height())
    shown = table.viewport().height()
    assert shown >= sum(table.rowHeight(row) for row in range(table.rowCount()))


def test_another_agent_is_ticked_and_compared_with(finished, qtbot):
    dock = finished.forensics
    other = dock.others["acquisition"]
    assert other.form.isHidden()
    # On its square: beside the words of a wide check box a click hits nothing.
    qtbot.mouseClick(other.box, LEFT, pos=QPoint(9, other.box.height() // 2))
    assert not other.form.isHidden()
    other.form.choice.setCurrentIndex(other.form.choice.findData("maximum_uncertainty"))
    (compared,) = analyse(dock, qtbot).against
    assert compared.name == "Maximum uncertainty"
    assert compared.settings.acquisition.kind == "maximum_uncertainty"
    _, best = dock.results.others._items[1].getData()
    assert np.array_equal(best, compared.best)
    assert dock.results.others_words.text().startswith("Maximum uncertainty: ")


def test_another_goal_and_another_agent_are_compared_and_reported(
    finished, qtbot, monkeypatch, tmp_path
):
    """All with the mouse: ticked, chosen in their lists, analysed, and saved."""
    dock, plot = finished.forensics, finished.forensics.results.others
    for kind, name in (
        ("acquisition", "Maximum uncertainty"),
        ("scalarizer", "Peak energy"),
    ):
        other = dock.others[kind]
        reach(other.box, qtbot)
        qtbot.mouseClick(other.box, LEFT, pos=QPoint(9, other.box.height() // 2))
        pick(other.form.choice, name, qtbot)
    against = analyse(dock, qtbot).against
    assert [each.name for each in against] == ["Maximum uncertainty", "Peak energy"]
    assert [each.settings.scalarizer.kind for each in against] == [
        *("band_integral", "peak_energy"),
    ]
    reach(plot, qtbot)
    curves = [item.getData()[1] for item in plot._items]
    for number, other in enumerate(against):
        np.testing.assert_array_equal(curves[2 * number], other.recorded_best)
        np.testing.assert_array_equal(curves[2 * number + 1], other.best)
        assert other.name in plot.title.text()
        assert len(other.best) == STEPS
    shot = plot.plot.grab().toImage()
    drawn = {
        shot.pixelColor(x, y).name()
        for x in range(shot.width())
        for y in range(shot.height())
    }
    assert {"#56b4e9", "#cc79a7", "#009e73"} <= drawn
    report = tmp_path / "report.html"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(report), ""))
    click(qtbot, dock.save)
    until(qtbot, lambda: "Report:" in dock.message.text())
    page = report.read_text(encoding="utf-8")
    assert all(each.name in page for each in against)


def test_a_record_is_opened_from_disk(finished, qtbot, monkeypatch, tmp_path):
    dock = finished.forensics
    path = finished.session.record_path
    answers = iter([str(tmp_path), "", str(path)])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(answers))
    click(qtbot, dock.open)
    assert "is no record" in dock.problem.text()
    click(qtbot, dock.open)
    click(qtbot, dock.open)
    assert dock.problem.text() == ""
    assert dock.record.text() == f"Record: {path.name}"
    assert analyse(dock, qtbot).run.path == path


@pytest.fixture
def earlier(tmp_path):
    """The record of an earlier run, with a long name."""
    instrument = SimulatedSettings(shape=(32, 32))
    gate = guarded("simulated", instrument)
    gate.connect()
    settings = ExperimentSettings(budget=Budget(steps=STEPS))
    path = tmp_path / f"{'gold_nanotriangles_on_silicon_nitride_' * 3}.hae"
    record = Record.create(
        path, instrument="simulated", instrument_settings=instrument, settings=settings
    )
    runner = Runner(gate, record, settings)
    runner.start()
    assert runner.wait(TIMEOUT_MS / 1000)
    gate.disconnect()
    return path


def open_in_monitor(session, path, qtbot):
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        session.open_record(path)


def test_a_record_that_is_opened_in_the_monitor_can_be_analysed(
    cockpit, qtbot, earlier
):
    dock = cockpit.forensics
    cockpit.show_forensics()
    open_in_monitor(cockpit.session, earlier, qtbot)
    assert dock.record.text() == f"Record: {earlier.name}"
    assert dock.state.isHidden()
    assert analyse(dock, qtbot).run.path == earlier


def test_a_narrow_dock_cuts_no_button_and_a_long_name_in_its_middle(
    cockpit, qtbot, earlier
):
    dock, window = cockpit.forensics, cockpit.viewer.window._qt_window
    cockpit.show_forensics()
    open_in_monitor(cockpit.session, earlier, qtbot)
    around = dock.parentWidget()
    while not isinstance(around, QDockWidget):
        around = around.parentWidget()
    window.resizeDocks([around], [300], Qt.Orientation.Horizontal)
    until(qtbot, lambda: dock.width() <= 310)
    for button in (dock.open, dock.analyse, dock.save, dock.findChild(AbortButton)):
        needed = button.fontMetrics().horizontalAdvance(button.text())
        assert button.width() > needed
        right = button.mapTo(dock, button.rect().topRight()).x()
        assert right < dock.width()
    record = dock.record
    # What a label shows, whatever it was given.
    shown = QLabel.text(record)
    assert shown.startswith("Record: gold")
    assert shown.endswith(".hae")
    assert "…" in shown
    assert record.height() >= record.fontMetrics().height()
    assert record.toolTip() == str(earlier)


def test_the_report_is_saved(finished, qtbot, monkeypatch, tmp_path):
    dock = finished.forensics
    analyse(dock, qtbot)
    report = tmp_path / "report.html"
    names = iter([("", ""), (str(tmp_path / "no" / "r.html"), ""), (str(report), "")])
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: next(names))
    click(qtbot, dock.save)
    assert dock.save.isEnabled()
    click(qtbot, dock.save)
    until(qtbot, lambda: "Writing the report failed" in dock.problem.text())
    click(qtbot, dock.save)
    until(qtbot, lambda: "Report:" in dock.message.text())
    page = report.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == page.count("<img") > 4
    assert "Upper confidence bound" in page
    # Nothing in the record was changed.
    assert len(open_run(finished.session.record_path).measurements) == STEPS


@pytest.fixture
def held(monkeypatch):
    """Holds an analysis until its end is ordered."""
    original = analysis_module.analyse

    def analyse_slowly(run, against, progress):
        def watch(what, done, total):
            while done == 3:
                # Raises when it is cancelled.
                progress(what, done, total)
            progress(what, done, total)

        return original(run, against, watch)

    monkeypatch.setattr(analysis_module, "analyse", analyse_slowly)


def test_an_analysis_shows_its_progress_and_is_cancelled(finished, qtbot, held):
    dock = finished.forensics
    click(qtbot, dock.analyse)
    assert dock.analyse.text() == "Cancel"
    assert not dock.open.isEnabled()
    until(qtbot, lambda: dock.progress.value() == 3)
    assert "step by step" in dock.progress.format()
    click(qtbot, dock.analyse)
    until(qtbot, lambda: "Cancelled" in dock.message.text())
    assert dock.analyse.text() == "Analyse"
    assert dock.problem.text() == ""
    assert dock.analysis is None


def test_an_analysis_goes_on_while_the_window_does_something_else(
    finished, qtbot, monkeypatch
):
    """What is shown of the feature space, say, is computed beside it."""
    dock, session = finished.forensics, finished.session
    goes, go_on = threading.Event(), threading.Event()
    original = analysis_module.analyse

    def analyse_later(*given):
        goes.set()
        assert go_on.wait(TIMEOUT_MS / 1000)
        return original(*given)

    monkeypatch.setattr(analysis_module, "analyse", analyse_later)
    click(qtbot, dock.analyse)
    until(qtbot, goes.is_set)
    done = []
    session.do("Something else", lambda: None, done.append)
    show(finished, "Feature space")
    until(qtbot, lambda: done and not session.background.is_busy)
    assert dock.analysis is None
    go_on.set()
    until(qtbot, lambda: dock.analysis is not None)
    assert dock.message.text() == dock.problem.text() == ""


def test_an_analysis_is_cancelled_before_its_first_step(finished, qtbot, monkeypatch):
    """In the middle of the ground truth, which takes a while on a large field."""
    dock, asked = finished.forensics, []

    def analyse_slowly(run, against, progress):
        def watch(what, done, total):
            asked.append(done)
            while len(asked) == 5:
                progress(what, done, total)

        return original(run, against, watch)

    original = analysis_module.analyse
    monkeypatch.setattr(analysis_module, "analyse", analyse_slowly)
    click(qtbot, dock.analyse)
    until(qtbot, lambda: len(asked) == 5)
    click(qtbot, dock.analyse)
    until(qtbot, lambda: "Cancelled" in dock.message.text())
    assert asked == [0] * 5


def test_a_record_opened_meanwhile_takes_the_place_of_the_one_analysed(
    cockpit, qtbot, earlier, held
):
    dock, other = cockpit.forensics, earlier.with_name("other.hae")
    shutil.copytree(earlier, other)
    cockpit.show_forensics()
    open_in_monitor(cockpit.session, earlier, qtbot)
    click(qtbot, dock.analyse)
    until(qtbot, lambda: dock.progress.value() == 3)
    open_in_monitor(cockpit.session, other, qtbot)
    assert dock.record.text() == f"Record: {other.name}"
    until(qtbot, lambda: "Cancelled" in dock.message.text())
    assert dock.analyse.text() == "Analyse"
    assert dock.results.isHidden()


def test_an_analysis_gives_way_to_a_new_run(finished, qtbot, held):
    dock, session = finished.forensics, finished.session
    click(qtbot, dock.analyse)
    until(qtbot, lambda: dock.progress.value() == 3)
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        session.start()
    until(qtbot, lambda: "Cancelled" in dock.message.text())
    assert "A run is going" in dock.state.text()
    assert not dock.analyse.isEnabled()
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        session.stop()
    assert dock.analyse.isEnabled()


def test_closing_the_window_ends_an_analysis(finished, qtbot, held):
    dock = finished.forensics
    click(qtbot, dock.analyse)
    until(qtbot, lambda: dock.progress.value() == 3)
    # It would never end by itself.
    finished.session.close()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("napari-hae")]


def test_a_record_without_enough_is_told_in_one_sentence(finished, qtbot):
    dock, session = finished.forensics, finished.session
    session.configure(budget=Budget(steps=1))
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        session.start()
    click(qtbot, dock.analyse)
    until(qtbot, lambda: dock.problem.text())
    assert "forensics needs 3" in dock.problem.text()
    assert dock.results.isHidden()
