"""The keys of the window, pressed where a person's focus is."""

from __future__ import annotations

import pytest
from app_model.types import KeyBinding
from napari._app_model import get_app_model
from napari._qt.widgets.qt_keyboard_settings import ShortcutEditor
from napari.utils.action_manager import action_manager
from qtpy.QtCore import Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtTest import QTest

from napari_hae.experiment.events import RunPhase
from napari_hae.gui.abort import ABORT_KEY
from napari_hae.gui.keys import KEYS
from steered import start, until

pytestmark = pytest.mark.gui
CONTROL_ALT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


def press(cockpit, key, *, on=None) -> None:
    canvas = cockpit.experiment.window().findChild(QOpenGLWidget)
    QTest.keyClick(on or canvas, key, CONTROL_ALT)


def test_the_run_is_paused_stepped_and_resumed_by_keys(connected, qtbot):
    session = connected.session
    start(connected, qtbot, steps=1000)
    until(qtbot, lambda: session.live.taken >= 3)
    press(connected, Qt.Key.Key_H)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    done = len(session.runner.measurements)
    # As well where the focus is in a dock.
    press(connected, Qt.Key.Key_N, on=connected.experiment.controls.pause)
    until(qtbot, lambda: len(session.runner.measurements) == done + 1)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    press(connected, Qt.Key.Key_H)
    until(qtbot, lambda: len(session.runner.measurements) > done + 2)


def test_the_next_warning_is_shown_in_the_journal(connected, qtbot):
    story, tabs = connected.monitor.story, connected.monitor.tabs
    for what in ("one thing", "another"):
        connected.session.failed.emit(what, "it failed")
    seen = []
    for _ in range(3):
        press(connected, Qt.Key.Key_W)
        assert tabs.currentWidget() is story
        seen.append(story.text.textCursor().selectedText())
    assert "one thing" in seen[0]
    assert "another" in seen[1]
    assert seen[2] == seen[0]


def test_keys_are_listed_by_napari_and_clash_with_none_of_its_own(cockpit, qtbot):
    ours = {KeyBinding.from_int(key) for key, _, _ in KEYS.values()}
    ours.add(KeyBinding.from_str(ABORT_KEY.replace("Backspace", "backspace")))
    assert len(ours) == len(KEYS) + 1
    theirs = {
        KeyBinding.validate(key)
        for name, keys in action_manager._shortcuts.items()
        if name not in KEYS
        for key in keys
    }
    theirs |= {rule.keybinding for rule in get_app_model().keybindings}
    assert theirs
    assert sorted(map(str, ours & theirs)) == []
    editor = ShortcutEditor(cockpit.experiment)
    qtbot.addWidget(editor)
    table = editor._table
    listed = {table.item(row, 0).text() for row in range(table.rowCount())}
    assert {description for _, description, _ in KEYS.values()} <= listed
