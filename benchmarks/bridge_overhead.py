"""What gate and bridge add to a spectrum of 2048 channels, on the loopback of one PC.

The instrument delivers at once. The server is a process of its own. A spectrum is
placing, unblanking, acquiring and blanking; with the bridge the server's gate is always
there. The time of an abort is from the call to its return, with the beam blanked, while
an exposure runs.

    python benchmarks/bridge_overhead.py [--spectra 2000]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_hae.instruments.base import (
    Aborted,
    Capabilities,
    Interval,
    SpectrumDetector,
)
from napari_hae.instruments.bridge.server import Server
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.in_process import InProcessInstrument
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
from napari_hae.settings_base import Settings
from napari_hae.types import (
    BeamState,
    EnergyAxis,
    ProbePosition,
    ScanImage,
    Spectrum,
    dose_electrons,
)
from report import table, versions, write_section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_hae.instruments.base import Instrument

ENERGY = EnergyAxis(0.0, 0.1, 2048)
TOKEN = "a token for one benchmark"
EXPOSURE_S = 1e-3
LONG_S = 10.0
ABORTS = 100
CURRENT_PA = 20.0


class Instant(InProcessInstrument):
    """Delivers the same spectrum at once; exposures of 1 s and more take their time."""

    title: ClassVar[str] = "Instant"
    settings_type: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(dead_time_s=0, realtime=False)
        self._counts = np.arange(ENERGY.size, dtype=np.float32)

    def capabilities(self) -> Capabilities:
        """One camera of 2048 channels."""
        self._check_connected()
        return Capabilities(
            survey_detectors=("HAADF",),
            spectrum_detectors=(SpectrumDetector("EELS", ENERGY),),
            survey_shape=(64, 64),
            smallest_survey_shape=(64, 64),
            largest_survey_shape=(64, 64),
            dwell_time_s=Interval(1e-7, 1e-2),
            exposure_s=Interval(1e-4, 100.0),
            fov_nm=(100.0, 100.0),
            current_pa=CURRENT_PA,
            blanker_can_be_read=True,
        )

    def _scan(self, detectors, shape, dwell_time_s, area) -> ScanImage:
        data = np.zeros((len(detectors), *shape), np.float32)
        return ScanImage(data, tuple(detectors), (100.0, 100.0), dwell_time_s)

    def _spectrum_at(self, position, detector, exposure_s, *, lit) -> Spectrum:
        if exposure_s >= 1:
            self._aborted.wait(exposure_s)
        dose_e = dose_electrons(CURRENT_PA, exposure_s) if lit else 0.0
        return Spectrum(
            self._counts.copy(), ENERGY, detector, position, exposure_s, dose_e
        )


def serve() -> None:
    """Serve until the parent closes the pipe."""
    server = Server(Instant, Instant.title, "127.0.0.1", 0, TOKEN, 5.0)
    server.start()
    print(server.address, flush=True)
    while os.read(0, 100):
        pass
    server.stop()


@contextmanager
def remote() -> Iterator[RemoteMicroscope]:
    """A remote microscope whose server is a process of its own."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        port = int(child.stdout.readline().rpartition(":")[2])
        yield RemoteMicroscope(RemoteSettings(port=port, token=TOKEN))
        child.stdin.close()
        child.wait()


def by_hand(bare: Instrument, position: ProbePosition) -> None:
    """A spectrum of an instrument without a gate in this process."""
    bare.place_beam(position)
    bare.unblank()
    bare.acquire_spectrum("EELS", EXPOSURE_S)
    bare.blank()


def through_gate(gate: Instrument, position: ProbePosition) -> None:
    """A spectrum of a guarded instrument."""
    gate.place_beam(position)
    gate.acquire_spectrum("EELS", EXPOSURE_S)


def times_ms(
    instrument: Instrument,
    take: Callable[[Instrument, ProbePosition], None],
    spectra: int,
) -> list[float]:
    """The time of each spectrum in ms."""
    instrument.connect()
    taken = []
    for number in range(spectra):
        position = ProbePosition(number % 97 / 97, number % 89 / 89)
        begin = time.perf_counter()
        take(instrument, position)
        taken.append(1e3 * (time.perf_counter() - begin))
    instrument.disconnect()
    return taken


def abort_times_ms(instrument: RemoteMicroscope) -> list[float]:
    """The time of each abort of a running exposure in ms."""
    gate = GuardedInstrument(instrument)
    gate.connect()
    taken = []
    for _ in range(ABORTS):
        gate.rearm()
        gate.place_beam(ProbePosition(0.5, 0.5))
        thread = threading.Thread(target=long_exposure, args=(gate,))
        thread.start()
        while gate.status().beam is not BeamState.ON:
            time.sleep(1e-3)
        # What counts as on here has to be on over there.
        time.sleep(0.02)
        begin = time.perf_counter()
        gate.abort()
        taken.append(1e3 * (time.perf_counter() - begin))
        thread.join()
    gate.disconnect()
    return taken


def long_exposure(gate: GuardedInstrument) -> None:
    """An exposure that only an abort ends."""
    try:
        gate.acquire_spectrum("EELS", LONG_S)
    except Aborted:
        return
    raise SystemExit("an exposure was not aborted")


def main() -> None:
    """Measure, print and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spectra", type=int, default=2000)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    spectra = given.spectra
    with remote() as microscope:
        taken = {
            "nothing": times_ms(Instant(), by_hand, spectra),
            "gate": times_ms(GuardedInstrument(Instant()), through_gate, spectra),
            "bridge": times_ms(microscope, by_hand, spectra),
            "gate and bridge": times_ms(
                GuardedInstrument(microscope), through_gate, spectra
            ),
        }
        aborts = abort_times_ms(microscope)
    nothing = statistics.median(taken["nothing"])
    rows = [
        [
            name,
            f"{statistics.median(times):.2f} ms",
            f"{statistics.median(times) - nothing:.2f} ms",
            f"{np.percentile(times, 99):.2f} ms",
        ]
        for name, times in taken.items()
    ]
    header = ["between", "median per spectrum", "added", "99 %"]
    text = (
        f"{versions()}, msgpack {version('msgpack')}\n\n"
        f"{spectra} spectra of {ENERGY.size} channels:\n\n"
        f"{table(header, rows)}\n\nAn abort during an exposure returns after "
        f"{statistics.median(aborts):.1f} ms in the median of {ABORTS}, "
        f"{max(aborts):.0f} ms at most, with the beam blanked at the server."
    )
    print(text)
    write_section("bridge overhead", text)


if __name__ == "__main__":
    main()
