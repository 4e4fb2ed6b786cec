"""Long work outside Qt's main thread, with its result returned to that thread."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Background(QObject):
    """Queue of tasks on a thread of its own, run one after the other."""

    started = Signal(str)
    """Emit `(name: str)` when a task starts."""
    idle = Signal()
    """Emit when no task is left."""
    _ended = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = ThreadPoolExecutor(1, "napari-hae-window")
        self._waiting = 0
        self.closing = threading.Event()
        """Event set when the window closes: work that can end early should end."""
        self._ended.connect(self._on_ended)

    @property
    def is_busy(self) -> bool:
        """Return whether a task is running or waiting."""
        return self._waiting > 0

    def do(
        self,
        name: str,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Run `work` on the thread; pass the outcome to `done` or `failed` here."""
        self._waiting += 1
        self.started.emit(name)

        def report(future: Future[Any]) -> None:
            if not future.cancelled():
                self._ended.emit(future, done, failed)

        self._worker.submit(work).add_done_callback(report)

    def close(self) -> None:
        """Wait for the current task and end the thread; nothing is reported."""
        self.closing.set()
        self._ended.disconnect(self._on_ended)
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _on_ended(
        self,
        future: Future[Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._waiting -= 1
        if not self._waiting:
            self.idle.emit()
        error = future.exception()
        if error is None:
            done(future.result())
        elif isinstance(error, Exception):
            logger.info("background work failed", exc_info=error)
            failed(error)
