"""Regret against dose: fixed exposures, adaptive ones, improvement per electron.

Runs on the simulated microscope, at a current so low that counts are few. Regret is
that of the place which a run would report, the one with the best target: the target
expected there against the best one of the field, in units of what the field spans.

    python benchmarks/dose.py [--seeds 20]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np

from napari_hae.cli import main as napari_hae
from napari_hae.experiment.stored import StoredRun, open_run
from napari_hae.instruments.simulated_sample import ENERGY, pixel_centres_nm, sample_of
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.types import dose_electrons
from report import table, versions, write_section

CURRENT_PA = 0.5
BAND_EV = (0.30, 0.40)
ADAPTIVE = {
    "measurement.exposure_s": 0.02,
    "measurement.relative_error": 0.1,
    "measurement.longest_exposure_s": 0.5,
}
MODES = {
    "0.02 s each": {"measurement.exposure_s": 0.02},
    "0.1 s each": {"measurement.exposure_s": 0.1},
    "0.5 s each": {"measurement.exposure_s": 0.5},
    "adaptive": ADAPTIVE,
    "adaptive, per electron": ADAPTIVE | {"moves.per_exposure": "true"},
}
EXPOSED_S = (1.0, 2.5, 5.0, 10.0)


def settings_of(seed: int) -> SimulatedSettings:
    """The microscope of one seed: a sample of its own."""
    return SimulatedSettings(seed=100 + seed, noise_seed=seed, current_pa=CURRENT_PA)


def truth_of(seed: int) -> np.ndarray:
    """The expected target of each pixel, scaled to 0..1, `(rows, columns)`."""
    settings = settings_of(seed)
    points_nm = pixel_centres_nm(settings.shape, settings.field_nm).reshape(-1, 2)
    spectra = sample_of(settings).spectra(points_nm)
    integral = spectra[:, ENERGY.channels(*BAND_EV)].sum(axis=1)
    integral = integral.reshape(settings.shape)
    return (integral - integral.min()) / np.ptp(integral)


def run_of(seed: int, mode: dict[str, object]) -> StoredRun:
    """One run until its dose budget is used up."""
    settings = settings_of(seed)
    chosen = {
        "instrument.seed": settings.seed,
        "instrument.noise_seed": settings.noise_seed,
        "instrument.current_pa": CURRENT_PA,
        "scalarizer.low_ev": BAND_EV[0],
        "scalarizer.high_ev": BAND_EV[1],
        "budget.dose_e": dose_electrons(CURRENT_PA, EXPOSED_S[-1]),
        **mode,
    }
    words = f"run --instrument simulated --seed {seed} --steps 500".split()
    for name, value in chosen.items():
        words += ["--set", f"{name}={value}"]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        path = Path(folder) / "run.hae"
        if code := napari_hae([*words, "--out", str(path)]):
            raise SystemExit(f"exit code {code}: {said.getvalue()}")
        return open_run(path)


def regrets_of(run: StoredRun, truth: np.ndarray) -> list[float]:
    """The regret of the place with the best target, at each exposed time."""
    exposed_s = np.cumsum([m.spectrum.exposure_s for m in run.measurements])
    regrets = []
    for limit_s in EXPOSED_S:
        done = run.measurements[: np.searchsorted(exposed_s, limit_s + 1e-9)]
        if not done:
            regrets.append(1.0)
            continue
        best = max(done, key=lambda m: m.target)
        regrets.append(1 - float(truth[best.proposal.row, best.proposal.column]))
    return regrets


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    rows = []
    for name, mode in MODES.items():
        runs = [run_of(seed, mode) for seed in range(given.seeds)]
        regrets = [regrets_of(run, truth_of(seed)) for seed, run in enumerate(runs)]
        spectra = np.mean([len(run.measurements) for run in runs])
        means = [f"{mean:.3f}" for mean in np.mean(regrets, axis=0)]
        rows.append([name, *means, f"{spectra:.0f}"])
        print(rows[-1], flush=True)
    doses = [f"{dose_electrons(CURRENT_PA, s):.1g} e⁻" for s in EXPOSED_S]
    header = ["exposure", *(f"regret @{dose}" for dose in doses), "spectra in all"]
    text = (
        f"{versions()}\n\n{given.seeds} seeds, {CURRENT_PA:g} pA, EI. "
        "Adaptive: exposures of 0.02 s, repeated where promising to a relative error "
        f"of 10 %, 0.5 s at most:\n\n{table(header, rows)}"
    )
    write_section("dose", text)


if __name__ == "__main__":
    main()
