"""Data from stored runs for the model of a new run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.experience import Experience, Visit
from napari_hae.experiment.damage import refuse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.experiment.stored import StoredRun
    from napari_hae.types import Measurement, ScanImage

    Array = NDArray[np.float64]

LEAST = 8
"""Smallest useful number of spectra."""
MOST = 200
"""Largest number of spectra, sampled evenly over the runs to keep fits quick."""
COMPONENTS = 3
_PERMUTATIONS = 5
_ABOVE_NOISE = 1.05


class NothingToLearn(ValueError):
    """Error for runs without data to learn from; the text gives the reason."""


def learn(runs: Sequence[StoredRun]) -> Experience:
    """Return the data measured in one or several runs on samples of a kind.

    They are the target of each spectrum, by the scalarizer of the last run, and its
    scores of the leading principal components of all spectra together.

    Raises
    ------
    NothingToLearn
        If the runs have too few measurements, or are not compatible.
    DamagedRecord
        If survey images or spectra are missing or damaged.
    """
    for run in runs:
        refuse(run.path, run.damage_read)
    images = [_image(run) for run in runs]
    if len({len(image.data) for image in images}) > 1:
        raise NothingToLearn("the runs' survey images have not as many detectors")
    measured = [(n, m) for n, run in enumerate(runs) for m in _usable(run, runs[-1])]
    if len(measured) < LEAST:
        names = ", ".join(str(run.path) for run in runs)
        raise NothingToLearn(
            f"{names}: {len(measured)} spectra with a target are too few to learn "
            f"from; {LEAST} are needed"
        )
    axis = measured[0][1].spectrum.energy
    if not all(m.spectrum.energy.is_like(axis) for _, m in measured):
        raise NothingToLearn("the runs' spectra have not the same energy axis")
    kept = np.linspace(0, len(measured) - 1, min(len(measured), MOST)).round()
    measured = [measured[int(place)] for place in kept]
    counts = np.stack([m.spectrum.counts for _, m in measured]).astype(np.float64)
    targets = np.array([[m.target] for _, m in measured])
    values = np.concatenate([targets, components(counts)], axis=1)
    visits = []
    for number, image in enumerate(images):
        mine = [place for place, (run, _) in enumerate(measured) if run == number]
        proposals = [measured[place][1].proposal for place in mine]
        pixels = [p.row * image.shape[1] + p.column for p in proposals]
        if pixels:
            visits.append(Visit(image.data, np.array(pixels, np.intp), values[mine]))
    return Experience(tuple(visits))


def components(counts: Array) -> Array:
    """Return scores of the leading principal components of spectra, `(n, k)`.

    Components are of the square roots of the counts, whose noise is uniform. Only
    components that vary more than those of spectra whose channels were shuffled one by
    one (parallel analysis; Horn, Psychometrika 30, 179 (1965)) are kept, 3 at most.

    Parameters
    ----------
    counts
        Shape `(n, channels)`.
    """
    roots = np.sqrt(np.maximum(np.nan_to_num(counts), 0.0))
    roots -= roots.mean(axis=0)
    left, strengths, _ = np.linalg.svd(roots, full_matrices=False)
    rng = np.random.default_rng(0)
    shuffled = [
        np.linalg.svd(rng.permuted(roots, axis=0), compute_uv=False)
        for _ in range(_PERMUTATIONS)
    ]
    stands_out = strengths > _ABOVE_NOISE * np.mean(shuffled, axis=0)
    count = int(np.argmin([*stands_out[:COMPONENTS], False]))
    scores: Array = left[:, :count] * strengths[:count]
    return scores


def _image(run: StoredRun) -> ScanImage:
    if run.survey is None:
        raise NothingToLearn(f"{run.path} ended before it had a survey image")
    return run.survey


def _usable(run: StoredRun, last: StoredRun) -> list[Measurement]:
    """Return the measurements with a target by the scalarizer of the last run."""
    scalarizer = last.settings.scalarizer
    measurements = [m for m in run.measurements if m.usable]
    if run.settings.scalarizer != scalarizer:
        measurements = [replace(m, target=scalarizer(m.spectrum)) for m in measurements]
    return [m for m in measurements if m.usable]
