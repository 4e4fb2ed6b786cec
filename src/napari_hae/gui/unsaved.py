"""Spectra whose record can be written no more: offered to be saved elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_hae.experiment.events import RunState

if TYPE_CHECKING:
    from napari_hae.experiment.runner import Runner
    from napari_hae.gui.session import Session

logger = logging.getLogger(__name__)


class Unsaved(QObject):
    """The run whose spectra are not all on disk, while it waits or after it ended.

    One that ends saves them by itself; it is kept here where that failed.
    """

    changed = Signal()
    """There are such spectra now, or they are saved."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._ended: list[Runner] = []
        session.started.connect(self._forget_saved)

    @property
    def runner(self) -> Runner | None:
        """The run that a person may save now, or has just saved; None without one."""
        waits = self._session.runner
        is_held = self._session.state is RunState.PAUSED
        if waits is not None and is_held and waits.record.trouble:
            return waits
        return self._ended[-1] if self._ended else None

    def keep(self, runner: Runner) -> None:
        """Keep a run that has ended, if it has such spectra."""
        if runner.record.is_unsaved:
            self._ended.append(runner)
            self.changed.emit()

    def save(self, folder: Path) -> None:
        """Save all spectra, with all that belongs to them, as a record in a folder."""
        runner, session = self.runner, self._session
        if runner is None:
            return

        def work() -> Path:
            return runner.rescue(folder)

        def done(path: Path) -> None:
            session.said.emit(f"The spectra so far are saved: {path}")
            self.changed.emit()

        session.do("Saving the spectra", work, done)

    def close(self) -> None:
        """Save what is left as the window closes: nobody can be asked any more."""
        for runner in self._ended:
            if not runner.record.is_unsaved:
                continue
            try:
                logger.warning("all spectra are saved: %s", runner.rescue())
            except OSError:
                logger.exception("spectra of %s are lost", runner.record.path)

    def _forget_saved(self) -> None:
        self._ended = [each for each in self._ended if each.record.is_unsaved]
        self.changed.emit()


class SaveElsewhereButton(QPushButton):
    """Asks for a folder; there only where something could not be recorded.

    It stays when that is saved, and is dead: nothing may move below the pointer.
    """

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__("Save the unsaved spectra to…", parent)
        self._unsaved = session.unsaved
        self.setToolTip(
            "The record cannot be written. Choose a folder for a new one, with all "
            "spectra and all that belongs to them."
        )
        self.clicked.connect(self._on_clicked)
        session.unsaved.changed.connect(self.refresh)
        session.state_changed.connect(self.refresh)
        self.refresh()

    def refresh(self, _: object = None) -> None:
        """Show the button, or hide it."""
        runner = self._unsaved.runner
        self.setVisible(runner is not None)
        self.setEnabled(runner is not None and runner.record.is_unsaved)

    def _on_clicked(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Save the spectra to")
        if chosen:
            self._unsaved.save(Path(chosen))
