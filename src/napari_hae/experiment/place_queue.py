"""Places that a person wants to be measured next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Pixel = tuple[int, int]
OldAndNew = tuple[tuple[Pixel, ...], tuple[Pixel, ...]]
"""What waited before a change, and what waits after it."""


class PlaceQueue:
    """Pixels `(row, column)` of the survey image, in order; for any thread.

    What is added is taken when the journal has it; what is removed, no more at once.
    """

    def __init__(self, pixels: Iterable[Pixel] = ()) -> None:
        self._lock = threading.Lock()
        self._pixels = self._noted = tuple(pixels)
        self._taken: set[Pixel] = set()

    @property
    def pixels(self) -> tuple[Pixel, ...]:
        """All that wait, the next one first."""
        return self._pixels

    @property
    def noted(self) -> tuple[Pixel, ...]:
        """All that wait as the journal has it, by which a run goes."""
        return self._noted

    def note(self, pixels: Iterable[Pixel]) -> None:
        """The journal has these now."""
        self._noted = tuple(pixels)

    def add(self, pixels: Iterable[Pixel], *, first: bool = False) -> OldAndNew:
        """Put pixels at the end, or at the beginning; those that wait already stay."""
        with self._lock:
            old = self._pixels
            more = tuple(p for p in dict.fromkeys(pixels) if p not in old)
            self._taken.difference_update(more)
            self._pixels = more + old if first else old + more
            return old, self._pixels

    def replace(self, pixels: Iterable[Pixel]) -> OldAndNew:
        """Reorder or empty: keep these of the pixels that wait, in this order.

        What was taken meanwhile does not come back.
        """
        with self._lock:
            old = self._pixels
            self._pixels = tuple(p for p in dict.fromkeys(pixels) if p in old)
            return old, self._pixels

    def remove(self, pixel: Pixel) -> OldAndNew:
        """Take a pixel off, if it waits."""
        with self._lock:
            old = self._pixels
            self._pixels = tuple(p for p in old if p != pixel)
            return old, self._pixels

    def take(self) -> Pixel | None:
        """The next pixel, which waits no longer; None if there is none."""
        with self._lock:
            first = next((p for p in self._noted if p in self._pixels), None)
            if first is not None:
                self._pixels = tuple(p for p in self._pixels if p != first)
                self._noted = tuple(p for p in self._noted if p != first)
                self._taken.add(first)
            return first

    def without_taken(self, pixels: Iterable[Pixel]) -> list[Pixel]:
        """Those of the pixels that were not taken since they were added."""
        with self._lock:
            return [pixel for pixel in pixels if pixel not in self._taken]
