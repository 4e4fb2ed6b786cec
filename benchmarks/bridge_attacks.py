"""The delay of the owner's abort, and the server's memory, while its port is attacked.

The server and the attackers are processes of their own, on the loopback of one PC. In
turn each attack of `tests/attacks.py` goes on while the owner aborts one exposure after
the other; the delay is from the call to the abort of the instrument, as the server's
process reports it on the same clock, and the answer is what the call returns with.
Afterwards another client connects.

    python benchmarks/bridge_attacks.py [--aborts 20] [--only NAME]
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from bridge_overhead import Instant
from napari_hae.instruments.base import Aborted
from napari_hae.instruments.bridge.server import Server
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
from napari_hae.types import ProbePosition
from report import table, versions, write_section

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import attacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Event

TOKEN = "a token for one benchmark"
EXPOSURE_S = 10.0
SETTLE_S = 1.0
PAUSE_S = 0.1


class Aborting(Instant):
    """Prints when it is told to abort an exposure, and its process's memory."""

    def acquire_spectrum(self, detector, exposure_s):
        """Say when it begins."""
        print("exposes", flush=True)
        return super().acquire_spectrum(detector, exposure_s)

    def abort(self) -> None:
        """Say when it came."""
        print(f"abort {time.monotonic()}", flush=True)
        super().abort()


def serve() -> None:
    """Serve until the parent closes the pipe."""
    server = Server(Aborting, Aborting.title, "127.0.0.1", 0, TOKEN, 5.0)
    server.start()
    print(f"at {server.address}", flush=True)
    while os.read(0, 100):
        pass
    server.stop()


class ServerOfItsOwn:
    """A server in a process of its own, and what it prints."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child
        host, _, port = self.wait_for("at").rpartition(":")
        self.address = host, int(port)

    def wait_for(self, word: str) -> str:
        """What follows the word in the next line that begins with it."""
        for line in self._child.stdout:
            first, _, rest = line.strip().partition(" ")
            if first == word:
                return rest
        raise SystemExit(f"the server ended before {word!r}")

    def memory_mb(self, what: str) -> float:
        """The resident memory, `VmRSS`, or the most there was, `VmHWM`."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith(what))
        return int(line.split()[1]) / 1024

    def forget_peak(self) -> None:
        """Begin to count the most memory anew."""
        Path(f"/proc/{self._child.pid}/clear_refs").write_text("5")

    def microscope(self) -> RemoteMicroscope:
        """A client of it."""
        return RemoteMicroscope(RemoteSettings(port=self.address[1], token=TOKEN))


@contextmanager
def server_of_its_own() -> Iterator[ServerOfItsOwn]:
    """A server for one attack."""
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        yield ServerOfItsOwn(child)
        child.stdin.close()
        child.wait()


def attack_forever(attack: str, address: tuple[str, int], begun: Event) -> None:
    """Attack until the process is ended."""
    begun.set()
    getattr(attacks, attack)(address, TOKEN, threading.Event())


@contextmanager
def going_on(attack: Callable | None, address: tuple[str, int]) -> Iterator[None]:
    """Attack from another process meanwhile."""
    if attack is None:
        yield
        return
    name = attack.__name__
    context = get_context("spawn")
    begun = context.Event()
    process = context.Process(target=attack_forever, args=(name, address, begun))
    process.start()
    try:
        if not begun.wait(60):
            raise SystemExit(f"the attack {name} did not begin")
        time.sleep(SETTLE_S)
        yield
        if not process.is_alive():
            raise SystemExit(f"the attack {name} ended by itself")
    finally:
        process.kill()
        process.join()


def delays_ms(server: ServerOfItsOwn, owner: RemoteMicroscope) -> tuple[float, float]:
    """From the call of an abort in mid-exposure to the beam, and to the answer."""
    owner.place_beam(ProbePosition(0.5, 0.5))
    owner.unblank()
    thread = threading.Thread(target=long_exposure, args=(owner,))
    thread.start()
    server.wait_for("exposes")
    begin = time.monotonic()
    owner.abort()
    answered = time.monotonic()
    came = float(server.wait_for("abort"))
    thread.join()
    return 1e3 * (came - begin), 1e3 * (answered - begin)


def long_exposure(owner: RemoteMicroscope) -> None:
    """An exposure that only an abort ends."""
    try:
        owner.acquire_spectrum("EELS", EXPOSURE_S)
    except Aborted:
        return
    raise SystemExit("an exposure was not aborted")


def measured(attack: Callable | None, aborts: int) -> list[str]:
    """One row: delays and memory under one attack."""
    with server_of_its_own() as server:
        owner = server.microscope()
        owner.connect()
        before_mb = server.memory_mb("VmRSS")
        server.forget_peak()
        with going_on(attack, server.address):
            delays = []
            for _ in range(aborts):
                delays.append(delays_ms(server, owner))
                # Attacks have phases, and the aborts are to fall into all of them.
                time.sleep(random.uniform(0, 2 * PAUSE_S))
        grown_mb = server.memory_mb("VmHWM") - before_mb
        owner.disconnect()
        other = server.microscope()
        other.connect()
        other.disconnect()
    name = "none" if attack is None else attack.__name__.replace("_", " ")
    to_beam, to_answer = zip(*delays, strict=True)
    row = [name, f"{statistics.median(to_beam):.1f} ms", f"{max(to_beam):.0f} ms"]
    return [*row, f"{max(to_answer):.0f} ms", f"{grown_mb:.0f} MB"]


def main() -> None:
    """Measure, print and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--aborts", type=int, default=20)
    parser.add_argument("--only", default="", help="attacks with this in their name")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    every = (None, *attacks.WITHOUT_TOKEN, *attacks.WITH_TOKEN)
    wanted = [each for each in every if given.only in getattr(each, "__name__", "none")]
    rows = []
    for attack in wanted:
        rows.append(measured(attack, given.aborts))
        print(*rows[-1], sep="  ", flush=True)
    header = [
        "attack",
        "delay of an abort, median",
        "longest",
        "longest until it is answered",
        "memory, growth at most",
    ]
    text = f"{versions()}\n\n{given.aborts} aborts each:\n\n{table(header, rows)}"
    if not given.only:
        write_section("bridge attacks", text)


if __name__ == "__main__":
    main()
