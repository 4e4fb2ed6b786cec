"""Abort from the window: a button, a key, and the call off Qt's thread."""

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
"""A closing window waits so long for an instrument that does not come back."""


class AbortButton(QPushButton):
    """Blanks the beam and ends what is running; always enabled.

    What it does is connected where all sessions are known (`sessions.py`): a person who
    presses it means the beam, whichever window it belongs to.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("ABORT", parent)
        self.setToolTip(
            "Blank the beam at once, end what is running, and end the run. "
            f"Key: {ABORT_KEY}, in any window of the program."
        )
        # It stands beside four others.
        self.setMinimumWidth(48)
        self.setStyleSheet(f"font-weight: bold; color: {COLOR};")


def abort_key(window: QWidget, abort: Callable[[], None]) -> QShortcut:
    """The key that aborts, wherever the focus is.

    It belongs to the window and to no dock: the key of a dock that lies behind another
    one is dead. Where several windows have it, Qt finds it ambiguous.
    """
    shortcut = QShortcut(QKeySequence(ABORT_KEY), window)
    shortcut.setContext(Qt.ShortcutContext.ApplicationShortcut)
    shortcut.setAutoRepeat(False)
    shortcut.activated.connect(abort)
    shortcut.activatedAmbiguously.connect(abort)
    return shortcut


class Aborting(QObject):
    """Aborts on threads of their own, as an instrument may take its time.

    Each press has one: an abort that hangs must not hold up the next.
    """

    ended = Signal(str)
    """Emits what went wrong, in words; nothing where all went well."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._threads: list[threading.Thread] = []
        self.presses = 0
        """How often it was pressed."""

    def press(self, abort: Callable[[], None]) -> None:
        """Abort, and return at once."""
        self.presses += 1

        def work() -> None:
            problem = ""
            try:
                abort()
            except Exception as error:
                problem = str(error) or type(error).__name__
            # A window that was closed meanwhile hears no more of it.
            with suppress(RuntimeError):
                self.ended.emit(problem)

        thread = threading.Thread(target=work, name="napari-hae-abort", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait for what is under way, for some seconds."""
        for thread in self._threads:
            thread.join(CLOSING_S)
