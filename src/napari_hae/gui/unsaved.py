"""Rescue of spectra whose record cannot be written any more, to another folder."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMessageBox, QPushButton, QWidget

from napari_hae.experiment.events import RunPhase

if TYPE_CHECKING:
    from napari_hae.experiment.runner import Runner
    from napari_hae.gui.session import Session

UNSAVED = (
    "{}, and its spectra are in memory only.\n\nSave them to a folder that you choose, "
    "or close the window: they are then saved beside the record, or else in the folder "
    "for temporary files."
)

logger = logging.getLogger(__name__)


class Unsaved(QObject):
    """Run with spectra that are not on disk, while it waits or after it ended.

    A run that ends saves them itself; it is kept here if that failed.
    """

    changed = Signal()
    """Emit when there are such spectra, or when they are saved."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._ended: list[Runner] = []
        session.started.connect(self._forget_saved)

    @property
    def runner(self) -> Runner | None:
        """Run that the user may save now, or has just saved; None without one."""
        waits = self._session.runner
        is_held = self._session.state is RunPhase.PAUSED
        if waits is not None and is_held and waits.record.trouble:
            return waits
        return self._ended[-1] if self._ended else None

    def keep(self, runner: Runner) -> None:
        """Keep a run that has ended, if it has such spectra."""
        if runner.record.is_unsaved:
            self._ended.append(runner)
            self.changed.emit()

    def save(self, folder: Path) -> None:
        """Save all spectra, with all their data, as a record in a folder."""
        runner, session = self.runner, self._session
        if runner is None:
            return

        def work() -> Path:
            return runner.rescue(folder)

        def done(path: Path) -> None:
            session.said.emit(f"The spectra so far are saved: {path}")
            self.changed.emit()

        session.do("Saving the spectra", work, done)

    def lets_close(self, window: QWidget) -> bool:
        """Ask before closing whether to save them; return False if it stays open.

        Where no user can be asked they are saved by default, as in `close`.
        """
        runner = self.runner
        if runner is None or not runner.record.is_unsaved:
            return True
        box = QMessageBox(window)
        box.setIcon(QMessageBox.Icon.Warning)
        box.setText(UNSAVED.format(runner.record.trouble))
        save = box.addButton("Save to…", QMessageBox.ButtonRole.AcceptRole)
        close = box.addButton("Close", QMessageBox.ButtonRole.DestructiveRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is not save:
            return box.clickedButton() is close
        chosen = QFileDialog.getExistingDirectory(window, "Save the spectra to")
        if not chosen:
            return False
        try:
            runner.rescue(Path(chosen))
        except OSError as error:
            self._session.failed.emit("Saving the spectra failed", str(error))
            return False
        return True

    def close(self, runner: Runner | None = None) -> None:
        """Save remaining spectra as the window closes, and log the path.

        This includes a run that has just ended, and has saved its spectra itself.
        """
        just_ended = (
            [runner] if runner is not None and runner not in self._ended else []
        )
        for each in self._ended + just_ended:
            if not each.record.trouble:
                continue
            try:
                saved = each.record.saved_at or each.rescue()
                logger.warning("all spectra are saved: %s", saved)
            except OSError:
                logger.exception("spectra of %s are lost", each.record.path)

    def _forget_saved(self) -> None:
        self._ended = [each for each in self._ended if each.record.is_unsaved]
        self.changed.emit()


class SaveElsewhereButton(QPushButton):
    """Ask for a folder; visible only if data could not be recorded.

    It stays visible but disabled once they are saved: no control may move below the
    pointer.
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
