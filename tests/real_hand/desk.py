"""The program with its cockpit open, on one screen."""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import TYPE_CHECKING

from hand import Hand
from screen import program, source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTS_S = 180.0


class Source:
    """What lies in a window of another program, to be dragged from there."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._said = process.stdout
        x, y = self._said.readline().split()
        self.place = int(x), int(y)

    def drop(self, hand: Hand, target: tuple[float, float]) -> None:
        """Drag it to a place, and let go when it is welcome there."""
        hand.move(self.place)
        hand.press()
        for part in (0.05, 0.1, 0.5, 0.9, 0.95, 1.0):
            x, y = (a + part * (b - a) for a, b in zip(self.place, target, strict=True))
            hand.move((x, y))
        while self._said.readline().strip() != "CopyAction":
            pass
        hand.let_go()


class Desk:
    """Starts the program when it is wanted, and ends it."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment, self._folder = environment, folder
        self._open = contextlib.ExitStack()
        self._starts = 0
        self.process: subprocess.Popen | None = None

    @property
    def has_ended(self) -> bool:
        """Whether there is no program, or it has ended."""
        return self.process is None or self.process.poll() is not None

    @property
    def home(self) -> Path:
        """The home of whoever sits there, anew with each program."""
        return self._folder / f"home{self._starts}"

    @property
    def said(self) -> str:
        """What the program wrote to the terminal it was started from."""
        return (self.home / "said.txt").read_text(errors="replace")

    def sit_down(self) -> Hand:
        """A hand at the program; it is started where there is none."""
        if self.has_ended:
            self.leave()
            self._starts += 1
            self.home.mkdir()
            eyes = self.home / "eyes"
            start = program(self._environment, self.home, eyes)
            self.process = self._open.enter_context(start)
            self.hand = Hand(self._environment, eyes)
            self._open.callback(self.hand.look_away)
            self._begin(self.hand)
        return self.hand

    def leave(self) -> None:
        """End the program, if it goes."""
        self._open.close()
        self.process = None

    @contextlib.contextmanager
    def dragged(self, folder: str) -> Iterator[Source]:
        """A window of another program that a folder can be dragged from."""
        with source(self._environment, folder) as process:
            yield Source(process)

    def picture(self, name: str) -> Path:
        """Keep a picture of the screen beside what the program said."""
        file = self.home / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}.png"
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["import", "-window", "root", str(file)]
            subprocess.run(command, env=self._environment, timeout=30, check=True)
            print(f"the screen: {file}")
        print(self.said[-4000:])
        return file

    def _begin(self, hand: Hand) -> None:
        """Open the cockpit, with which the window fills a small screen."""

        def is_full() -> bool:
            (left, top, width, height), room = hand.ask("window"), hand.ask("screen")
            bar = top - room[1]
            return [left, width, height + bar] == [room[0], *room[2:]]

        def has_title_bar() -> bool:
            return hand.ask("window")[1] > hand.ask("screen")[1]

        hand.until(has_title_bar, "napari's window has a title bar", STARTS_S)
        hand.pick("File", of="QMenuBar")
        hand.pick("Acquire", of="QMenu")
        hand.pick("Open cockpit (napari-hae)", of="QMenu")
        hand.see("Connect", within="Microscope")
        hand.until(is_full, "the window fills the screen")
