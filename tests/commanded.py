"""`napari-hae` in a process of its own, with the instruments of the tests installed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bridge_processes import HERE, Process
from in_thread import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOUBLES = """[napari_hae.instruments]
beam_log = beam_log:BeamLog
"""
SCRIPT = "run_command.py"


class WithBeamLog(Process):
    """A program whose beam is told of in its lines, which can be waited for."""

    def __init__(self, folder: Path, script, *arguments, before=(), **more) -> None:
        more["PYTHONPATH"] = with_doubles(folder)
        super().__init__(script, *arguments, before=before, **more)

    @property
    def beam(self) -> list[str]:
        """What was done to the beam so far."""
        return [line.removeprefix("BEAM ") for line in self.lines if line[:4] == "BEAM"]

    def close(self) -> None:
        self._child.kill()
        super().close()


class Command(WithBeamLog):
    """One command under way."""

    def __init__(self, folder: Path, *arguments, before=()) -> None:
        super().__init__(folder, SCRIPT, *arguments, before=before)


@contextmanager
def first_to_end(*commands: Command) -> Iterator[Command]:
    """The one of several commands that ends first; inside the others are ended."""
    with ThreadPoolExecutor() as waiting:
        ends = {waiting.submit(each.wait): each for each in commands}
        done, _ = wait(ends, return_when=FIRST_COMPLETED)
        yield ends[done.pop()]


class InTerminal:
    """A command with a terminal of its own, which can be closed."""

    def __init__(self, folder: Path, *arguments) -> None:
        self._ours, its = pty.openpty()
        self._child = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, HERE / SCRIPT, *map(str, arguments)],
            stdin=its,
            stdout=its,
            stderr=its,
            env={**os.environ, "PYTHONPATH": with_doubles(folder)},
        )
        os.close(its)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.kill()
        self._child.wait()

    def wait_for(self, words: str) -> None:
        said = b""
        while words.encode() not in said:
            said += os.read(self._ours, 1024)

    def close_terminal(self) -> int:
        """Close it; returns the exit code of the command."""
        os.close(self._ours)
        return self._child.wait(PATIENCE_S)


def with_doubles(folder: Path) -> str:
    """A search path on which the doubles are installed as a package's plugins."""
    about = folder / "site" / "doubles-1.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Name: doubles\nVersion: 1\n")
    (about / "entry_points.txt").write_text(DOUBLES)
    return os.pathsep.join([str(about.parent), str(HERE), *sys.path])
