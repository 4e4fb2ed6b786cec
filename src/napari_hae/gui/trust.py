"""Consent to code, files and hosts named in a record."""

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
    """Ask whether all these may be used; the default answer is no."""
    named = "\n".join(f"    {each}" for each in outside)
    box = QMessageBox(
        QMessageBox.Icon.Warning,
        "Use what the record names?",
        f"The record names:\n\n{named}\n\nIf you go on, the code is run, the files are "
        "read and the hosts are contacted. Go on only if you trust whoever made it.",
        QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
        parent,
    )
    # A record must not format the text of the question.
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setDefaultButton(QMessageBox.StandardButton.No)
    answer: int = box.exec()
    return answer == QMessageBox.StandardButton.Yes.value


class RecordTrust:
    """Code, files and hosts named in a session's record, until the user agrees to them.

    Parameters
    ----------
    session
        Session whose settings may come from the record.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._outside: tuple[str, ...] = ()
        self.is_own = True
        """True if the record was written in this session, or the user trusts it."""

    def opened(self, outside: tuple[str, ...]) -> None:
        """Register an opened record, and the parts that its settings name."""
        self._outside, self.is_own = outside, False

    def made_here(self) -> None:
        """Register a record that this session writes."""
        self._outside, self.is_own = (), True

    def covers_settings(self) -> bool:
        """Return whether the settings may be used; ask if they come from the record."""
        session = self._session
        named = set(self._outside) & set(session.settings.outside)
        if not named:
            return True
        return self._covers([each for each in self._outside if each in named])

    def covers_record(self) -> bool:
        """Return whether the record may be continued; ask if it names anything."""
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
