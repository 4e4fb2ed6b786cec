"""What is to be seen in the running program: widgets, the canvas, the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from buttons import around, clicked, listen, name_of
from qtpy.QtCore import QPoint, QPointF, QRect
from qtpy.QtGui import QCursor
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDockWidget,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QMenuBar,
    QTabBar,
    QWidget,
)
from superqt import QCollapsible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari import Viewer

    from napari_hae.gui.session import Session

_TOLD = (
    QAbstractButton,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QCollapsible,
    QDockWidget,
    QLabel,
    QLineEdit,
    QMenu,
    QMenuBar,
    QTabBar,
)
"""Kinds of widgets that are told of, beside windows."""
_numbered: dict[int, QWidget] = {}
"""All that was told of: Python would give the number of one of Qt's own to another."""
Rect = list[int]


def widgets(
    numbers: list[int] | None = None,
    name: str | None = None,
    inside: int | None = None,
    kinds: list[str] | None = None,
    called: str | None = None,
) -> list[dict[str, Any]]:
    """All widgets that a person could know by name, shown or not.

    Only those of some numbers, of a name, of one of some kinds, of a name or a kind, or
    one with what is inside it, if given.
    """
    return [
        _told(widget)
        for widget in _known().values()
        if (numbers is None or id(widget) in numbers)
        and (name is None or name_of(widget) == name)
        and (kinds is None or not set(kinds).isdisjoint(_kinds(widget)))
        and (called is None or called in (name_of(widget), *_kinds(widget)))
        and (inside is None or inside in (id(widget), *map(id, around(widget))))
    ]


def _known() -> dict[int, QWidget]:
    """The widgets that are told of, by number."""
    canvas_widget = _viewer().window._qt_viewer.canvas.native
    windows = [each for each in QApplication.topLevelWidgets() if each.isVisible()]
    every = [
        widget
        for window in windows
        for widget in (window, *window.findChildren(QWidget))
    ]
    told = {
        id(widget): widget
        for widget in every
        if isinstance(widget, _TOLD) or widget is canvas_widget or widget.isWindow()
    }
    _numbered.update(told)
    return told


def canvas(points: list[list[float]]) -> list[list[float]]:
    """Where on the screen places `(y, x)` in world coordinates are drawn."""
    qt_canvas = _viewer().window._qt_viewer.canvas
    view, native = qt_canvas.view, qt_canvas.native
    mapped = view.transform * view.scene.transform
    places = [mapped.map([x, y])[:2] for y, x in points]
    return [_global(native, QPointF(float(x), float(y)).toPoint()) for x, y in places]


def cursor() -> dict[str, Any]:
    """Where napari has the pointer, in world coordinates, and nm per screen pixel."""
    viewer = _viewer()
    position = [float(x) for x in viewer.cursor.position[-2:]]
    return {"position": position, "pixel": 1 / viewer.scene.camera.zoom}


def pointer() -> list[int]:
    """Where the pointer is on the screen."""
    place = QCursor.pos()
    return [place.x(), place.y()]


def window() -> Rect:
    """Where the inside of the main window is."""
    return list(_viewer().window._qt_window.geometry().getRect())


def screen() -> Rect:
    """Where windows may be on the screen that the main window is on."""
    return list(_viewer().window._qt_window.screen().availableGeometry().getRect())


def plot(number: int, points: list[list[float]]) -> list[list[float]]:
    """Where on the screen places `(x, y)` on the axes of a plot are drawn."""
    widget = next(w for w in QApplication.allWidgets() if id(w) == number)
    scene = widget.getViewBox().mapViewToScene
    places = [widget.mapFromScene(scene(QPointF(*point))) for point in points]
    return [_global(widget.viewport(), place) for place in places]


def view(number: int) -> list[list[float]]:
    """The limits of what a plot shows, `[[left, right], [low, high]]`."""
    widget = next(w for w in QApplication.allWidgets() if id(w) == number)
    return [[float(end) for end in axis] for axis in widget.getViewBox().viewRange()]


def labels(layer: str, points: list[list[float]]) -> list[int]:
    """What a Labels layer has at places `(y, x)` in world coordinates."""
    chosen = _viewer().layers[layer]
    return [int(chosen.get_value(point, world=True) or 0) for point in points]


def run() -> dict[str, Any]:
    """What a test waits for: the session's state, nothing that is not on view."""
    session = _session()
    if session is None:
        return {}
    live, frame = session.live, session.layers.frame
    settings = session.connection.settings
    fov_nm = None if frame is None else frame.fov_nm
    return {
        "state": str(session.state),
        "connected": session.connection.is_open,
        "instrument": settings and settings.model_dump(mode="json"),
        "survey": id(session.survey),
        "record_folder": str(session.record_folder),
        "busy": session.background.is_busy or session.is_beginning,
        "taken": live.taken,
        "shown_step": live.shown_step,
        "record": None if session.record_path is None else str(session.record_path),
        "settings": session.settings.model_dump(mode="json"),
        "queue": [list(pixel) for pixel in live.queue],
        "fov_nm": fov_nm,
    }


def pixels(places: list[list[int]]) -> list[list[float]]:
    """Where the centres of pixels of the survey image lie, `(y, x)` in nm."""
    frame = _session().layers.frame
    return [list(frame.nm(frame.position(*place))) for place in places]


def layers() -> list[dict[str, Any]]:
    """The layers from the lowest up, with how many things are in them."""
    viewer = _viewer()
    active = viewer.layers.selection.active
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "mode": str(layer.mode),
            "active": layer is active,
            "visible": layer.visible,
            "shown": layer.extent.world.tolist(),
        }
        for layer in viewer.layers
    ]


def clicks() -> list[str]:
    """The buttons of the docks that were clicked since this was asked last."""
    return clicked()


def errors() -> list[str]:
    """What napari was told of as an error, by whatever went uncaught too."""
    from napari.utils.notifications import notification_manager

    return [
        f"{record.severity}: {record.message}"
        for record in notification_manager.records
        if record.severity >= "error"
    ]


def _viewer() -> Viewer:
    import napari

    viewer = napari.current_viewer()
    assert viewer is not None, "there is no viewer yet"
    return viewer


def _session() -> Session | None:
    from napari_hae.gui.sessions import session_if_any

    viewer = _viewer()
    return session_if_any(getattr(viewer, "__wrapped__", viewer))


def _told(widget: QWidget) -> dict[str, Any]:
    handle = widget.window().windowHandle()
    is_up = handle is not None and handle.isExposed()
    seen = widget.visibleRegion().boundingRect() if is_up else QRect()
    if isinstance(widget, QAbstractButton):
        listen(widget)
    outside = list(around(widget))
    return {
        "id": id(widget),
        "kinds": _kinds(widget),
        "name": name_of(widget),
        "title": widget.windowTitle(),
        "tip": widget.toolTip(),
        "within": [name for name in map(name_of, outside) if name],
        "around": [id(each) for each in outside],
        "rect": _rect(widget, widget.rect()),
        "seen": None if seen.isEmpty() else _rect(widget, seen),
        "shown": widget.isVisible(),
        "enabled": widget.isEnabled(),
        "focus": widget.hasFocus(),
        "value": _value(widget),
        "parts": list(_parts(widget)),
    }


def _kinds(widget: QWidget) -> list[str]:
    return [kind.__name__ for kind in type(widget).__mro__]


def _value(widget: QWidget) -> Any:
    if isinstance(widget, QComboBox):
        return widget.currentText()
    if isinstance(widget, QAbstractSpinBox | QLineEdit | QLabel):
        return widget.text()
    if isinstance(widget, QAbstractButton):
        return widget.isChecked() if widget.isCheckable() else None
    if isinstance(widget, QAbstractSlider):
        return widget.value()
    if isinstance(widget, QTabBar):
        return widget.tabText(widget.currentIndex())
    if isinstance(widget, QAbstractScrollArea):
        bar = widget.verticalScrollBar()
        return [bar.minimum(), bar.value(), bar.maximum()]
    return None


def _parts(widget: QWidget) -> Iterator[dict[str, Any]]:
    """What in a widget can be clicked by its name, and is no widget of its own."""
    if isinstance(widget, QTabBar):
        for index in range(widget.count()):
            yield _part(widget, widget.tabText(index), widget.tabRect(index))
    elif isinstance(widget, QMenu | QMenuBar):
        for action in widget.actions():
            if action.isVisible() and not action.isSeparator():
                where = widget.actionGeometry(action)
                yield _part(widget, action.text(), where, action.isEnabled())
    elif isinstance(widget, QHeaderView):
        pass
    elif isinstance(widget, QAbstractItemView) and widget.isVisible():
        model, view = widget.model(), widget.viewport()
        for row in range(min(model.rowCount(), 200) if model else 0):
            index = model.index(row, 0)
            where = widget.visualRect(index)
            seen = view.rect().contains(where.center())
            yield _part(view, str(index.data() or ""), where, seen=seen)


def _part(
    widget: QWidget,
    name: str,
    where: QRect,
    enabled: bool = True,
    *,
    seen: bool = True,
) -> dict[str, Any]:
    """What can be clicked: its name, where it is, and whether it is in sight."""
    name = name.replace("&", "").split("\t")[0]
    rect = _rect(widget, where)
    return {"name": name, "rect": rect, "enabled": enabled, "seen": seen}


def _rect(widget: QWidget, rect: QRect) -> Rect:
    return [*_global(widget, rect.topLeft()), rect.width(), rect.height()]


def _global(widget: QWidget, point: QPoint) -> list[int]:
    place = widget.mapToGlobal(point)
    return [place.x(), place.y()]
