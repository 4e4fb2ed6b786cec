"""A plugin as a child process: takes the microscope and exposes for a long time.

What it is told to do comes line by line on stdin; what came of it goes to stdout.
"""

from __future__ import annotations

import sys
import threading

from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
from napari_hae.types import ProbePosition


def say(text):
    print(text, flush=True)


def expose(gate):
    try:
        gate.place_beam(ProbePosition(0.5, 0.5))
        gate.acquire_spectrum("EELS", 100.0)
        say("exposed")
    except InstrumentError as error:
        say(f"{type(error).__name__}: {error}")


def main():
    host, port, more = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    settings = RemoteSettings(host=host, port=port, line_timeout_s=more)
    gate = GuardedInstrument(RemoteMicroscope(settings))
    for order in sys.stdin:
        try:
            if order.strip() == "connect":
                gate.connect()
            elif order.strip() == "expose":
                threading.Thread(target=expose, args=(gate,), daemon=True).start()
            elif order.strip() == "disconnect":
                gate.disconnect()
            say("done")
        except InstrumentError as error:
            say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
