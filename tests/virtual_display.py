"""A screen of its own for programs of the tests: Xvfb with the window manager openbox.

With a window manager windows are active and have the keyboard's focus, as on a desktop.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def missing(*more: str) -> list[str]:
    """Return the programs that a virtual display, and what is named, lack here."""
    return [name for name in ("Xvfb", "openbox", *more) if shutil.which(name) is None]


@contextlib.contextmanager
def virtual_display(size: str) -> Iterator[str]:
    """Give the name of a new display of a size, `WIDTHxHEIGHT`, with openbox on it."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24"]
    server = start([*command, "-nolisten", "tcp"], pass_fds=[write])
    os.close(write)
    with ending(server), open(read) as numbers:
        name = f":{numbers.readline().strip()}"
        with ending(start(["openbox"], env={**os.environ, "DISPLAY": name})):
            yield name


def start(command: list[str], **more) -> subprocess.Popen:
    """Start a program that says nothing, unless other streams are given."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # In a group of its own: what it starts ends with it.
    return subprocess.Popen(command, **{**quiet, **more}, start_new_session=True)


@contextlib.contextmanager
def ending(process: subprocess.Popen) -> Iterator[None]:
    """End a program, and what it started, on the way out."""
    try:
        yield
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
                break
