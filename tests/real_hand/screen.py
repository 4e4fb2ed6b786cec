"""A screen of its own with a window manager, and the program on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
NEEDED = ("Xvfb", "openbox", "xdotool")


def missing() -> list[str]:
    """The programs that the real hand needs and this machine lacks."""
    return [name for name in NEEDED if shutil.which(name) is None]


@contextlib.contextmanager
def screen(size: str) -> Iterator[dict[str, str]]:
    """The environment of programs on a new screen, `WIDTHxHEIGHT`, under openbox."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24"]
    server = _start([*command, "-nolisten", "tcp"], pass_fds=[write])
    os.close(write)
    with _ending(server), open(read) as numbers:
        environment = {
            name: value
            for name, value in os.environ.items()
            # A test before may have asked Qt for another platform or scale.
            if not name.startswith(("QT_", "WAYLAND_"))
        }
        environment["DISPLAY"] = f":{numbers.readline().strip()}"
        with _ending(_start(["openbox"], env=environment)):
            yield environment


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
        process = _start(
            command, env={**environment, **folders}, stdout=said, stderr=said, cwd=home
        )
        with _ending(process):
            yield process


@contextlib.contextmanager
def source(environment: dict[str, str], folder: str) -> Iterator[subprocess.Popen]:
    """A window of another program on a screen, to drag a folder from."""
    command = [sys.executable, str(HERE / "drag_source.py"), folder]
    process = _start(command, env=environment, stdout=subprocess.PIPE, text=True)
    with _ending(process):
        yield process


def _start(command: list[str], **more) -> subprocess.Popen:
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # In a group of its own: what it starts ends with it.
    return subprocess.Popen(command, **{**quiet, **more}, start_new_session=True)


@contextlib.contextmanager
def _ending(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break
