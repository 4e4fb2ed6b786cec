"""Labels that are visible only while they have a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QSize
    from qtpy.QtGui import QResizeEvent

PROBLEM_COLOR = "#d9544d"


class SteadyLabel(QWidget):
    """A label whose text may change often.

    For each new text of a label in a layout, Qt lays out and paints the whole window.
    This one is laid out again only where the new text needs another size.

    Parameters
    ----------
    wraps
        True if lines are wrapped to the width; else the label is as wide as its widest
        text.
    """

    def __init__(self, parent: QWidget | None = None, *, wraps: bool = True) -> None:
        super().__init__(parent)
        # Not in a layout, which is the purpose of this class.
        self._label = QLabel(self)
        self._label.setWordWrap(wraps)
        policy = self._label.sizePolicy()
        policy.setHeightForWidth(wraps)
        self.setSizePolicy(policy)
        self._room = 0

    def text(self) -> str:
        """Current text."""
        return self._label.text()

    def setText(self, text: str) -> None:
        """Set the text."""
        self._label.setText(text)
        self._look_for_room()

    def sizeHint(self) -> QSize:
        """Return the label's size; without wrapping the width of its widest text."""
        hint = self._label.sizeHint()
        if not self._label.wordWrap():
            hint.setWidth(max(hint.width(), self._room))
        return hint

    def minimumSizeHint(self) -> QSize:
        """Return the label's minimum size."""
        return self._label.minimumSizeHint()

    def heightForWidth(self, width: int) -> int:
        """Return the label's height."""
        return self._label.heightForWidth(width)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Resize the label to fill the widget."""
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
        """Show a sentence; hide if it is empty."""
        self.setText(text)
        self.setVisible(bool(text))


class Problem(Sentence):
    """Sentence about a problem."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setStyleSheet(f"color: {PROBLEM_COLOR};")
