"""What is new is shown piece by piece, and the window stays a person's."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_hae.experiment.events import RunState
from napari_hae.gui import live
from napari_hae.gui.panels import LazyPanel

pytestmark = pytest.mark.gui
TIMEOUT_MS = 30_000


@pytest.fixture
def paused(connected, qtbot):
    """A run that waits before its first step."""
    session = connected.session
    connected.show_experiment()
    qtbot.mouseClick(connected.experiment.controls.step, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: session.state is RunState.PAUSED, timeout=TIMEOUT_MS)
    yield connected
    session.abort()
    qtbot.waitUntil(lambda: not session.is_running, timeout=TIMEOUT_MS)


def test_the_canvas_is_drawn_once_for_all_pieces(paused, qtbot, monkeypatch):
    monkeypatch.setattr(live, "TURN_MS", 0)
    canvas = paused.experiment.window().findChild(QOpenGLWidget)
    view, seen = paused.session.live, []
    qtbot.waitUntil(lambda: not view._jobs and canvas.updatesEnabled())
    for _ in range(3):
        view._jobs.append(lambda: seen.append(canvas.updatesEnabled()))
    qtbot.waitUntil(lambda: len(seen) == 3)
    assert seen == [False, False, False]
    assert canvas.updatesEnabled()


def test_every_piece_has_a_turn_of_the_event_loop(paused, qtbot, monkeypatch):
    monkeypatch.setattr(live, "TURN_MS", 0)
    view, order = paused.session.live, []
    qtbot.waitUntil(lambda: not view._jobs)

    def piece(name):
        def do():
            order.append(name)
            live.QTimer.singleShot(0, lambda: order.append(f"the loop after {name}"))

        return do

    view._jobs.extend([piece("one"), piece("two")])
    qtbot.waitUntil(lambda: len(order) == 4)
    assert order == ["one", "the loop after one", "two", "the loop after two"]


def test_what_is_asked_for_at_once_is_drawn_at_once(paused, qtbot):
    canvas = paused.experiment.window().findChild(QOpenGLWidget)
    view, seen = paused.session.live, []
    view._jobs.extend([lambda: seen.append("one"), lambda: seen.append("two")])
    view.refresh()
    assert seen[:2] == ["one", "two"]
    assert canvas.updatesEnabled()


def test_panels_are_drawn_one_after_the_other(qtbot):
    order = []

    class Panel(LazyPanel):
        def draw(self):
            order.append(self.objectName())
            live.QTimer.singleShot(0, lambda: order.append("the loop"))

    window = QWidget()
    layout = QVBoxLayout(window)
    layout.addWidget(QLabel("panels"))
    panels = [Panel() for _ in range(2)]
    for number, panel in enumerate(panels):
        panel.setObjectName(f"panel {number}")
        layout.addWidget(panel)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    for panel in panels:
        panel.refresh()
    assert order == []
    qtbot.waitUntil(lambda: len(order) == 4)
    assert order == ["panel 0", "the loop", "panel 1", "the loop"]
