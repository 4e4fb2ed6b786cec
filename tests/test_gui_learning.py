"""The offer to begin with what an earlier run measured."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QFileDialog, QScrollArea
from superqt import QCollapsible

from mouse import LEFT
from napari_hae.agent.experience import load_experience
from napari_hae.cli import main
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run

pytestmark = pytest.mark.gui

TIMEOUT_MS = 120_000


def record(folder, *more):
    path = folder / "first.hae"
    words = ["run", "--instrument", "simulated", "--steps", "20", "--out", str(path)]
    quick = ["--set", "survey.shape=[32, 32]", "--set", "acquisition.kind='random'"]
    assert main([*words, *quick, *more]) == 0
    return path


def click(cockpit, qtbot, monkeypatch, chosen):
    """Press the button with the mouse, and choose a folder in its dialog."""
    cockpit.show_experiment()
    dock = cockpit.experiment
    (model,) = (s for s in dock.findChildren(QCollapsible) if s.text() == "Model")
    model.expand(animate=False)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(chosen))
    areas = dock.findChildren(QScrollArea)
    (scroll,) = (area for area in areas if area.isAncestorOf(model))

    def is_in_view():
        scroll.ensureWidgetVisible(dock.learn)
        return dock.learn.visibleRegion().contains(dock.learn.rect().center())

    qtbot.waitUntil(is_in_view)
    qtbot.mouseClick(dock.learn, LEFT)
    background = cockpit.session.background
    qtbot.waitUntil(lambda: not background.is_busy, timeout=TIMEOUT_MS)


def test_a_run_begins_with_what_the_chosen_record_measured(
    connected, qtbot, monkeypatch, tmp_path
):
    session, dock = connected.session, connected.experiment
    click(connected, qtbot, monkeypatch, record(tmp_path))
    file = session.settings.model.earlier
    assert load_experience(file).measured == 20
    assert dock.forms["model"].controls["earlier"].value == file
    assert "Learned from first.hae: 20 spectra" in dock.controls.message.text()
    assert dock.width() <= 380
    session.configure(budget=Budget(steps=12))
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(dock.controls.start, LEFT)
    run = open_run(session.record_path)
    assert len(run.measurements) == 12
    assert run.settings.model.earlier.read_bytes() == file.read_bytes()
    # The same record again: the file that the run names is left alone.
    click(connected, qtbot, monkeypatch, tmp_path / "first.hae")
    assert session.settings.model.earlier not in (file, None)


def test_an_emptied_field_means_to_begin_with_nothing(
    cockpit, qtbot, monkeypatch, tmp_path
):
    click(cockpit, qtbot, monkeypatch, record(tmp_path))
    assert cockpit.session.settings.model.earlier is not None
    line = cockpit.experiment.forms["model"].controls["earlier"].line_edit
    line.value = ""
    assert cockpit.session.settings.model.earlier is None


def test_a_closed_dialog_changes_nothing(cockpit, qtbot, monkeypatch):
    before = cockpit.session.settings
    click(cockpit, qtbot, monkeypatch, "")
    assert cockpit.session.settings == before


def test_what_cannot_be_learned_from_is_told_in_words(
    connected, qtbot, monkeypatch, tmp_path
):
    before = connected.session.settings
    click(connected, qtbot, monkeypatch, tmp_path)
    assert "is no record" in connected.experiment.controls.problem.text()
    one = record(tmp_path, "--set", "survey.detectors=['BF']")
    click(connected, qtbot, monkeypatch, one)
    said = connected.experiment.controls.problem.text()
    assert "with detectors: 1; this one has 2" in said
    assert connected.session.settings == before
