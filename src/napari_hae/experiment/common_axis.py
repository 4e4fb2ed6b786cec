"""Spectra of several energy axes, resampled to one of them for joint display."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.types import EnergyAxis, Measurement, Spectrum

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class CommonAxis:
    """Spectra on their most frequent energy axis, the earliest in case of a tie.

    Attributes
    ----------
    energy
        The common energy axis.
    counts
        Shape `(measurements, channels)`, float32. Spectra with another axis are
        resampled such that counts within the common axis are conserved, and are NaN
        outside their own range.
    resampled
        The measurements with another axis, unchanged.
    """

    energy: EnergyAxis
    counts: NDArray[np.float32]
    resampled: tuple[Measurement, ...]

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> CommonAxis:
        """Bring measurements, at least one, to one energy axis."""
        axes = Counter(m.spectrum.energy for m in measurements)
        energy = axes.most_common(1)[0][0]
        others = tuple(m for m in measurements if m.spectrum.energy != energy)
        counts = np.stack([_on_axis(m.spectrum, energy) for m in measurements])
        return cls(energy, counts, others)

    @property
    def note(self) -> str:
        """Return a note on the resampled spectra; empty if there are none."""
        if not self.resampled:
            return ""
        steps = ", ".join(str(m.step + 1) for m in self.resampled[:_NAMED])
        more = ", …" if len(self.resampled) > _NAMED else ""
        return (
            f"{len(self.resampled)} of {len(self.counts)} spectra (step {steps}{more}) "
            f"have another energy axis. They were resampled to {self.energy}, and are "
            "NaN where they do not reach."
        )


_NAMED = 5


def _on_axis(spectrum: Spectrum, energy: EnergyAxis) -> NDArray[np.float32]:
    """Return the counts of a spectrum in the channels of another axis."""
    if spectrum.energy == energy:
        return spectrum.counts
    if np.isnan(spectrum.counts).all():
        return np.full(energy.size, np.nan, np.float32)
    own, wanted = _edges_ev(spectrum.energy), _edges_ev(energy)
    counted = np.concatenate([[0.0], np.cumsum(np.nan_to_num(spectrum.counts))])
    counts = np.diff(np.interp(wanted, own, counted))
    rounding = 1e-9 * energy.dispersion_ev
    reached = (wanted[:-1] >= own[0] - rounding) & (wanted[1:] <= own[-1] + rounding)
    result: NDArray[np.float32] = np.where(reached, counts, np.nan).astype(np.float32)
    return result


def _edges_ev(energy: EnergyAxis) -> Array:
    """Return the edges of the channels, `(size + 1,)`."""
    edges = np.arange(energy.size + 1, dtype=np.float64) - 0.5
    result: Array = energy.offset_ev + energy.dispersion_ev * edges
    return result
