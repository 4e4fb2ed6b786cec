"""A widget of the program as it was when it was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Place = tuple[float, float]
BOX_PX = 18
"""The box of a check box is not wider than this."""


@dataclass(frozen=True)
class Control:
    """A widget, and what a person sees of it."""

    id: int
    kinds: list[str]
    name: str
    title: str
    tip: str
    within: list[str]
    around: list[int]
    rect: list[int]
    seen: list[int] | None
    shown: bool
    enabled: bool
    focus: bool
    value: Any
    parts: list[dict[str, Any]]

    @property
    def middle(self) -> Place:
        """Where to point at it; at its box, where it is one to tick."""
        left, top, _, height = self.rect
        if "QCheckBox" in self.kinds:
            return middle((left, top, min(height, BOX_PX), height))
        return middle(self.rect)

    @property
    def is_whole(self) -> bool:
        """Whether its middle, and all of its height that can be, is in sight."""
        if self.seen is None:
            return False
        (x, y), (left, top, width, height) = self.middle, self.seen
        return left <= x < left + width and top <= y < top + height


def middle(rect: Sequence[float]) -> Place:
    """The middle of `(left, top, width, height)`."""
    left, top, width, height = rect
    return left + width // 2, top + height // 2


def heads(controls: Iterable[Control]) -> list[Control]:
    """The heads of the sections of docks."""
    controls = list(controls)
    sections = {each.id for each in controls if "QCollapsible" in each.kinds}
    return [
        each
        for each in controls
        if "QPushButton" in each.kinds and sections.intersection(each.around[:1])
    ]
