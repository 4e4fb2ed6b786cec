"""Which share of the time the beam is on the sample, on the simulated microscope.

Exposures take as long as on a real one. The share is that of the sum of all exposures
from the first one's begin to the last one's end: agent, record and gate make up the
rest.

    python benchmarks/beam_share.py [--steps 300]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from unittest import mock

from napari_hae.cli import main as napari_hae
from napari_hae.instruments.simulated import SimulatedMicroscope
from report import table, versions, write_section

SIDE = 128
CASES = (
    ("look-ahead", 0.1, 1, 1),
    ("sequential", 0.1, 0, 1),
    ("look-ahead", 0.01, 1, 1),
    ("look-ahead, batches of 32", 0.01, 1, 32),
)


def exposures(
    steps: int, exposure_s: float, lookahead: int, batch: int
) -> list[tuple[float, float]]:
    """Begin and end of every exposure of a run, in s."""
    times = []
    original = SimulatedMicroscope.acquire_spectrum

    def timed(self: SimulatedMicroscope, detector: str, exposure_s: float) -> object:
        begin = time.perf_counter()
        try:
            return original(self, detector, exposure_s)
        finally:
            times.append((begin, time.perf_counter()))

    with (
        mock.patch.object(SimulatedMicroscope, "acquire_spectrum", timed),
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        words = f"run --instrument simulated --seed 1 --steps {steps}".split()
        for setting in (
            "instrument.realtime=true",
            f"survey.shape=[{SIDE},{SIDE}]",
            f"measurement.exposure_s={exposure_s}",
            f"loop.lookahead={lookahead}",
            f"loop.batch={batch}",
        ):
            words += ["--set", setting]
        code = napari_hae([*words, "--out", str(Path(folder) / "run.hae")])
    if code:
        raise SystemExit(f"exit code {code}: {said.getvalue()}")
    return times


def main() -> None:
    """Run all cases and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    rows = []
    for name, exposure_s, lookahead, batch in CASES:
        times = exposures(given.steps, exposure_s, lookahead, batch)
        exposed = sum(end - begin for begin, end in times)
        share = exposed / (times[-1][1] - times[0][0])
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(times)]
        row = [
            name,
            f"{1e3 * exposure_s:g} ms",
            f"{share:.1%}",
            f"{1e3 * statistics.median(gaps):.1f} ms",
            f"{1e3 * max(gaps):.0f} ms",
        ]
        rows.append(row)
        print(row, flush=True)
    header = ["mode", "exposure", "share of the time", "median gap", "longest gap"]
    text = f"{versions()}\n\n{given.steps} steps, {SIDE}² candidates:\n\n"
    write_section("beam share", text + table(header, rows))


if __name__ == "__main__":
    main()
