"""What counting statistics leave uncertain about a target."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.types import Spectrum

RESAMPLES = 32
"""Spectra drawn; the standard deviation is then known to about 12 %."""


def counting_error(scalarizer: Scalarizer, spectrum: Spectrum) -> float:
    """Standard deviation of a spectrum's target by counting statistics.

    A parametric bootstrap (Efron and Tibshirani 1993, chapter 6.5): counts are drawn
    from Poisson distributions about those measured, and scalarized. It serves every
    scalarizer. The same spectrum always gives the same value.

    NaN where nothing is known: counts that are no whole numbers were not counted one by
    one, a target that does not exist has no error, and where all draws agree they say
    nothing.
    """
    counts = np.asarray(spectrum.counts, dtype=np.float64)
    if not is_counted(spectrum):
        return float("nan")
    drawn = np.random.default_rng(0).poisson(counts, (RESAMPLES, len(counts)))
    targets = [scalarizer(replace(spectrum, counts=each)) for each in drawn]
    usable = np.array(targets)[np.isfinite(targets)]
    if 2 * len(usable) < RESAMPLES:
        return float("nan")
    return float(usable.std(ddof=1)) or float("nan")


def is_counted(spectrum: Spectrum) -> bool:
    """Whether the counts of a spectrum are whole numbers, none below 0."""
    counts = spectrum.counts
    return bool(np.isfinite(counts).all() and (counts >= 0).all()) and bool(
        np.array_equal(counts, np.rint(counts))
    )
