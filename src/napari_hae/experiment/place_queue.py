"""Places that a person wants to be measured next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Pixel = tuple[int, int]


class PlaceQueue:
    """Pixels `(row, column)` of the survey image, in order; for any thread."""

    def __init__(self, pixels: Iterable[Pixel] = ()) -> None:
        self._lock = threading.Lock()
        self._pixels = tuple(pixels)

    @property
    def pixels(self) -> tuple[Pixel, ...]:
        """All that wait, the next one first."""
        return self._pixels

    def add(self, pixels: Iterable[Pixel], *, first: bool = False) -> None:
        """Put pixels at the end, or at the beginning; those that wait already stay."""
        with self._lock:
            new = tuple(p for p in dict.fromkeys(pixels) if p not in self._pixels)
            self._pixels = new + self._pixels if first else self._pixels + new

    def replace(self, pixels: Iterable[Pixel]) -> None:
        """Reorder or empty: keep these of the pixels that wait, in this order.

        What was taken meanwhile does not come back.
        """
        with self._lock:
            waiting = set(self._pixels)
            self._pixels = tuple(p for p in dict.fromkeys(pixels) if p in waiting)

    def take(self) -> Pixel | None:
        """The next pixel, which waits no longer; None if there is none."""
        with self._lock:
            if not self._pixels:
                return None
            first, *rest = self._pixels
            self._pixels = tuple(rest)
            return first
