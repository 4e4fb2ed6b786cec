"""Labels that are there only while they have something to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

PROBLEM_COLOR = "#d9544d"


class Sentence(QLabel):
    """A sentence, wrapped to the width; hidden while empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.hide()

    def say(self, text: str) -> None:
        """Show a sentence, or hide with an empty one."""
        self.setText(text)
        self.setVisible(bool(text))


class Problem(Sentence):
    """A sentence about what is wrong."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setStyleSheet(f"color: {PROBLEM_COLOR};")
