"""Automatic choice of a band: the line that differs most between spectra."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.types import EnergyAxis, Spectrum

    Array = NDArray[np.float64]

_NOISE_PEAK_EV = 300.0
"""Upper limit of the detector's noise peak in X-ray spectra; lines lie above."""
_SIGNIFICANT_LINE = 3.0
"""Net counts of a line, in standard deviations of their counting noise."""
_SIGNIFICANT_VARIATION = 1e-3
"""Significance level of the test that spectra differ by more than counting noise."""


def choose_band(spectra: Sequence[Spectrum]) -> tuple[float, float]:
    """Return the band in eV of the line that differs most between measured spectra.

    Lines are found in the sum of all spectra with a zero-area top-hat filter (Statham,
    Anal. Chem. 49, 2149 (1977)), which removes any linear background. Of those whose
    counts vary between spectra more than counting noise does (chi-squared test of the
    index of dispersion), the one with the largest ratio of variance to mean is taken:
    there one spectrum tells most about its position. If none does, the strongest line
    is taken. The zero-loss or noise peak at 0 eV is left out.

    Raises
    ------
    ValueError
        If there is no spectrum.
    """
    if not spectra:
        raise ValueError("a band is chosen from spectra; there is none yet")
    energy = spectra[0].energy
    counts = np.nan_to_num(np.stack([spectrum.counts for spectrum in spectra]))
    half = _half_line_width(energy)
    first = energy.channels(_lowest_ev(energy), energy.last_ev).start
    starts, net = _lines(counts.sum(axis=0, dtype=np.float64), half, first)
    bands = [counts[:, start : start + 2 * half].sum(axis=1) for start in starts]
    start = int(starts[_most_telling(np.array(bands, dtype=np.float64), net)])
    last = min(start + 2 * half, energy.size) - 1
    return _in_ev(energy, start), _in_ev(energy, last)


def _lines(total: Array, half: int, first: int) -> tuple[NDArray[np.intp], Array]:
    """Return first channels and net counts of the lines; at least the most likely one.

    A line is `2 * half` channels wide, with half as much background on either side, and
    begins at channel `first` or later.
    """
    from scipy.signal import find_peaks

    sums = np.cumsum(np.pad(total, (1, 0)))
    sums = sums[half:] - sums[:-half]
    if len(sums) <= 3 * half:
        return np.array([0]), np.zeros(1)
    left, right = sums[: -3 * half], sums[3 * half :]
    inside = sums[half : -2 * half] + sums[2 * half : -half]
    skipped = min(max(first - half, 0), len(left) - 1)
    net = (inside - left - right)[skipped:]
    noise = np.sqrt(np.maximum(inside + left + right, 1.0))[skipped:]
    peaks, _ = find_peaks(net)
    peaks = peaks[net[peaks] > _SIGNIFICANT_LINE * noise[peaks]]
    if not peaks.size:
        peaks = np.array([net.argmax()])
    return peaks + skipped + half, net[peaks]


def _most_telling(counts: Array, net: Array) -> int:
    """Return the index of the line to use.

    `counts` has the shape `(lines, spectra)`, `net` `(lines,)`. See `choose_band` for
    the rule.
    """
    freedom = counts.shape[1] - 1
    if freedom:
        mean = np.maximum(counts.mean(axis=1), np.finfo(float).tiny)
        dispersion = counts.var(axis=1, ddof=1) / mean
        varies = chdtrc(freedom, freedom * dispersion) < _SIGNIFICANT_VARIATION
        if varies.any():
            return int(np.where(varies, dispersion, 0.0).argmax())
    return int(net.argmax())


def _is_x_ray(energy: EnergyAxis) -> bool:
    return energy.last_ev > 5_000


def _half_line_width(energy: EnergyAxis) -> int:
    """Return half a line's width in channels: 80 eV for X-rays, else 1/48 of axis."""
    if _is_x_ray(energy):
        return max(round(80 / energy.dispersion_ev), 1)
    return max(round(energy.size / 48), 1)


def _lowest_ev(energy: EnergyAxis) -> float:
    if _is_x_ray(energy):
        return _NOISE_PEAK_EV
    # The excluded range is symmetric: it extends above zero as far as the axis below.
    return max(-energy.offset_ev, 0.0)


def _in_ev(energy: EnergyAxis, channel: int) -> float:
    # Rounded to a thousandth of a channel: precise enough, and without spurious digits.
    digits = 2 - math.floor(math.log10(abs(energy.dispersion_ev)))
    return round(energy.offset_ev + channel * energy.dispersion_ev, digits)
