"""How near the beam comes to its places while the sample drifts.

On the simulated microscope, whose true drift is known: random places, drift in a random
direction, images taken again every few steps or never. The error is the distance, on
the sample, between where an exposure began and the middle of the pixel that was meant.

    python benchmarks/drift.py [--seeds 5] [--steps 100]
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_hae.agent.acquisition import RandomChoice
from napari_hae.experiment.drift import Drift
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    ExperimentSettings,
    MeasurementSettings,
)
from napari_hae.experiment.stored import StoredRun, open_run
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope
from napari_hae.instruments.simulated_settings import SimulatedSettings
from report import table, versions, write_section

SIDE, FOV_NM, EXPOSURE_S = 128, 200.0, 0.1
PIXEL_NM = FOV_NM / SIDE
FRAME = (0.25, 0.25, 0.75, 0.75)


@dataclass(frozen=True)
class Case:
    """A drift, and what is done about it."""

    name: str
    px_per_step: float
    every: int
    walk_px: float = 0.0
    fiducial: tuple[float, float, float, float] | None = None
    dwell_time_s: float | None = None


CASES = (
    Case("no drift, followed", 0.0, 10),
    *(
        Case(name, rate, every)
        for rate in (0.1, 0.5, 1.0)
        for name, every in (("not followed", 0), ("followed", 10))
    ),
    Case("every 5 steps", 0.5, 5),
    Case("every 20 steps", 0.5, 20),
    Case("frame of a quarter", 0.5, 10, fiducial=FRAME),
    Case("a tenth of the dose", 0.5, 10, dwell_time_s=1e-6),
    Case("random part 0.2 px a step", 0.5, 10, walk_px=0.2),
    Case("random part 0.5 px a step", 0.5, 10, walk_px=0.5),
)


class Watched(SimulatedMicroscope):
    """Writes down which place of the sample each exposure began on."""

    def __init__(self, settings: SimulatedSettings) -> None:
        super().__init__(settings)
        self.places_nm: list[np.ndarray] = []
        self._first_nm: np.ndarray | None = None

    def _spectrum_at(self, position, detector, exposure_s, *, lit):
        beam_nm = np.array([position.y, position.x]) * self._settings.field_nm
        self.places_nm.append(beam_nm - self._drift.offset_nm + self._first_nm)
        return super()._spectrum_at(position, detector, exposure_s, lit=lit)

    def _scan(self, *arguments):
        before_nm = self._drift.offset_nm.copy()
        image = super()._scan(*arguments)
        if self._first_nm is None:
            self._first_nm = (before_nm + self._drift.offset_nm) / 2
        return image


@dataclass(frozen=True)
class Result:
    """Of one run: errors and margins of forbidden zones in pixels, and its images."""

    errors_px: np.ndarray
    margins_px: np.ndarray
    images: int
    refused: int


def margins_px(run: StoredRun) -> np.ndarray:
    """By how much forbidden zones were grown at each exposure."""
    exposed_s, margins = 0.0, []
    for measurement in run.measurements:
        drift = Drift.after(run.survey)
        for image in run.images_again:
            if image.step <= measurement.step:
                drift = image.added_to(drift)
        time_s = exposed_s + drift.scanned_s
        margins.append(drift.margin_nm(time_s, PIXEL_NM) / PIXEL_NM)
        exposed_s += measurement.spectrum.exposure_s
    return np.array(margins)


def result(case: Case, seed: int, steps: int) -> Result:
    """What comes of a run."""
    angle = np.random.default_rng(seed).uniform(0, 2 * math.pi)
    speed = case.px_per_step * PIXEL_NM / EXPOSURE_S
    simulated = SimulatedSettings(
        shape=(SIDE, SIDE),
        fov_nm=FOV_NM,
        seed=seed,
        noise_seed=seed,
        drift_y_nm_per_s=speed * math.sin(angle),
        drift_x_nm_per_s=speed * math.cos(angle),
        random_walk_nm=case.walk_px * PIXEL_NM / math.sqrt(EXPOSURE_S),
    )
    settings = ExperimentSettings(
        acquisition=RandomChoice(),
        budget=Budget(steps=steps),
        measurement=MeasurementSettings(exposure_s=EXPOSURE_S),
        drift=DriftSettings(
            every=case.every, fiducial=case.fiducial, dwell_time_s=case.dwell_time_s
        ),
        seed=seed,
    )
    bare = Watched(simulated)
    gate = GuardedInstrument(bare)
    gate.connect()
    with tempfile.TemporaryDirectory() as folder:
        record = Record.create(
            Path(folder) / "run",
            instrument="simulated",
            instrument_settings=simulated,
            settings=settings,
        )
        runner = Runner(gate, record, settings)
        runner.start()
        runner.wait()
        stored = open_run(record.path)
    gate.disconnect()
    wanted_nm = [(m.y_nm, m.x_nm) for m in runner.measurements]
    images = stored.images_again
    return Result(
        np.hypot(*(np.array(wanted_nm) - bare.places_nm).T) / PIXEL_NM,
        margins_px(stored),
        len(images),
        sum(bool(each.refusal) for each in images),
    )


def main() -> None:
    """Run all cases and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    rows = []
    for case in CASES:
        results = [result(case, seed, given.steps) for seed in range(given.seeds)]
        rms = [float(np.sqrt((each.errors_px**2).mean())) for each in results]
        errors = np.concatenate([each.errors_px for each in results])
        margins = np.concatenate([each.margins_px for each in results])
        is_followed = case.every > 0
        row = [
            f"{case.px_per_step:g}",
            case.name,
            f"{statistics.mean(rms):.2f}",
            f"{min(rms):.2f}–{max(rms):.2f}",
            f"{errors.max():.2f}",
            f"{np.median(margins):.1f}" if is_followed else "–",
            f"{(errors > margins).mean():.1%}" if is_followed else "–",
            f"{statistics.mean(each.images for each in results):.0f}",
            f"{sum(each.refused for each in results)}",
        ]
        rows.append(row)
        print(row, flush=True)
    header = [
        *("drift, px a step", "images again", "rms error, px", "over seeds"),
        *("largest", "median margin, px", "beyond it", "images", "refused in all"),
    ]
    text = (
        f"{versions()}\n\n{given.steps} steps, {given.seeds} seeds, {SIDE}² pixels of "
        f"{PIXEL_NM:.2f} nm:\n\n"
    )
    write_section("drift", text + table(header, rows))


if __name__ == "__main__":
    main()
