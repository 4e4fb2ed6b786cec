"""The buttons of the plugin's docks, by dock and name, and those that were clicked.

Part of the program: a test learns here what was clicked from the buttons themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QDockWidget,
    QLabel,
    QMenu,
    QTabBar,
    QWidget,
)
from superqt import QCollapsible

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = "(napari-hae)"
_LISTENED_TO = "listened to"
_clicked: list[str] = []


def name_of(widget: QWidget) -> str:
    """What a person, or a screen reader, calls a widget."""
    name = widget.accessibleName()
    if not name and isinstance(widget, QAbstractButton | QLabel):
        name = widget.text()
    if not name and isinstance(widget, QDockWidget | QMenu):
        name = widget.windowTitle() or getattr(widget, "title", str)()
    if not name and isinstance(widget, QCollapsible):
        name = widget.text()
    return (name or widget.objectName()).replace("&", "")


def around(widget: QWidget) -> Iterator[QWidget]:
    """What a widget lies in, from its parent to its window."""
    while (parent := widget.parentWidget()) is not None:
        yield parent
        widget = parent


def title(button: QAbstractButton) -> str:
    """A button as `Dock: name`; empty where it is none of the plugin's docks."""
    if not _is_own(button):
        return ""
    docks = (each for each in around(button) if isinstance(each, QDockWidget))
    dock = next(docks, None)
    if dock is None or OURS not in dock.windowTitle():
        return ""
    return f"{dock.windowTitle().split()[0]}: {name_of(button)}"


def titles(window: QWidget) -> set[str]:
    """All buttons of the plugin's docks in a window, seen or not."""
    return set(map(title, window.findChildren(QAbstractButton))) - {""}


def listen(button: QAbstractButton) -> None:
    """Note from now on when a button is clicked, under the name that it had then."""
    if button.property(_LISTENED_TO):
        return
    button.setProperty(_LISTENED_TO, True)
    pressed = ""

    def on_pressed() -> None:
        nonlocal pressed
        pressed = title(button)

    button.pressed.connect(on_pressed)
    button.clicked.connect(lambda: _clicked.append(pressed))


def clicked() -> list[str]:
    """What was clicked since this was asked last, as `Dock: name`."""
    clicks = list(filter(None, _clicked))
    _clicked.clear()
    return clicks


def _is_own(button: QAbstractButton) -> bool:
    """Whether a button is no part of Qt's tables, tab bars and docks, nor napari's."""
    parent = button.parentWidget()
    kinds = (QAbstractItemView, QDockWidget, QTabBar)
    return not isinstance(parent, kinds) and type(parent).__name__ != "QtCustomTitleBar"
