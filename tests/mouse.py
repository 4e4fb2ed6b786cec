"""Real mouse events on the canvas of a napari viewer.

The viewer must be shown (`make_napari_viewer(show=True)`). Places are `(y, x)` in world
coordinates, which are nm for the plugin's layers.
"""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari import Viewer
    from qtpy.QtWidgets import QListWidget, QWidget

Point = tuple[float, float]

LEFT = Qt.MouseButton.LeftButton
NO_BUTTON = Qt.MouseButton.NoButton
NO_MODIFIER = Qt.KeyboardModifier.NoModifier
MOVE = QEvent.Type.MouseMove
PRESS, RELEASE = QEvent.Type.MouseButtonPress, QEvent.Type.MouseButtonRelease
PATIENCE_S = 10.0


def canvas_widget(viewer: Viewer) -> QWidget:
    return viewer.window._qt_viewer.canvas.native


def canvas_position(viewer: Viewer, world_point: Point) -> QPointF:
    """Where on the canvas widget a place in world coordinates is drawn."""
    view = viewer.window._qt_viewer.canvas.view
    y, x = world_point
    across, down = (view.transform * view.scene.transform).map([x, y])[:2]
    return QPointF(float(across), float(down))


def send_mouse(
    viewer: Viewer,
    kind: QEvent.Type,
    world_point: Point,
    button: Qt.MouseButton = NO_BUTTON,
    pressed: Qt.MouseButton = NO_BUTTON,
    modifiers: Qt.KeyboardModifier = NO_MODIFIER,
) -> None:
    """Send one mouse event to the canvas widget."""
    widget = canvas_widget(viewer)
    local = canvas_position(viewer, world_point)
    inside = widget.rect().contains(local.toPoint())
    assert inside, (
        f"{world_point} is drawn at {local}, outside the canvas of {widget.size()}"
    )
    place = QPointF(widget.mapToGlobal(local.toPoint()))
    event = QMouseEvent(kind, local, place, button, pressed, modifiers)
    QApplication.sendEvent(widget, event)


def move_mouse(
    viewer: Viewer,
    world_point: Point,
    pressed: Qt.MouseButton = NO_BUTTON,
    modifiers: Qt.KeyboardModifier = NO_MODIFIER,
) -> None:
    """Move until the viewer's cursor is there: vispy and napari drop quick moves."""
    near = 2 / viewer.scene.camera.zoom
    deadline = time.monotonic() + PATIENCE_S
    while True:
        send_mouse(viewer, MOVE, world_point, NO_BUTTON, pressed, modifiers)
        QApplication.processEvents()
        cursor = np.asarray(viewer.cursor.position[-2:])
        if np.abs(cursor - world_point).max() <= near:
            return
        assert time.monotonic() < deadline, f"the cursor stays at {cursor}"


def press(viewer: Viewer, at: Point, modifiers: Qt.KeyboardModifier = NO_MODIFIER):
    """Move to a place and press the left button there."""
    QApplication.processEvents()
    move_mouse(viewer, at, modifiers=modifiers)
    send_mouse(viewer, PRESS, at, LEFT, LEFT, modifiers)
    QApplication.processEvents()


def release(viewer: Viewer, at: Point, modifiers: Qt.KeyboardModifier = NO_MODIFIER):
    """Release the left button."""
    send_mouse(viewer, RELEASE, at, LEFT, NO_BUTTON, modifiers)
    QApplication.processEvents()


def click(viewer: Viewer, at: Point, modifiers: Qt.KeyboardModifier = NO_MODIFIER):
    """A left click at a place."""
    press(viewer, at, modifiers)
    release(viewer, at, modifiers)


def drag(viewer: Viewer, points: Sequence[Point], *, between: int = 2) -> None:
    """Drag with the left button, already pressed at the first place, to all others.

    `between` is how many moves are made from each place to the next.
    """
    for start, end in pairwise(np.asarray(points, dtype=float)):
        for part in np.linspace(0, 1, between + 1)[1:]:
            move_mouse(viewer, tuple(start + part * (end - start)), LEFT)


def paint_stroke(viewer: Viewer, points: Sequence[Point], *, between: int = 2) -> None:
    """Press at the first place, drag over all others, release at the last."""
    press(viewer, points[0])
    drag(viewer, points, between=between)
    release(viewer, points[-1])


def drag_in_plot(
    plot: QWidget,
    points: Sequence[Point],
    modifiers: Qt.KeyboardModifier = NO_MODIFIER,
    *,
    between: int = 4,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Drag with the left button in a plot of pyqtgraph, along `(x, y)` of its axes.

    `meanwhile` is called before the button is let go.
    """
    # All moves are seen, however quickly they come.
    pyqtgraph.setConfigOption("mouseRateLimit", 0)
    plot.grab()  # lays it out and draws it, so that the mouse finds what is in it
    # Where the places are drawn when it begins: the drag may move what is in view.
    places = np.array([_plot_position(plot, point) for point in points])
    view = plot.viewport()
    _send(view, MOVE, places[0], NO_BUTTON, NO_BUTTON, modifiers)
    _send(view, PRESS, places[0], LEFT, LEFT, modifiers)
    for start, end in pairwise(places):
        for part in np.linspace(0, 1, between + 1)[1:]:
            _send(view, MOVE, start + part * (end - start), NO_BUTTON, LEFT, modifiers)
    meanwhile()
    _send(view, RELEASE, places[-1], LEFT, NO_BUTTON, modifiers)


def drag_row(
    rows: QListWidget,
    row: int,
    above: int,
    *,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Drag a row of a list above another one.

    `meanwhile` is called before the button is let go.
    """
    view = rows.viewport()
    start = rows.visualItemRect(rows.item(row)).center()
    end = rows.visualItemRect(rows.item(above)).topLeft() + QPoint(9, 1)

    def drop() -> None:
        meanwhile()
        _send(view, MOVE, (end.x(), end.y()), NO_BUTTON, LEFT)
        _send(view, RELEASE, (end.x(), end.y()), LEFT, NO_BUTTON)

    # A drag has an event loop of its own, that ends when the button is released.
    QTimer.singleShot(0, drop)
    QApplication.sendEvent(view, _event(view, PRESS, start, LEFT, LEFT))
    farther = start + QPoint(0, QApplication.startDragDistance() + 1)
    for at in (farther, farther):
        QApplication.sendEvent(view, _event(view, MOVE, at, NO_BUTTON, LEFT))


def _plot_position(plot: QWidget, point: Point) -> tuple[float, float]:
    scene = plot.getViewBox().mapViewToScene(QPointF(*point))
    at = plot.mapFromScene(scene)
    assert plot.viewport().rect().contains(at), f"{point} is drawn at {at}, outside"
    return at.x(), at.y()


def _send(view: QWidget, kind: QEvent.Type, at: Sequence[float], *more) -> None:
    QApplication.sendEvent(view, _event(view, kind, QPointF(*at).toPoint(), *more))
    QApplication.processEvents()


def _event(
    view: QWidget,
    kind: QEvent.Type,
    at: QPoint,
    button: Qt.MouseButton,
    pressed: Qt.MouseButton,
    modifiers: Qt.KeyboardModifier = NO_MODIFIER,
) -> QMouseEvent:
    place = QPointF(view.mapToGlobal(at))
    return QMouseEvent(kind, QPointF(at), place, button, pressed, modifiers)
