"""The window shows a stranger's record, and asks before it uses what that names."""

from __future__ import annotations

import json

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_hae.cli import main
from napari_hae.gui import trust
from napari_hae.gui.forensics import ForensicsDock
from steered import TIMEOUT_MS, until

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def hostile(tmp_path):
    """A record whose scalarizer is code inside of it that leaves a mark."""
    path = tmp_path / "stranger.hae"
    size = ["--set", "instrument.shape=[32, 32]", "--set", "acquisition.kind=random"]
    run = ["run", "--instrument", "simulated", *size, "--steps", "12"]
    assert main([*run, "--out", str(path)]) == 0
    code = path / "evil.py"
    code.write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()\ndef value(signal):\n"
        "    return 1.0\n"
    )
    journal = path / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    function = {"kind": "user_function", "path": f"{code}:value"}
    entries[0]["settings"]["scalarizer"] = function
    for entry in entries:
        if entry["event"] == "settings":
            entry["changes"].pop("scalarizer", None)
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


@pytest.fixture
def opened(cockpit, qtbot, hostile, monkeypatch):
    """The cockpit with that record; questions are answered from a list."""
    session = cockpit.session
    session.record_folder = hostile.parent / "records"
    cockpit.answers, cockpit.asked = [], []

    def agrees(parent, outside) -> bool:
        cockpit.asked.append(tuple(outside))
        return cockpit.answers.pop(0)

    monkeypatch.setattr(trust, "agrees", agrees)
    monkeypatch.setattr("napari_hae.gui.forensics.agrees", agrees)
    session.open_record(hostile)
    until(qtbot, lambda: session.record_path == hostile)
    return cockpit


def test_a_run_with_the_settings_of_a_record_begins_with_consent_only(
    opened, qtbot, hostile
):
    session, ran = opened.session, hostile.parent / "ran"
    opened.show_experiment()
    form = opened.experiment.forms["scalarizer"]
    assert form.choice.currentText() == "user_function (as recorded)"
    assert "evil.py:value" in form.form.problems[""]
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(opened.microscope.connect_button, LEFT)
    until(qtbot, lambda: session.can_begin)
    opened.answers = [False, True]
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS):
        session.start(paused=True)
    assert "evil.py" in opened.asked[0][0]
    assert session.runner is None
    assert not ran.exists()
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        session.start(paused=True)
    until(qtbot, ran.exists)
    assert session.settings.scalarizer.title == "Own Python function"
    session.abort()
    until(qtbot, lambda: not session.is_running)
    assert len(opened.asked) == 2


def test_going_back_in_a_record_asks_first(opened, qtbot, hostile):
    session, ran = opened.session, hostile.parent / "ran"
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(opened.microscope.connect_button, LEFT)
    until(qtbot, lambda: session.can_begin)
    opened.answers = [False]
    session.successors.go_back(5)
    assert session.runner is None
    assert "evil.py" in opened.asked[0][0]
    assert not ran.exists()


def test_the_analysis_of_a_record_asks_first(opened, qtbot, hostile):
    dock = ForensicsDock(opened.viewer)
    qtbot.addWidget(dock)
    opened.answers = [False]
    qtbot.mouseClick(dock.analyse, LEFT)
    until(qtbot, lambda: dock.problem.text())
    assert "evil.py:value" in dock.problem.text()
    assert len(opened.asked) == 1
    assert not (hostile.parent / "ran").exists()


@pytest.mark.parametrize("button", ["Yes", "No"])
def test_the_question_names_all_of_it_as_plain_text(qtbot, button):
    seen = []

    def answer() -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        seen.append((box.text(), box.textFormat(), box.defaultButton().text()))
        qtbot.mouseClick(box.button(getattr(QMessageBox.StandardButton, button)), LEFT)

    QTimer.singleShot(0, answer)
    agreed = trust.agrees(None, ["the file <b>x</b>", "the host y:1"])
    assert agreed is (button == "Yes")
    ((text, text_format, default),) = seen
    assert "the file <b>x</b>" in text
    assert "the host y:1" in text
    assert text_format == Qt.TextFormat.PlainText
    assert "No" in default
