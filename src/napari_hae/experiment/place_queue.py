"""Queue of places that the user wants to be measured next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Pixel = tuple[int, int]
OldAndNew = tuple[tuple[Pixel, ...], tuple[Pixel, ...]]
"""Queue before and after a change."""


class PlaceQueue:
    """Pixels `(row, column)` of the survey image, in order; safe for any thread.

    Added pixels are taken only after they are in the journal; removed ones are skipped
    at once.
    """

    def __init__(self, pixels: Iterable[Pixel] = ()) -> None:
        self._lock = threading.Lock()
        self._pixels = self._noted = tuple(pixels)
        self._taken: set[Pixel] = set()

    @property
    def pixels(self) -> tuple[Pixel, ...]:
        """Return all queued pixels, the next one first."""
        return self._pixels

    @property
    def noted(self) -> tuple[Pixel, ...]:
        """Return the queued pixels as in the journal, which the run follows."""
        return self._noted

    def note(self, pixels: Iterable[Pixel]) -> None:
        """Set the queued pixels that are in the journal."""
        self._noted = tuple(pixels)

    def add(self, pixels: Iterable[Pixel], *, first: bool = False) -> OldAndNew:
        """Add pixels at the end or the beginning; those already queued stay."""
        with self._lock:
            old = self._pixels
            more = tuple(p for p in dict.fromkeys(pixels) if p not in old)
            self._taken.difference_update(more)
            self._pixels = more + old if first else old + more
            return old, self._pixels

    def replace(self, pixels: Iterable[Pixel]) -> OldAndNew:
        """Reorder or empty the queue: keep these of the queued pixels, in this order.

        Pixels taken meanwhile are not added again.
        """
        with self._lock:
            old = self._pixels
            self._pixels = tuple(p for p in dict.fromkeys(pixels) if p in old)
            return old, self._pixels

    def remove(self, pixel: Pixel) -> OldAndNew:
        """Remove a pixel, if it is queued."""
        with self._lock:
            old = self._pixels
            self._pixels = tuple(p for p in old if p != pixel)
            return old, self._pixels

    def take(self) -> Pixel | None:
        """Remove and return the next pixel; None if there is none."""
        with self._lock:
            first = next((p for p in self._noted if p in self._pixels), None)
            if first is not None:
                self._pixels = tuple(p for p in self._pixels if p != first)
                self._noted = tuple(p for p in self._noted if p != first)
                self._taken.add(first)
            return first

    def without_taken(self, pixels: Iterable[Pixel]) -> list[Pixel]:
        """Return those of the pixels that were not taken since they were added."""
        with self._lock:
            return [pixel for pixel in pixels if pixel not in self._taken]
