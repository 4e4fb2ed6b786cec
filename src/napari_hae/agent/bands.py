"""Chooses a band where nobody gave one: where the first spectra differ most."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.types import EnergyAxis, Spectrum

_NOISE_PEAK_EV = 300.0
"""Below this, X-ray spectra show the detector's noise peak, not lines."""


def choose_band(spectra: Sequence[Spectrum]) -> tuple[float, float]:
    """The band in eV in which some measured spectra differ most beyond counting noise.

    Counts are summed in overlapping windows of the width of a line; the score of a
    window is the excess of the variance between spectra over the mean (their ratio is
    1 for counting noise alone), weighted by the square root of the mean, so that weak
    windows with a few stray counts do not win. The zero-loss or noise peak at 0 eV is
    left out.

    Raises
    ------
    ValueError
        If there is no spectrum.
    """
    if not spectra:
        raise ValueError("a band is chosen from spectra; there is none yet")
    energy = spectra[0].energy
    counts = np.stack([spectrum.counts for spectrum in spectra]).astype(np.float64)
    width = _line_width(energy)
    sums = _moving_sums(np.nan_to_num(counts), width)
    mean, variance = sums.mean(axis=0), sums.var(axis=0, ddof=min(1, len(spectra) - 1))
    score = (variance - mean) / np.sqrt(np.maximum(mean, 1.0))
    first = energy.channels(_lowest_ev(energy), energy.last_ev).start
    score[: min(first, len(score) - 1)] = -np.inf
    start = int(score.argmax())
    offset_ev, step_ev = energy.offset_ev, energy.dispersion_ev
    # To a thousandth of a channel: enough for every reader, and no odd last digits.
    digits = 2 - math.floor(math.log10(abs(step_ev)))
    return (
        round(offset_ev + start * step_ev, digits),
        round(offset_ev + (start + width - 1) * step_ev, digits),
    )


def _moving_sums(counts: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    total = np.cumsum(np.pad(counts, ((0, 0), (1, 0))), axis=1)
    sums: NDArray[np.float64] = total[:, width:] - total[:, :-width]
    return sums


def _is_x_ray(energy: EnergyAxis) -> bool:
    return energy.last_ev > 5_000


def _line_width(energy: EnergyAxis) -> int:
    """Channels of a line: 160 eV for X-rays, else a 24th of the axis."""
    if _is_x_ray(energy):
        channels = round(160 / energy.dispersion_ev)
    else:
        channels = round(energy.size / 24)
    return min(max(channels, 2), energy.size)


def _lowest_ev(energy: EnergyAxis) -> float:
    if _is_x_ray(energy):
        return _NOISE_PEAK_EV
    # As far to the right of zero as the axis reaches to its left.
    return max(-energy.offset_ev, 0.0)
