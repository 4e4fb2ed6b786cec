"""Commit of the current edit without moving the focus."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit


def commit_edit() -> None:
    """Commit the current edit, as when the focus leaves the field.

    The next action must use the new value: a keyboard shortcut leaves the focus in the
    field, and where buttons take no focus, as on macOS, so does a press of one. Only
    the field is notified: a button that loses the focus while it is pressed is not
    clicked.
    """
    field = QApplication.focusWidget()
    if isinstance(field, QAbstractSpinBox | QLineEdit):
        for kind in (QEvent.Type.FocusOut, QEvent.Type.FocusIn):
            event = QFocusEvent(kind, Qt.FocusReason.OtherFocusReason)
            QApplication.sendEvent(field, event)
