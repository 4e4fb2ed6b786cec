"""The viewer's canvas, which is drawn once for several changes of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QAbstractItemView

if TYPE_CHECKING:
    from napari.viewer import Viewer


class Canvas:
    """Holds back the drawing of a viewer's canvas and of its layer list.

    napari draws both after each change of a layer, which takes 20 to 50 ms without a
    graphics card, and a step changes eight layers.
    """

    def __init__(self, viewer: Viewer) -> None:
        window = viewer.window._qt_window  # noqa: SLF001
        self._widgets = [
            *window.findChildren(QOpenGLWidget),
            *window.findChildren(QAbstractItemView),
        ]

    def hold(self, on: bool) -> None:
        """Draw nothing for now, or draw what has changed and go on drawing."""
        for widget in self._widgets:
            if widget.updatesEnabled() == on:
                widget.setUpdatesEnabled(not on)
