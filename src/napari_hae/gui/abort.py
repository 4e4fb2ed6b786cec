"""Abort from the window: a button, a key, and the call outside Qt's thread."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QPushButton, QWidget

if TYPE_CHECKING:
    from collections.abc import Callable

ABORT_KEY = "Ctrl+Shift+Backspace"
COLOR = "#ff6b61"
CLOSING_S = 5.0
"""Time for which a closing window waits for an instrument that does not return."""


class AbortButton(QPushButton):
    """Button that blanks the beam and ends the current action; always enabled.

    Its action is connected where all sessions are known (`sessions.py`): a user who
    presses it means the beam, whichever window it belongs to.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("ABORT", parent)
        self.setToolTip(
            "Blank the beam at once, end what is running, and end the run. "
            f"Key: {ABORT_KEY}, in any window of the program."
        )
        # It is placed beside four others.
        self.setMinimumWidth(48)
        self.setStyleSheet(f"font-weight: bold; color: {COLOR};")


def abort_key(window: QWidget, abort: Callable[[], None]) -> QShortcut:
    """Return the shortcut that aborts, wherever the focus is.

    It belongs to the window and to no dock: the shortcut of a dock hidden behind
    another one is inactive. Qt reports a shortcut of several windows as ambiguous,
    which aborts too.
    """
    shortcut = QShortcut(QKeySequence(ABORT_KEY), window)
    shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
    shortcut.setAutoRepeat(False)
    shortcut.activated.connect(abort)
    shortcut.activatedAmbiguously.connect(abort)
    return shortcut


class Aborting(QObject):
    """Run aborts on separate threads, as an instrument may be slow to respond.

    Each press has its own thread: an abort that hangs must not delay the next.
    """

    ended = Signal(str)
    """Emit `(error: str)` when an abort has ended; empty if it succeeded."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._threads: list[threading.Thread] = []
        self.presses = 0
        """Number of presses."""

    def press(self, abort: Callable[[], None]) -> None:
        """Abort, and return at once."""
        self.presses += 1

        def work() -> None:
            problem = ""
            try:
                abort()
            except Exception as error:
                problem = str(error) or type(error).__name__
            # A window that was closed meanwhile receives no result.
            with suppress(RuntimeError):
                self.ended.emit(problem)

        thread = threading.Thread(target=work, name="napari-hae-abort", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait a few seconds for aborts in progress."""
        for thread in self._threads:
            thread.join(CLOSING_S)
