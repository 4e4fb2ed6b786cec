"""What is new is shown piece by piece, and the window stays a person's."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_hae.experiment.events import RunPhase
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
    qtbot.waitUntil(lambda: session.state is RunPhase.PAUSED, timeout=TIMEOUT_MS)
    yield connected
    session.abort()
    qtbot.waitUntil(lambda: not session.is_running, timeout=TIMEOUT_MS)


class Paints(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, widget) -> None:
        super().__init__(widget)
        self.count = 0
        widget.installEventFilter(self)

    def eventFilter(self, _, event):
        self.count += event.type() == QEvent.Type.Paint
        return False


def settled(view, qtbot):
    qtbot.waitUntil(lambda: not view._jobs and not view._drawing._is_held)


def test_the_canvas_is_drawn_once_for_all_pieces(paused, qtbot, monkeypatch):
    monkeypatch.setattr(live, "TURN_MS", 0)
    canvas = paused.experiment.window().findChild(QOpenGLWidget)
    view, seen, paints = paused.session.live, [], Paints(canvas)
    settled(view, qtbot)
    with qtbot.waitSignal(canvas.frameSwapped):
        canvas.update()

    def piece():
        seen.append(paints.count)
        canvas.update()

    view._jobs.extend([piece] * 4)
    qtbot.waitUntil(lambda: len(seen) == 4)
    assert seen[1:] == [seen[1]] * 3
    qtbot.waitUntil(lambda: paints.count > seen[-1])


def test_a_picture_of_the_window_has_all_in_it_at_any_time(paused, qtbot, monkeypatch):
    monkeypatch.setattr(live, "TURN_MS", 0)
    view, viewer, pictures = paused.session.live, paused.viewer, []
    settled(view, qtbot)
    canvas = paused.experiment.window().findChild(QOpenGLWidget)
    corner = canvas.mapTo(paused.experiment.window(), canvas.rect().topLeft())
    view._jobs.extend(
        [lambda: pictures.append(viewer.screenshot(canvas_only=False, flash=False))] * 3
    )
    qtbot.waitUntil(lambda: len(pictures) == 3)
    rows = slice(corner.y(), corner.y() + canvas.height())
    columns = slice(corner.x(), corner.x() + canvas.width())
    for picture in pictures:
        assert picture[rows, columns, :3].std() > 10


def test_nothing_is_held_back_once_the_run_is_not_followed(paused, qtbot):
    view = paused.session.live
    settled(view, qtbot)
    view._drawing.hold(True)
    view.stop()
    assert not view._drawing._is_held
    view._poll.start()


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
    view, seen = paused.session.live, []
    view._jobs.extend([lambda: seen.append("one"), lambda: seen.append("two")])
    view.refresh()
    assert seen[:2] == ["one", "two"]
    assert not view._drawing._is_held


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
    with qtbot.waitExposed(window):
        window.show()
    for panel in panels:
        panel.refresh()
    assert order == []
    qtbot.waitUntil(lambda: len(order) == 4)
    assert order == ["panel 0", "the loop", "panel 1", "the loop"]
