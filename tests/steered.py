"""What a person does to a run in a real window, step by step."""

from __future__ import annotations

import json

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import Budget

TIMEOUT_MS = 120_000
LEFT = Qt.MouseButton.LeftButton


def until(qtbot, condition):
    qtbot.waitUntil(lambda: bool(condition()), timeout=TIMEOUT_MS)


def add_labels(cockpit, labels, name: str = "particles"):
    """A Labels layer of the field, as a segmentation makes one."""
    frame = cockpit.session.layers.frame
    return cockpit.viewer.add_labels(
        labels,
        name=name,
        scale=frame.pixel_nm,
        translate=frame.origin_nm,
        units=("nm", "nm"),
    )


def start(cockpit, qtbot, *, steps: int) -> None:
    """Set the budget and press Start."""
    cockpit.session.configure(budget=Budget(steps=steps))
    cockpit.show_experiment()
    with qtbot.waitSignal(cockpit.session.started, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.experiment.controls.start, LEFT)


def stop(cockpit, qtbot) -> None:
    with qtbot.waitSignal(cockpit.session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.experiment.controls.stop, LEFT)


def step(cockpit, qtbot, count=1):
    """Order steps at once, as by quick clicks on *Step*, and wait for all of them."""
    session = cockpit.session
    wanted = len(session.live.measurements) + count
    button = cockpit.experiment.controls.step
    # The window hears of the pause a moment after the run is paused.
    until(qtbot, button.isEnabled)
    qtbot.mouseClick(button, LEFT)
    for _ in range(count - 1):
        session.step()
    # The window has heard of all of them, too.
    until(
        qtbot,
        lambda: session.live.taken == wanted and session.state is RunPhase.PAUSED,
    )


def entries(cockpit, event) -> list[dict]:
    text = (cockpit.session.record_path / "journal.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return [entry for entry in lines if entry["event"] == event]


def place(cockpit, row, column):
    """A pixel's centre in the viewer."""
    frame = cockpit.session.layers.frame
    return frame.nm(frame.position(row, column))


def proposals(cockpit, first):
    measured = cockpit.session.live.measurements[first:]
    return [(m.proposal.row, m.proposal.column) for m in measured]


def show(cockpit, title: str):
    """Click on the tab of a panel of the Monitor."""
    bar = cockpit.monitor.tabs.tabBar()
    index = next(i for i in range(bar.count()) if bar.tabText(i) == title)
    QTest.mouseClick(bar, LEFT, pos=bar.tabRect(index).center())
    return cockpit.monitor.tabs.currentWidget()


def click_on_row(table, row: int, column: int = 1) -> None:
    """Click on a row of a table or list."""
    index = table.model().index(row, column)
    table.scrollTo(index)
    QTest.mouseClick(table.viewport(), LEFT, pos=table.visualRect(index).center())
