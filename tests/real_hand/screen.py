"""A screen of its own with a window manager, and the program on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_display import ending, start, virtual_display

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@contextlib.contextmanager
def screen(size: str) -> Iterator[dict[str, str]]:
    """The environment of programs on a new screen, `WIDTHxHEIGHT`, under openbox."""
    with virtual_display(size) as display:
        environment = {
            name: value
            for name, value in os.environ.items()
            # A test before may have asked Qt for another platform or scale.
            if not name.startswith(("QT_", "WAYLAND_"))
        }
        yield {**environment, "DISPLAY": display}


@contextlib.contextmanager
def program(
    environment: dict[str, str], home: Path, socket: Path
) -> Iterator[subprocess.Popen]:
    """napari on a screen, with a home of its own; what it says goes to files there."""
    folders = {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
    }
    command = [sys.executable, str(HERE / "program.py"), str(socket)]
    with open(home / "said.txt", "w") as said:
        process = start(
            command, env={**environment, **folders}, stdout=said, stderr=said, cwd=home
        )
        with ending(process):
            yield process


@contextlib.contextmanager
def source(environment: dict[str, str], folder: str) -> Iterator[subprocess.Popen]:
    """A window of another program on a screen, to drag a folder from."""
    command = [sys.executable, str(HERE / "drag_source.py"), folder]
    process = start(command, env=environment, stdout=subprocess.PIPE, text=True)
    with process.stdout, ending(process):
        yield process
