"""Device servers as asyncroscopy has them, with levers for what can go wrong.

Run as a script it serves several microscopes at once, without a database, and ends when
its standard input is closed, as it is when the process that started it ends:

    older, older_listed      get_… commands, data in the reply; blanks, cannot be read
    newer                    acquire_… commands, HDF5; beam and its place can be read
    stoppable                the same, its EDS detector can be stopped
    bare                     newer without a blanker, as the base class has it
    tiled                    newer, data on a Tiled server; blanks, cannot be read

What is sent to the device FAMILY/lever/default makes that microscope go wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
import tango
from tango import DevEncoded, DevState, DevVarFloatArray, DevVarStringArray
from tango.server import Device, attribute, command
from tango.test_context import MultiDeviceTestContext

READY = "devices are served at "
CHANNELS = 32
FOV_NM = 64.0
FOLDER = Path(sys.argv[1]) if __name__ == "__main__" else Path()


def signal(x, y):
    """Brightest at x = 0.7, y = 0.3."""
    return np.exp(-((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.02)


class Column:
    """The microscope behind the devices of one family."""

    numbers = itertools.count()

    def __init__(self) -> None:
        self.tiled = None
        self.reset()

    def reset(self) -> None:
        self.is_on = False
        self.position = (0.5, 0.5)
        self.state, self.said = "ON", "fine"
        self.imsize, self.dwell_time_s = 512, 2e-6
        self.scan_region = [0.1, 0.2, 0.3, 0.4]
        self.exposure_s = 1.0
        self.stopped = threading.Event()
        self.levers = {}
        self.log = []

    def note(self, what: str, *details) -> None:
        self.log.append([what, self.is_on, *details])

    def lasts(self) -> None:
        """An acquisition lasts as long as its lever says, or until it is stopped."""
        self.note("begins")
        if "slow_s" in self.levers:
            self.stopped.wait(self.levers["slow_s"])
        if "raise" in self.levers:
            tango.Except.throw_exception("Misaligned", self.levers["raise"], "column()")

    def image(self) -> np.ndarray:
        size = self.levers.get("wrong_size", self.imsize)
        middles = (np.arange(size) + 0.5) / size
        return signal(middles, middles[:, np.newaxis]) * 1000 * self.is_on

    def spectrum(self) -> np.ndarray:
        channels = np.arange(self.levers.get("channels", CHANNELS))
        line = 1 + 20 * np.exp(-((channels - 10) ** 2) / 8) * signal(*self.position)
        return line * self.is_on * 1000 * self.exposure_s


COLUMNS: defaultdict[str, Column] = defaultdict(Column)


class Part(Device):
    """A device of the microscope that its name begins with."""

    def init_device(self):
        super().init_device()
        self.family = self.get_name().split("/")[0]
        self.column = COLUMNS[self.family]
        self.set_state(DevState.ON)


class Lever(Part):
    @command(dtype_in=str)
    def pull(self, levers):
        levers = json.loads(levers)
        self.column.tiled = levers.pop("tiled", self.column.tiled)
        self.column.state = levers.pop("state", self.column.state)
        self.column.said = levers.pop("said", self.column.said)
        self.column.levers |= levers

    @command
    def reset(self):
        self.column.reset()

    @command(dtype_out=str)
    def log(self):
        return json.dumps(self.column.log)


class Scan(Part):
    @attribute(dtype=int)
    def imsize(self):
        return self.column.imsize

    @imsize.write
    def imsize(self, value):
        self.column.imsize = value

    @attribute(dtype=float, min_value=1e-9, max_value=10)
    def dwell_time(self):
        return self.column.dwell_time_s

    @dwell_time.write
    def dwell_time(self, value):
        self.column.dwell_time_s = value

    @attribute(dtype=(float,), max_dim_x=4, min_value=0.0, max_value=1.0)
    def scan_region(self):
        return self.column.scan_region

    @scan_region.write
    def scan_region(self, value):
        self.column.scan_region = [float(edge) for edge in value]


class Eds(Part):
    @attribute(dtype=float, min_value=1e-6, max_value=100)
    def exposure_time(self):
        return self.column.exposure_s

    @exposure_time.write
    def exposure_time(self, value):
        self.column.exposure_s = value


class StoppableEds(Eds):
    @command
    def Abort(self):
        self.column.stopped.set()


class Blanker(Part):
    @command
    def blank_beam(self):
        self.column.is_on = False
        self.column.note("blank")

    @command
    def unblank_beam(self):
        self.column.is_on = True
        self.column.note("unblank")

    @attribute(dtype=bool)
    def beam_state(self):
        return not self.column.is_on


class Microscope(Part):
    def dev_state(self):
        return DevState.names[self.column.state]

    def dev_status(self):
        return self.column.said

    @command(dtype_in=DevVarFloatArray)
    def place_beam(self, position):
        self.column.note("place", *(float(value) for value in position))
        if not self.column.levers.get("place_ignored"):
            self.column.position = tuple(float(value) for value in position)

    @command
    def blank_beam(self):
        if self.column.levers.get("refuse_blank"):
            tango.Except.throw_exception("Stuck", "the blanker is stuck", "blank()")
        if not self.column.levers.get("blank_ignored"):
            self.column.is_on = False
        self.column.note("blank")

    @command
    def unblank_beam(self):
        self.column.is_on = True
        self.column.note("unblank")

    @command(dtype_out=float)
    def get_fov(self):
        if self.column.levers.get("fov_raises"):
            tango.Except.throw_exception("Unknown", "no magnification", "get_fov()")
        return self.column.levers.get("fov_m", FOV_NM * 1e-9)


class Older(Microscope):
    @command(dtype_out=DevEncoded)
    def get_scanned_image(self):
        self.column.lasts()
        image = self.column.image().astype(np.int16)
        header = {"shape": image.shape, "dtype": str(image.dtype)}
        return json.dumps(header), image.tobytes()

    @command(dtype_in=str, dtype_out=DevEncoded)
    def get_spectrum(self, detector):
        self.column.lasts()
        line = self.column.spectrum().astype(np.float32)
        self.column.note("spectrum", detector)
        if self.column.levers.get("elements"):
            elements = {"Au": 0.75, "Pt": 0.25}
            return json.dumps({"detector": detector}), json.dumps(elements).encode()
        if self.column.levers.get("garbage"):
            return "no header", b""
        return json.dumps({"dtype": str(line.dtype)}), line.tobytes()


class OlderListed(Microscope):
    @command(dtype_in=DevVarStringArray, dtype_out=DevEncoded)
    def get_scanned_image(self, detectors):
        self.column.note("image", *detectors)
        image = self.column.image().astype(np.float64)
        header = {"shape": image.shape, "dtype": str(image.dtype)}
        return json.dumps(header), image.tobytes()

    get_spectrum = Older.get_spectrum


class Newer(Microscope):
    @command(dtype_in=DevVarStringArray, dtype_out=str)
    def acquire_scanned_image(self, detectors):
        self.column.lasts()
        self.column.note("image", *self.column.scan_region)
        images = {
            f"image/{name.upper()}": self.column.image() * (number + 1)
            for number, name in enumerate(detectors)
        }
        if "as_tiff" in self.column.levers:
            return json.dumps([f"{name}.tiff" for name in detectors])
        return self._key("stem_image", images)

    @command(dtype_in=str, dtype_out=str)
    def acquire_spectrum(self, detector):
        self.column.lasts()
        self.column.note("spectrum", detector)
        key = self._key("spectrum", {"spectrum": self.column.spectrum()})
        return self.column.levers.get("key", key)

    def _key(self, kind, datasets):
        file = FOLDER / f"{kind}_{next(Column.numbers)}.h5"
        with h5py.File(file, "w") as opened:
            for name, values in datasets.items():
                dataset = opened.create_dataset(name, data=values)
                dataset.attrs.update(self.column.levers.get("attributes", {}))
        return str(file)


class NewerRead(Newer):
    @attribute(dtype=bool)
    def beam_state(self):
        return not self.column.is_on

    @attribute(dtype=(float,), max_dim_x=2)
    def beam_pos(self):
        return self.column.position

    @command(dtype_out=str)
    def get_parameters(self):
        return json.dumps(
            {"scan_detectors": ["haadf", "bf_s"], "spectrum_detectors": ["eds"]}
        )


class NewerStoppable(NewerRead):
    pass


class Bare(Newer):
    @command
    def blank_beam(self):
        self.column.note("blank")

    @command
    def unblank_beam(self):
        self.column.is_on = True

    @command(dtype_in=DevVarFloatArray)
    def place_beam(self, position):
        pass


class OnTiled(Newer):
    def _key(self, kind, datasets):
        from tiled.client import from_uri
        from tiled.client.register import identity, register

        file = super()._key(kind, datasets)
        uri, api_key = self.column.tiled
        client = from_uri(uri, api_key=api_key)
        walkers = ["tiled.client.register:one_node_per_item"]
        asyncio.run(register(client, file, walkers=walkers, key_from_filename=identity))
        return Path(file).name


FAMILIES = {
    "older": (Older, Scan, Eds),
    "older_listed": (OlderListed, Scan, Eds),
    "newer": (NewerRead, Scan, Eds, Blanker),
    "stoppable": (NewerStoppable, Scan, StoppableEds),
    "bare": (Bare, Scan, Eds),
    "tiled": (OnTiled, Scan, Eds),
}


def _role(kind) -> str:
    if issubclass(kind, Microscope):
        return "instrument"
    return {StoppableEds: "eds"}.get(kind, kind.__name__.lower())


def _devices() -> list[dict]:
    served: dict[type, list[str]] = {}
    for family, kinds in FAMILIES.items():
        for kind in (*kinds, Lever):
            served.setdefault(kind, []).append(f"{family}/{_role(kind)}/default")
    return [
        {"class": kind, "devices": [{"name": name} for name in names]}
        for kind, names in served.items()
    ]


def main() -> None:
    with MultiDeviceTestContext(_devices(), timeout=60, debug=1) as context:
        address = context.get_server_access().removeprefix("tango://")
        # Tango writes to the same line when it pleases.
        print(f"\n{READY}{address.split('/')[0]} ", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
