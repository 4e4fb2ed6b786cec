"""How long a step takes at the beginning of a long run and later, and which part of it.

Whole runs on the simulated microscope, with the record on disk. Of each step the time
to the next measurement, what the record says of it (`StepTimes`), the time that the
computer spent on it by thread, and the size of the journal's lines; medians over the
steps around a number.

    python benchmarks/run_length.py [--steps 1200] [--side 64]
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hae.experiment.record import JOURNAL, Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import (
    Budget,
    ExperimentSettings,
    MeasurementSettings,
)
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from report import table, versions, write_section

if TYPE_CHECKING:
    from napari_hae.types import Measurement

AT = (100, 400, 1200, 2000)
AROUND = 50
"""So many steps before and after count as around."""


class Watched:
    """What was seen of each step, in the order of the measurements."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.at_s: list[float] = []
        self.loop_s: list[float] = []
        self.all_s: list[float] = []
        self.size: list[int] = []

    def note(self, _: Measurement) -> None:
        """On the experiment's thread, after each measurement."""
        self.at_s.append(time.perf_counter())
        self.loop_s.append(time.thread_time())
        self.all_s.append(time.process_time())
        self.size.append(self._journal.stat().st_size)


def run_of(steps: int, side: int, folder: Path) -> tuple[Runner, Watched]:
    """A run that has ended, and what was seen of it."""
    wanted = SimulatedSettings(shape=(side, side), seed=1, noise_seed=1)
    gate = GuardedInstrument(SimulatedMicroscope(wanted))
    gate.connect()
    settings = ExperimentSettings(
        budget=Budget(steps=steps),
        measurement=MeasurementSettings(exposure_s=1e-3),
        seed=1,
    )
    record = Record.create(
        folder / "run",
        instrument="simulated",
        instrument_settings=wanted,
        settings=settings,
    )
    runner = Runner(gate, record, settings)
    watched = Watched(record.path / JOURNAL)
    runner.events.measured.connect(watched.note)
    runner.start()
    runner.wait()
    gate.disconnect()
    if len(runner.measurements) != steps:
        raise SystemExit(f"{runner.finish_reason}: {runner.finish_text}")
    return runner, watched


def row(runner: Runner, watched: Watched, number: int) -> list[str]:
    """The medians around a step, in ms and kB."""
    around = range(number - AROUND, min(number + AROUND, len(watched.at_s)))
    times = [runner.measurements[step].times for step in around]

    def each(values: list[float] | list[int]) -> list[float]:
        return [values[step] - values[step - 1] for step in around]

    def ms(values: list[float]) -> str:
        return f"{1e3 * statistics.median(values):.1f}"

    whole = each(watched.at_s)
    return [
        f"{number}",
        ms(whole),
        f"{1e3 * max(whole):.0f}",
        ms([t.agent_s for t in times if t]),
        ms([t.disk_s for t in times if t]),
        ms([t.instrument_s for t in times if t]),
        ms(each(watched.loop_s)),
        ms(each(watched.all_s)),
        f"{statistics.mean(each(watched.size)) / 1e3:.2f}",
    ]


def main() -> None:
    """Run once, and write the section."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--steps", type=int, default=1250)
    options.add_argument("--side", type=int, default=64)
    options.add_argument("--dry", action="store_true", help="leave the page as it is")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runner, watched = run_of(given.steps, given.side, Path(folder))
    header = [
        "around step",
        "step (ms)",
        "longest (ms)",
        "agent (ms)",
        "disk (ms)",
        "instrument (ms)",
        "CPU of the loop (ms)",
        "CPU of all (ms)",
        "journal (kB)",
    ]
    rows = [row(runner, watched, n) for n in AT if n <= given.steps]
    text = (
        f"{given.side} × {given.side} candidates, exposures of 1 ms, a simulated "
        f"microscope that takes no time. {versions()}.\n\n{table(header, rows)}"
    )
    if given.dry:
        print(text)
    else:
        write_section("run length", text)


if __name__ == "__main__":
    main()
