"""Garbage collection on Qt's thread only.

Python collects on whichever thread allocates the next object. A closed window is a
reference cycle with Qt objects, which may be destroyed on Qt's thread only.
"""

from __future__ import annotations

import gc
from functools import cache

from qtpy.QtCore import QObject, QTimer

INTERVAL_MS = 1000
SPARE = 1_000_000
"""Number of new objects from which Python itself collects, on any thread, lest memory
runs out where Qt's event loop is not running, as during a cell of a notebook."""


class GarbageCollector(QObject):
    """Garbage collection by a timer while a window needs it, by Python's own rules."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[object] = []
        self._thresholds = gc.get_threshold()
        self._young = self._middle = 0
        """Collections of the first and of the second generation since the last of the
        next one."""
        self._new = self._old = 0
        """Objects that survived those, and number of objects after the last full
        collection."""
        self._timer = QTimer(self, interval=INTERVAL_MS)
        self._timer.timeout.connect(self._collect)

    def hold(self, window: object) -> None:
        """Collect on this thread only, from now on."""
        if not self._held:
            self._thresholds = gc.get_threshold()
            gc.set_threshold(SPARE, *self._thresholds[1:])
            self._timer.start()
        self._held.append(window)

    def release(self, window: object) -> None:
        """Hand collection back to Python if this was the last window."""
        if window not in self._held:
            return
        self._held.remove(window)
        if not self._held:
            self._timer.stop()
            gc.set_threshold(*self._thresholds)

    def _collect(self) -> None:
        first, second, third = self._thresholds
        count = gc.get_count()[0]
        if count <= first or not gc.isenabled():
            return
        generation, self._young = 0, self._young + 1
        if self._young > second:
            generation, self._young, self._middle = 1, 0, self._middle + 1
        # A full collection blocks the window: only where a quarter of the objects is
        # new.
        if self._middle > third and self._new > self._old / 4:
            generation, self._middle = 2, 0
        self._new += count - gc.collect(generation)
        if generation == 2:
            self._new, self._old = 0, len(gc.get_objects())


@cache
def garbage_collector() -> GarbageCollector:
    """Return the collector of this program."""
    return GarbageCollector()
