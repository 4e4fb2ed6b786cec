"""Panel of the journal in sentences: actions of the user, the agent and the program."""

from __future__ import annotations

import html
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtGui import QTextCharFormat, QTextCursor
from qtpy.QtWidgets import QPlainTextEdit, QVBoxLayout

from napari_hae.experiment.journal_events import WarningEvent, WarningOverEvent
from napari_hae.experiment.sentences import sentence
from napari_hae.gui.noted import follow_journal
from napari_hae.gui.panels import LazyPanel
from napari_hae.printable import printable_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.gui.session import Session

WARNING_COLOR, WARNING_SIGN, OVER_SIGN = "#e69f00", "⚠", "✓"
MOST_LINES = 2000
"""Number of lines shown; older ones are in the record."""


class StoryPanel(LazyPanel):
    """Warnings, interventions and messages, the newest at the bottom."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._untold: list[Callable[[], None]] = []
        self.text = QPlainTextEdit()
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(MOST_LINES)
        self.text.setAccessibleName("Journal of the run")
        self.text.setPlaceholderText(
            "Nothing has happened yet. Warnings, and what you change, appear here."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 0)
        layout.addWidget(self.text)
        session.started.connect(self._on_started)
        session.failed.connect(self._on_failed)
        follow_journal(session.live, self._on_noted)

    def draw(self) -> None:
        """Append new lines; the scroll position is kept while the user reads."""
        for tell in self._untold:
            tell()
        self._untold.clear()

    def show_next_warning(self) -> None:
        """Mark the next warning; after the last one, the first."""
        self.draw_now()
        if not self.text.find(WARNING_SIGN):
            self.text.moveCursor(QTextCursor.MoveOperation.Start)
            self.text.find(WARNING_SIGN)
        cursor = self.text.textCursor()
        cursor.movePosition(
            QTextCursor.MoveOperation.EndOfBlock, QTextCursor.MoveMode.KeepAnchor
        )
        self.text.setTextCursor(cursor)

    def _on_started(self) -> None:
        self._untold.clear()
        self.text.clear()

    def _on_noted(self, events: list[JournalEvent]) -> None:
        for event in events:
            at = datetime.fromisoformat(event.time).astimezone()
            if isinstance(event, WarningOverEvent):
                self._untold.append(partial(self._mark_over, event))
            is_warning = isinstance(event, WarningEvent)
            self._tell(at, sentence(event), is_warning=is_warning)

    def _on_failed(self, what: str, why: str) -> None:
        self._tell(datetime.now(), f"{what}: {why}", is_warning=True)

    def _tell(self, at: datetime, text: str, *, is_warning: bool) -> None:
        line = f"{at:%H:%M:%S} &nbsp;{html.escape(text)}"
        if is_warning:
            line = f'<span style="color: {WARNING_COLOR}">{WARNING_SIGN}</span> {line}'
        self._untold.append(partial(self.text.appendHtml, line))
        self.refresh()

    def _mark_over(self, event: WarningOverEvent) -> None:
        """Mark the lines of a warning that no longer holds."""
        since = f"over since step {event.since + 1}"
        block = self.text.document().firstBlock()
        while block.isValid():
            text = block.text()
            if text.startswith(WARNING_SIGN) and printable_line(event.text) in text:
                said = text.replace(WARNING_SIGN, OVER_SIGN, 1)
                cursor = QTextCursor(block)
                cursor.movePosition(
                    QTextCursor.MoveOperation.EndOfBlock,
                    QTextCursor.MoveMode.KeepAnchor,
                )
                cursor.insertText(f"{said} ({since})", QTextCharFormat())
            block = block.next()
