"""A real pointer and keyboard: they go to places and press what is there."""

from __future__ import annotations

import contextlib
import subprocess
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from eyes import PATIENCE_S, Eyes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from control import Control, Place


class Pointer(Eyes):
    """Pointer and keyboard on one screen, and eyes in the program that runs there."""

    def __init__(self, environment: dict[str, str], helper: Path) -> None:
        super().__init__(helper)
        self._environment = environment

    def do(self, *words: object) -> None:
        """Have xdotool do something."""
        command = ["xdotool", *map(str, words)]
        subprocess.run(command, env=self._environment, check=True, timeout=PATIENCE_S)

    def move(self, place: Place) -> None:
        """Move the pointer to a place on the screen."""
        self.do("mousemove", *map(round, place))
        # What came before this answer was seen by the program.
        self.ask("pointer")

    def press(self) -> None:
        """Press the button where the pointer is."""
        self.do("mousedown", 1)
        self.ask("pointer")

    def let_go(self) -> None:
        """Let the button go."""
        self.do("mouseup", 1)
        self.ask("pointer")

    def click_at(self, place: Place) -> None:
        """Click at a place on the screen."""
        self.move(place)
        self.do("click", "--delay", 0, 1)

    def drag(self, places: Sequence[Place], *, between: int = 6) -> None:
        """Press at the first place, drag over all others, and let go at the last."""
        self.move(places[0])
        self.press()
        for start, end in pairwise(np.asarray(places, dtype=float)):
            for part in np.linspace(0, 1, between + 1)[1:]:
                self.move(tuple(start + part * (end - start)))
        self.let_go()

    def wheel(self, place: Place, *, down: bool, times: int = 1) -> None:
        """Turn the wheel over a place."""
        self.move(place)
        self.do("click", "--repeat", times, "--delay", 10, 5 if down else 4)

    def scroll(
        self, area: Control, place: Place, *, down: bool, times: int = 1
    ) -> bool:
        """Turn the wheel over a place; whether the area around it could scroll."""
        low, was, high = self.again(area).value
        if was == (high if down else low):
            return False
        self.wheel(place, down=down, times=times)
        self.until(lambda: self.again(area).value[1] != was, "the wheel scrolls")
        if times > 1:
            self.at_rest(area)
        return True

    def key(self, *keys: str) -> None:
        """Press keys, one after the other."""
        self.do("key", "--clearmodifiers", *keys)

    @contextlib.contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Hold a key down."""
        self.do("keydown", key)
        self.ask("pointer")
        yield
        self.do("keyup", key)

    def write(self, text: str) -> None:
        """Type a text in place of what stands where the focus is."""
        self.key("ctrl+a")
        if text:
            self.do("type", "--delay", 8, text)
        else:
            self.key("BackSpace")

    def tab_to(self, control: Control, *, back: bool = False) -> None:
        """Go to a control by the tab key."""
        for _ in range(200):
            if self.has_focus(control):
                return
            self.key("shift+Tab" if back else "Tab")
            self.ask("pointer")
        raise AssertionError(f"the tab key does not lead to {control.name!r}")

    def over_canvas(self, point: Sequence[float]) -> None:
        """Move over the image until napari has the pointer at `(y, x)` in nm."""
        (place,) = self.ask("canvas", points=[list(point)])
        offsets = [(0, 0), (1, 0), (0, 1)]

        def is_there() -> bool:
            # napari leaves out moves that come too soon after another.
            offsets.append(offsets.pop(0))
            self.move(np.add(place, offsets[0]))
            cursor = self.ask("cursor")
            away = np.abs(np.subtract(cursor["position"], point)).max()
            return bool(away <= 3 * cursor["pixel"])

        self.until(is_there, f"napari has the pointer at {point}")

    def stroke(self, points: Sequence[Sequence[float]]) -> None:
        """Draw over the image with the button held, along `(y, x)` in nm."""
        self.over_canvas(points[0])
        self.press()
        for start, end in pairwise(np.asarray(points, dtype=float)):
            for part in np.linspace(0, 1, 5)[1:]:
                self.over_canvas([float(x) for x in start + part * (end - start)])
        self.let_go()
