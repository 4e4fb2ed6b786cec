"""Leaves a simulated Nion microscope in a way named on the command line.

Prints the addresses that this process bound, so that a test can see that no port was
opened, and whether the beam was blanked last.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress

bound: list[str] = []


def note(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.bind":
        bound.append(str(arguments[1]))


sys.addaudithook(note)

from napari_hae.instruments.base import InstrumentError  # noqa: E402
from napari_hae.instruments.nion.instrument import NionSwift  # noqa: E402
from napari_hae.instruments.nion.settings import NionSettings  # noqa: E402
from napari_hae.types import ProbePosition  # noqa: E402


def main(way: str) -> None:
    microscope = NionSwift(NionSettings(pixels=32))
    microscope.connect()
    microscope.acquire_survey(("HAADF",), (32, 32), 1e-6)
    microscope.place_beam(ProbePosition(0.5, 0.5))
    microscope.unblank()
    threading.Thread(target=report, args=(microscope,)).start()
    if way == "disconnect":
        microscope.disconnect()
    elif way == "exposing":
        threading.Thread(target=expose, args=(microscope,), daemon=True).start()
        while not microscope.status().busy:
            pass
    elif way == "error":
        raise RuntimeError("the program fails")


def expose(microscope: NionSwift) -> None:
    with suppress(InstrumentError):
        microscope.acquire_spectrum("EELS", 100.0)


def report(microscope: NionSwift) -> None:
    worker = next(t for t in threading.enumerate() if t.name == "napari-hae-nion")
    worker.join()
    print(f"left: beam {microscope.status().beam}, bound {bound}")


main(sys.argv[1])
