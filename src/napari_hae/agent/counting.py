"""Uncertainty of a target from counting statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.types import Spectrum

RESAMPLES = 32
"""Number of bootstrap spectra; gives the standard deviation to about 12 %."""


def counting_error(scalarizer: Scalarizer, spectrum: Spectrum) -> float:
    """Return the standard deviation of a spectrum's target from counting statistics.

    A parametric bootstrap (Efron and Tibshirani 1993, chapter 6.5): counts are drawn
    from Poisson distributions about the measured ones, and scalarized. It works with
    any scalarizer. The same spectrum always gives the same value.

    NaN where it cannot be estimated: counts that are not integers were not counted one
    by one, a target that does not exist has no error, and draws that all agree carry no
    information.
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
    """Return whether the counts of a spectrum are non-negative integers."""
    counts = spectrum.counts
    return bool(np.isfinite(counts).all() and (counts >= 0).all()) and bool(
        np.array_equal(counts, np.rint(counts))
    )
