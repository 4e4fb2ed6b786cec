"""Scrolling past controls: the wheel changes a control only if it has the focus."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QWidget,
)

CONTROLS = (QAbstractSlider, QAbstractSpinBox, QComboBox)
"""Controls that Qt changes by the wheel, also where the pointer only passes over
them."""


def scroll_past(part: QWidget) -> None:
    """Let the wheel scroll past the controls in a part of a dock.

    One that has the focus is changed by it, but a combo box never. Call it again for
    controls that are created after their dock.
    """
    past = _Past(part)
    for control in part.findChildren(QWidget):
        if isinstance(control, CONTROLS) and not isinstance(control, QScrollBar):
            if control.focusPolicy() is Qt.FocusPolicy.WheelFocus:
                # Otherwise the wheel would give it the focus first.
                control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            control.installEventFilter(past)


class _Past(QObject):
    """Event filter that passes the wheel to the surroundings of a control."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() is not QEvent.Type.Wheel:
            return False
        passes_by = isinstance(watched, QComboBox) or not watched.hasFocus()
        if passes_by:
            event.ignore()
        return passes_by
