"""What the docks need is loaded while the window answers, and named meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading

import napari
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog

from napari_hae.gui import loading
from napari_hae.gui.contributions import open_cockpit
from napari_hae.gui.sessions import session_if_any
from steered import until

pytestmark = pytest.mark.gui


def shown_progress():
    """What visible dialogs say that is being done."""
    return [
        each.labelText()
        for each in QApplication.topLevelWidgets()
        if isinstance(each, QProgressDialog) and each.isVisible()
    ]


def test_the_cockpit_opens_when_all_is_loaded_and_the_window_answers_before(
    make_napari_viewer, qtbot, monkeypatch
):
    is_there, goes_on, by = threading.Event(), threading.Event(), []

    def load():
        by.append(threading.current_thread())
        is_there.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(loading, "PARTS", {"numerical libraries": load})
    viewer = make_napari_viewer(show=True)
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    open_cockpit()
    until(qtbot, is_there.is_set)
    assert by != [threading.main_thread()]
    words = "Opening the cockpit: loading numerical libraries …"
    until(qtbot, lambda: words in shown_progress())
    beats = []
    timer = QTimer(interval=0)
    timer.timeout.connect(lambda: beats.append(True))
    timer.start()
    until(qtbot, lambda: len(beats) > 3)
    timer.stop()
    assert session_if_any(viewer) is None
    goes_on.set()
    until(qtbot, lambda: session_if_any(viewer) is not None)
    until(qtbot, lambda: not shown_progress())
    session_if_any(viewer).close()


def test_a_part_that_cannot_be_loaded_is_left_to_who_needs_it(qtbot, monkeypatch):
    done, loaded = threading.Event(), []

    def broken():
        raise ImportError("it is not installed")

    parts = {"one": broken, "other": lambda: loaded.append("other")}
    monkeypatch.setattr(loading, "PARTS", parts)
    loading.when_loaded("Opening", done.set)
    until(qtbot, done.is_set)
    assert loaded == ["other"]


def test_a_window_that_was_closed_meanwhile_gets_no_docks(
    make_napari_viewer, qtbot, monkeypatch
):
    goes_on, ended = threading.Event(), threading.Event()
    usual = loading.Loading._on_ended

    def on_ended(self):
        usual(self)
        ended.set()

    monkeypatch.setattr(loading, "PARTS", {"one": lambda: goes_on.wait(60)})
    monkeypatch.setattr(loading.Loading, "_on_ended", on_ended)
    # Another window than this one is in front.
    monkeypatch.setattr(QApplication, "activeWindow", lambda: None)
    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "current_viewer", lambda: viewer)
    open_cockpit()
    viewer.close()
    goes_on.set()
    until(qtbot, ended.is_set)
    assert session_if_any(viewer) is None


def test_what_napari_activates_loads_nothing_heavy():
    script = """
import sys
from napari.settings import get_settings
import npe2
before = set(sys.modules)
import napari_hae.gui.reader_preference
heavy = {"zarr", "scipy", "torch", "hyperspy", "pandas"}
print(sorted(heavy & (set(sys.modules) - before)))
print([name for name in sys.modules if name.startswith("napari_hae.agent")])
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["[]", "[]"]
