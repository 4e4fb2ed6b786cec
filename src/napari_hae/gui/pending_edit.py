"""Lets what is being typed take effect, and leaves the focus where it is."""

from __future__ import annotations

from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QLineEdit


def commit_edit() -> None:
    """Let what is being typed take effect, as Enter does.

    What is about to be done must know of it: a field tells of what was typed when the
    focus leaves it, but a key leaves it there, and where buttons take no focus, as on
    macOS, so does a press of one. The focus is not moved: a button that loses it while
    it is pressed is not clicked.
    """
    field = QApplication.focusWidget()
    if isinstance(field, QAbstractSpinBox):
        field.interpretText()
    elif isinstance(field, QLineEdit):
        field.editingFinished.emit()
