"""Records are opened by drop, menu and `viewer.open`, beside what is shown."""

from __future__ import annotations

import os
import shutil

import napari
import numpy as np
import pytest
from napari._qt import qt_viewer
from napari.plugins.utils import get_preferred_reader
from napari.settings import get_settings
from npe2 import PluginManager
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_hae.cli import main
from napari_hae.gui.abort import AbortButton
from napari_hae.gui.cockpit import Cockpit
from napari_hae.gui.reader_preference import FOLDER_PATTERN, prefer_record_reader
from napari_hae.gui.record_reader import read_records
from napari_hae.gui.sessions import session_if_any
from steered import TIMEOUT_MS, until

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    out = tmp_path_factory.mktemp("a folder with spaces") / "run of today.hae"
    size = ["--set", "instrument.shape=[32, 48]"]
    run = ["run", "--instrument", "simulated", *size, "--steps", "12"]
    assert main([*run, "--out", str(out)]) == 0
    return out


@pytest.fixture
def other(record, tmp_path):
    return shutil.copytree(record, tmp_path / "other.hae")


@pytest.fixture(autouse=True)
def no_question(monkeypatch):
    """The dialog for a reader must not come up: it would wait for an answer."""

    def ask(*_, **__):
        raise AssertionError("napari asks for a reader")

    monkeypatch.setattr(qt_viewer, "handle_gui_reading", ask)


@pytest.fixture
def windows():
    """Windows that were opened beside that of the test; closed after it."""
    before = set(_viewers())

    def windows():
        return [each for each in _viewers() if each not in before]

    yield windows
    for viewer in windows():
        viewer.close()


def _viewers():
    from napari._qt.qt_main_window import _QtMainWindow

    return [each._qt_viewer.viewer for each in _QtMainWindow._instances]


def drop(viewer, *paths) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    viewer.window._qt_viewer.dropEvent(event)


def open_folder(viewer, path) -> None:
    viewer.window._qt_viewer._qt_open([str(path)], stack=False)


def is_shown(session, path) -> bool:
    return session.record_path == path and len(session.live.measurements) == 12


WAYS = {
    "drop": drop,
    "File > Open Folder": open_folder,
    "viewer.open": lambda viewer, path: viewer.open(str(path)),
    "named plugin": lambda viewer, path: viewer.open(path, plugin="napari-hae"),
    "no plugin": lambda viewer, path: viewer.open(path, plugin=None),
    "trailing slash": lambda viewer, path: viewer.open(f"{path}{os.sep}"),
    "relative path": lambda viewer, path: viewer.open(os.path.relpath(path)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_record_opens_at_once_in_the_docks(way, cockpit, qtbot, record):
    session = cockpit.session
    WAYS[way](cockpit.viewer, record)
    until(qtbot, lambda: is_shown(session, record))
    names = [layer.name for layer in cockpit.viewer.layers]
    assert names[0] == "Survey HAADF" and len(names) == len(set(names))
    assert len(session.layers.measured_layer.data) == 12


@pytest.mark.parametrize("way", ["drop", "File > Open Folder", "viewer.open"])
def test_a_record_opens_at_once_in_a_window_without_docks(
    way, make_napari_viewer, record
):
    viewer = make_napari_viewer()
    prefer_record_reader()
    WAYS[way](viewer, record)
    names = [layer.name for layer in viewer.layers]
    assert names[0] == "Survey HAADF" and names[-1] == "Measured points"


def test_docks_that_are_opened_later_take_the_record_over(
    make_napari_viewer, qtbot, record, other
):
    viewer = make_napari_viewer(show=True)
    prefer_record_reader()
    viewer.open([str(other), str(record)])
    shown = [layer.name for layer in viewer.layers if layer.visible]
    assert [name.rpartition(" [")[0] or name for name in shown] == [
        "Survey HAADF",
        "Predicted mean",
        "Trajectory",
        "Measured points",
    ]
    of_record = {x for x in viewer.layers if "run of today" in x.source.path}
    session = Cockpit(viewer).experiment.session
    until(qtbot, lambda: is_shown(session, record))
    assert not of_record & set(viewer.layers)
    of_other = [x for x in viewer.layers if "record" in x.metadata["napari-hae"]]
    assert len(of_other) == len(of_record)
    assert not any(layer.visible for layer in of_other)
    session.close()


def test_beside_a_microscope_a_record_gets_a_window_of_its_own(
    connected, qtbot, record, windows
):
    session = connected.session
    before = [(each, each.data, each.visible) for each in connected.viewer.layers]
    drop(connected.viewer, record)
    until(qtbot, lambda: len(windows()) == 1)
    (own,) = windows()
    until(qtbot, lambda: session_if_any(own) is not None)
    until(qtbot, lambda: is_shown(session_if_any(own), record))
    assert "run of today.hae" in own.title
    assert session.connection.is_open and session.record_path is None
    after = [(each, each.data, each.visible) for each in connected.viewer.layers]
    assert [x for x, *_ in after] == [x for x, *_ in before]
    for (_, old, seen), (_, new, still_seen) in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
        assert seen == still_seen


def test_abort_in_the_window_of_a_record_ends_the_run_in_the_other(
    connected, qtbot, record, windows
):
    session = connected.session
    drop(connected.viewer, record)
    until(qtbot, lambda: len(windows()) == 1)
    until(qtbot, lambda: session_if_any(windows()[0]) is not None)
    own = session_if_any(windows()[0])
    until(qtbot, lambda: is_shown(own, record))
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        session.start()
    window = windows()[0].window._qt_window
    button = next(each for each in window.findChildren(AbortButton) if each.isVisible())
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    until(qtbot, lambda: not session.is_running)
    assert session.runner is None
    ended = (session.record_path / "journal.jsonl").read_text().splitlines()[-1]
    assert '"reason": "aborted"' in ended and '"aborted_by": "button"' in ended


def test_layers_of_a_record_are_not_those_of_a_microscope_connected_later(
    make_napari_viewer, qtbot, record
):
    viewer = make_napari_viewer(show=True)
    prefer_record_reader()
    cockpit = Cockpit(viewer)
    session = cockpit.experiment.session
    stored = napari.layers.Image(
        np.zeros((32, 48)),
        name="stored",
        metadata={"napari-hae": {"role": "survey", "record": str(record)}},
    )
    viewer.add_layer(stored)
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, Qt.MouseButton.LeftButton)
    assert not stored.visible and not np.any(stored.data)
    assert session.layers.survey_layers[0] is not stored
    session.close()


def test_of_several_records_each_further_one_gets_a_window(
    cockpit, qtbot, record, other, windows
):
    drop(cockpit.viewer, record, other)
    until(qtbot, lambda: is_shown(cockpit.session, record))
    until(qtbot, lambda: len(windows()) == 1)
    until(qtbot, lambda: is_shown(session_if_any(windows()[0]), other))
    assert cockpit.session.record_path == record


def test_a_record_that_is_being_written_opens_as_far_as_it_goes(cockpit, qtbot, other):
    journal = other / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(i for i, each in enumerate(lines) if b'"measurement"' in each)
    journal.write_bytes(b"".join(lines[:last]) + lines[last][:20])
    drop(cockpit.viewer, other)
    until(qtbot, lambda: len(cockpit.session.live.measurements) == 11)


def damaged(folder):
    journal = folder / "journal.jsonl"
    journal.write_text("nonsense\n" + journal.read_text())


def emptied(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def made_a_file(folder):
    shutil.rmtree(folder)
    folder.write_text("nothing")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damaged, "line 1 of "),
        (emptied, "is no record: there is no journal.jsonl in it"),
        (made_a_file, "is no record: there is no journal.jsonl in it"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(
    damage, words, cockpit, qtbot, other
):
    damage(other)
    drop(cockpit.viewer, other)
    problem = cockpit.microscope.problem
    until(qtbot, lambda: words in problem.text())
    assert problem.text().startswith("Opening other.hae failed")
    assert not cockpit.viewer.layers


def test_without_docks_it_is_told_as_well(make_napari_viewer, other, monkeypatch):
    told = []
    viewer = make_napari_viewer()
    prefer_record_reader()
    monkeypatch.setattr("napari_hae.gui.record_reader.show_error", told.append)
    damaged(other)
    drop(viewer, other)
    assert len(told) == 1 and "line 1 of " in told[0]
    assert not viewer.layers


LOST = {
    "the spectrum of step 4 is missing": "spectra/c/3/0",
    "survey image 1 is": "survey/0/c/0/0/0",
}


@pytest.mark.parametrize("words", LOST)
def test_of_a_damaged_record_the_rest_is_shown_and_the_damage_named(
    words, cockpit, qtbot, other
):
    (other / "arrays.zarr" / LOST[words]).unlink()
    drop(cockpit.viewer, other)
    problem = cockpit.microscope.problem
    until(qtbot, lambda: words in problem.text())
    assert problem.text().startswith("other.hae is damaged: ")
    assert is_shown(cockpit.session, other)
    assert len(cockpit.session.layers.measured_layer.data) == 12


@pytest.mark.parametrize("words", LOST)
def test_without_docks_the_damage_is_named_as_well(
    words, make_napari_viewer, other, monkeypatch
):
    told = []
    viewer = make_napari_viewer()
    prefer_record_reader()
    monkeypatch.setattr("napari_hae.gui.record_reader.show_warning", told.append)
    (other / "arrays.zarr" / LOST[words]).unlink()
    drop(viewer, other)
    assert len(told) == 1 and words in told[0]
    assert viewer.layers["Measured points"]


def test_other_folders_are_left_to_other_readers(cockpit, tmp_path):
    with pytest.raises(AssertionError, match="asks for a reader"):
        open_folder(cockpit.viewer, tmp_path)
    image = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "image.npy", image)
    cockpit.viewer.open(tmp_path / "image.npy")
    np.testing.assert_array_equal(cockpit.viewer.layers[-1].data, image)


def test_the_reader_that_a_person_chose_for_records_stays(make_napari_viewer, record):
    make_napari_viewer()
    get_settings().plugins.extension2reader = {FOLDER_PATTERN: "napari"}
    prefer_record_reader()
    assert get_preferred_reader(record) == "napari"


def test_a_disabled_plugin_reads_nothing(make_napari_viewer, record, monkeypatch):
    make_napari_viewer()
    prefer_record_reader()
    commands = PluginManager.instance().commands
    assert commands.get("napari.get_reader")(str(record)) is read_records
    monkeypatch.delitem(commands._commands, "napari-hae.read_record")
    assert commands.get("napari.get_reader")(str(record)) is not read_records
