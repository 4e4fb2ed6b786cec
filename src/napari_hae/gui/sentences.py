"""Labels that are there only while they have something to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QSize
    from qtpy.QtGui import QResizeEvent

PROBLEM_COLOR = "#d9544d"


class SteadyLabel(QWidget):
    """A label whose text may change often.

    For each new text of a label in a layout Qt lays out all of the window, and paints
    it. This one is laid out only where the new text needs more or less room.

    Parameters
    ----------
    wraps
        Whether lines are wrapped to the width; else it becomes as wide as its widest
        text.
    """

    def __init__(self, parent: QWidget | None = None, *, wraps: bool = True) -> None:
        super().__init__(parent)
        # Not in a layout: that is the point.
        self._label = QLabel(self)
        self._label.setWordWrap(wraps)
        policy = self._label.sizePolicy()
        policy.setHeightForWidth(wraps)
        self.setSizePolicy(policy)
        self._room = 0

    def text(self) -> str:
        """What it says."""
        return self._label.text()

    def setText(self, text: str) -> None:
        """Say something else."""
        self._label.setText(text)
        self._look_for_room()

    def sizeHint(self) -> QSize:
        """As the label's; without wrapping as wide as its widest text."""
        hint = self._label.sizeHint()
        if not self._label.wordWrap():
            hint.setWidth(max(hint.width(), self._room))
        return hint

    def minimumSizeHint(self) -> QSize:
        """As the label's."""
        return self._label.minimumSizeHint()

    def heightForWidth(self, width: int) -> int:
        """As the label's."""
        return self._label.heightForWidth(width)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Give the label all of it."""
        super().resizeEvent(event)
        self._label.resize(event.size())
        self._look_for_room()

    def _look_for_room(self) -> None:
        label = self._label
        if label.wordWrap():
            room = label.heightForWidth(self.width())
        else:
            room = max(self._room, label.sizeHint().width())
        if room != self._room:
            self._room = room
            self.updateGeometry()


class Sentence(SteadyLabel):
    """A sentence, wrapped to the width; hidden while empty."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
