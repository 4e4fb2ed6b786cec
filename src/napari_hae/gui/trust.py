"""Asks whether what a record names may be used: code, files and hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QMessageBox

from napari_hae.agent.recorded import FromRecord, not_trusted
from napari_hae.experiment.settings import ExperimentSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_hae.gui.session import Session


def agrees(parent: QWidget | None, outside: Sequence[str]) -> bool:
    """Ask whether all this may be used; the answer by default is no."""
    named = "\n".join(f"    {each}" for each in outside)
    box = QMessageBox(
        QMessageBox.Icon.Warning,
        "Use what the record names?",
        f"The record names:\n\n{named}\n\nIf you go on, the code is run, the files are "
        "read and the hosts are contacted. Go on only if you trust whoever made it.",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        parent,
    )
    # A record must not write the question.
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setDefaultButton(QMessageBox.StandardButton.No)
    answer: int = box.exec()
    return answer == QMessageBox.StandardButton.Yes.value


class RecordTrust:
    """What the record that a session shows names, until somebody agreed to it.

    Parameters
    ----------
    session
        Whose settings may come from the record.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._outside: tuple[str, ...] = ()
        self.is_own = True
        """Whether the record was written in this session, or was agreed to."""

    def opened(self, outside: tuple[str, ...]) -> None:
        """Take note of a record that was opened, and of what its settings name."""
        self._outside, self.is_own = outside, False

    def made_here(self) -> None:
        """Take note of a record that this session writes."""
        self._outside, self.is_own = (), True

    def covers_settings(self) -> bool:
        """Whether the settings may be used; asks if they are those of the record."""
        session = self._session
        named = set(self._outside) & set(session.settings.outside)
        if not named:
            return True
        return self._covers([each for each in self._outside if each in named])

    def covers_record(self) -> bool:
        """Whether the record may be gone on with; asks if it names anything."""
        return not self._outside or self._covers(self._outside)

    def _covers(self, named: Sequence[str]) -> bool:
        session = self._session
        if not agrees(QApplication.activeWindow(), named):
            session.failed.emit("Not begun", not_trusted(tuple(named)))
            return False
        self.made_here()
        values = session.settings.model_dump(mode="json")
        trusted = FromRecord(is_trusted=True)
        session.settings = ExperimentSettings.model_validate(values, context=trusted)
        session.settings_changed.emit(session.settings)
        return True
