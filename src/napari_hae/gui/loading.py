"""Background loading of the docks' dependencies, with their names shown meanwhile."""

from __future__ import annotations

import importlib
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QApplication, QProgressDialog

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

SHOWN_AFTER_MS = 300


def _libraries() -> None:
    # Modules that open no window may be imported on any thread.
    for name in ("scipy.optimize", "scipy.stats", "pandas", "skimage.measure"):
        importlib.import_module(name)


def _experiment() -> None:
    importlib.import_module("napari_hae.experiment.runner")
    importlib.import_module("napari_hae.experiment.learning")


def _plugins() -> None:
    plugins = importlib.import_module("napari_hae.plugins")
    for group in (plugins.INSTRUMENTS, plugins.SCALARIZERS):
        plugins.load_all(group)
    plugins.load_all(plugins.ACQUISITION_FUNCTIONS)


PARTS: dict[str, Callable[[], None]] = {
    "numerical libraries": _libraries,
    "agent and experiment": _experiment,
    "microscopes and scalarizers": _plugins,
}
"""Slow imports by name, in order."""


class Loading(QObject):
    """Load all parts on a thread of its own, then call a function on Qt's.

    A part that cannot be loaded is left to the code that needs it, which reports the
    error.
    """

    _begun = Signal(int, str)
    _ended = Signal()

    def __init__(self, what: str, then: Callable[[], object]) -> None:
        window = QApplication.activeWindow()
        super().__init__(window or QApplication.instance())
        self._what, self._then = what, then
        self._dialog = QProgressDialog(what, "", 0, len(PARTS), window)
        self._dialog.setCancelButton(None)
        self._dialog.setWindowModality(Qt.WindowModality.NonModal)
        self._dialog.setMinimumDuration(SHOWN_AFTER_MS)
        self._dialog.setAccessibleName("Progress")
        self._begun.connect(self._on_begun)
        self._ended.connect(self._on_ended)

    @property
    def text(self) -> str:
        """Description of the part that is being loaded."""
        return self._dialog.labelText()

    def start(self) -> None:
        """Start loading, and return at once."""
        threading.Thread(
            target=self._load, name="napari-hae-imports", daemon=True
        ).start()

    def _load(self) -> None:
        for number, (name, load) in enumerate(PARTS.items()):
            # A window that was closed meanwhile receives no result.
            with suppress(RuntimeError):
                self._begun.emit(number, name)
            try:
                load()
            except Exception:
                logger.exception("%s could not be loaded ahead", name)
        with suppress(RuntimeError):
            self._ended.emit()

    def _on_begun(self, number: int, name: str) -> None:
        self._dialog.setLabelText(f"{self._what}: loading {name} …")
        self._dialog.setValue(number)

    def _on_ended(self) -> None:
        self._dialog.close()
        self._dialog.deleteLater()
        self._then()
        self.deleteLater()


def when_loaded(what: str, then: Callable[[], object]) -> Loading:
    """Call a function on Qt's thread once all parts that it needs are loaded."""
    loading = Loading(what, then)
    loading.start()
    return loading
