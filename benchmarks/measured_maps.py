"""Finds the best pixels of measured spectrum images with few spectra.

Every experiment is one `napari-hae run --instrument replay` with the default settings:
the agent chooses the band from its first spectra, then looks for the largest integral
in it. When the run is over, all pixels are scalarized in the same way; the best target
that was found takes its place among them.

    python benchmarks/measured_maps.py MAP.bcf [MAP.bcf …] [--steps 60] [--seeds 10]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import sys
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np

from napari_hae import __version__
from napari_hae.cli import main as napari_hae
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.stored import StoredRun, open_run
from napari_hae.instruments.replay import ReplayedSpectrumImage
from napari_hae.instruments.spectrum_images import SpectrumImage, read_spectrum_image
from napari_hae.types import Spectrum

TOP = 0.01
"""The share of all pixels that counts as found."""


def experiment(file: Path, steps: int, seed: int, out: Path) -> tuple[StoredRun, int]:
    """One run from the command line: its record, and how many spectra it asked for."""
    instruments: list[ReplayedSpectrumImage] = []

    def remember(self: ReplayedSpectrumImage, settings: object) -> None:
        original(self, settings)
        instruments.append(self)

    original = ReplayedSpectrumImage.__init__
    with (
        mock.patch.object(ReplayedSpectrumImage, "__init__", remember),
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        words = f"run --instrument replay --steps {steps} --seed {seed}".split()
        code = napari_hae([*words, "--file", str(file), "--out", str(out)])
    if code:
        raise SystemExit(f"exit code {code}: {said.getvalue()}")
    return open_run(out), sum(each.spectra_served for each in instruments)


def utilities_everywhere(run: StoredRun, data: SpectrumImage) -> np.ndarray:
    """What the run looked for, of every pixel; shape `(rows, columns)`."""
    frame = FieldFrame(data.shape, data.fov_nm)
    targets = np.empty(data.shape)
    for row, column in np.ndindex(data.shape):
        position = frame.position(row, column)
        counts = data.spectrum(row, column)
        spectrum = Spectrum(counts, data.energy, data.detector, position, 1.0, np.nan)
        targets[row, column] = run.settings.scalarizer(spectrum)
    return run.settings.goal.utility_of(targets)


def place_of_best(run: StoredRun, data: SpectrumImage) -> tuple[int, int]:
    """How many pixels are better than the best one measured, and the first step
    whose pixel is in the top share (0: none)."""
    everywhere = utilities_everywhere(run, data)
    measured = [m.proposal for m in run.measurements]
    found = np.array([everywhere[p.row, p.column] for p in measured])
    better = int(np.sum(everywhere > found.max()))
    allowed = TOP * everywhere.size
    first = next(
        (n for n, u in enumerate(found, 1) if np.sum(everywhere > u) < allowed), 0
    )
    return better, first


def compare(file: Path, steps: int, seeds: int, folder: Path) -> None:
    """Run all seeds on a file, and print what they found."""
    data = read_spectrum_image(file, None)
    pixels = data.shape[0] * data.shape[1]
    size = f"{data.shape[0]} × {data.shape[1]} px"
    print(
        f"\n{file.name}, {size}, {steps} spectra ({steps / pixels:.1%} of the pixels)"
    )
    print(
        "seed  asked  record  band (eV)         better pixels  in the top 1 % at step"
    )
    hits = []
    for seed in range(1, seeds + 1):
        out = folder / f"{file.stem}-{seed}.hae"
        run, asked = experiment(file, steps, seed, out)
        better, first = place_of_best(run, data)
        low, high = run.settings.scalarizer.band_ev or (np.nan, np.nan)
        hits.append(first)
        print(
            f"{seed:4}  {asked:5}  {len(run.measurements):6}  {low:8.1f}–{high:<8.1f} "
            f"{better:14}  {first or '–'}",
            flush=True,
        )
        if asked != len(run.measurements):
            raise SystemExit("the instrument was asked for other spectra than recorded")
    data.close()
    there = [first for first in hits if first]
    print(
        f"best target in the top {TOP:.0%} of all pixels: {len(there)} of {seeds} seeds"
        + (f", at step {statistics.median(there):.0f} in the median" if there else "")
    )


def main() -> int:
    """Compare on all files given."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, metavar="MAP.bcf")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    print(f"napari-hae {__version__}, default settings")
    with tempfile.TemporaryDirectory() as folder:
        for file in options.files:
            compare(file, options.steps, options.seeds, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
