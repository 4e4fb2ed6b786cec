"""Starts the device servers and the Tiled server of the tests, each in its process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import tango

import tango_devices
import tiled_process
from napari_hae.instruments.asyncroscopy.instrument import Asyncroscopy
from napari_hae.instruments.asyncroscopy.settings import AsyncroscopySettings
from napari_hae.types import ProbePosition

API_KEY = "secret"
HERE, ELSEWHERE = ProbePosition(0.7, 0.3), ProbePosition(0.25, 0.75)
FOLDER = Path(__file__).parent


class Served:
    """A server in a process of its own, which ends with this one."""

    def __init__(self, script, *arguments, ready: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = []
        self._ready = ready
        self._line = threading.Event()
        self.line = ""
        # What it prints later would stop it, once the pipe is full.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self) -> str:
        """The rest of the line that says that it is ready."""
        self._line.wait(120)
        assert self.line, "".join(self.output)
        return self.line

    def close(self) -> int:
        self.process.stdin.close()
        code = self.process.wait(60)
        self._reader.join(60)
        self.process.stdout.close()
        return code

    def _read(self) -> None:
        for line in self.process.stdout:
            self.output.append(line)
            plain = re.sub(r"\x1b\[\d+m", "", line)
            if not self.line and self._ready in plain:
                self.line = plain.split(self._ready)[1].split()[0]
                self._line.set()
        self._line.set()


@dataclass
class Stack:
    """Microscopes of all families, served at one place."""

    host: str

    def settings(self, family: str, **more) -> AsyncroscopySettings:
        return AsyncroscopySettings(
            **{
                "tango_host": self.host,
                "without_database": True,
                "microscope": f"{family}/instrument/default",
                "scan": f"{family}/scan/default",
                "spectrum_device": f"{family}/{{detector}}/default",
                "current_pa": 50.0,
                **more,
            }
        )

    def microscope(self, family: str, **more) -> Asyncroscopy:
        return Asyncroscopy(self.settings(family, **more))

    def lever(self, family: str) -> Lever:
        return Lever(self.proxy(f"{family}/lever/default"))

    def proxy(self, name: str) -> tango.DeviceProxy:
        return tango.DeviceProxy(f"tango://{self.host}/{name}#dbase=no")


class Lever:
    """Makes a microscope go wrong, and tells what happened to it."""

    def __init__(self, proxy: tango.DeviceProxy) -> None:
        self._proxy = proxy
        proxy.reset()

    def pull(self, **levers) -> None:
        self._proxy.pull(json.dumps(levers))

    @property
    def log(self) -> list[list]:
        """What happened, each with whether the beam was on, and details."""
        return json.loads(self._proxy.log())

    def happened(self, what: str) -> list[list]:
        return [entry[1:] for entry in self.log if entry[0] == what]

    def wait_for(self, what: str, times: int = 1) -> None:
        """Wait until it has happened; the lever's device is never held up."""
        pause = threading.Event()
        while len(self.happened(what)) < times:
            pause.wait(0.01)


def served_devices(folder: Path) -> Served:
    return Served("tango_devices.py", folder, ready=tango_devices.READY)


def served_tiled(catalog: Path, folder: Path) -> Served:
    arguments = (catalog, folder, API_KEY)
    return Served("tiled_process.py", *arguments, ready=tiled_process.READY)


def spectrum_at(microscope, position, exposure_s=0.01):
    microscope.place_beam(position)
    microscope.unblank()
    return microscope.acquire_spectrum("eds", exposure_s)
