"""Lets what is being typed take effect, and leaves the focus where it is."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit


def commit_edit() -> None:
    """Let what is being typed take effect, as when the focus leaves the field.

    What is about to be done must know of it: a key leaves the focus in the field, and
    where buttons take no focus, as on macOS, so does a press of one. Only the field
    hears of it: a button that loses the focus while it is pressed is not clicked.
    """
    field = QApplication.focusWidget()
    if isinstance(field, QAbstractSpinBox | QLineEdit):
        for kind in (QEvent.Type.FocusOut, QEvent.Type.FocusIn):
            event = QFocusEvent(kind, Qt.FocusReason.OtherFocusReason)
            QApplication.sendEvent(field, event)
