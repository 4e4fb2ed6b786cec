"""Spectra of several energy axes on one of them, for what shows them together."""

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
    """Spectra on the axis that most of them have, of those the earliest.

    Attributes
    ----------
    energy
        That axis.
    counts
        Shape `(measurements, channels)`, float32. Those with another axis are resampled
        so that no count is lost within the axis, and NaN where they do not reach.
    resampled
        The measurements that had another axis, as they were.
    """

    energy: EnergyAxis
    counts: NDArray[np.float32]
    resampled: tuple[Measurement, ...]

    @classmethod
    def of(cls, measurements: Sequence[Measurement]) -> CommonAxis:
        """Bring measurements, at least one, to one axis."""
        axes = Counter(m.spectrum.energy for m in measurements)
        energy = axes.most_common(1)[0][0]
        others = tuple(m for m in measurements if m.spectrum.energy != energy)
        counts = np.stack([_on_axis(m.spectrum, energy) for m in measurements])
        return cls(energy, counts, others)

    @property
    def note(self) -> str:
        """What was resampled, in words; empty if nothing was."""
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
    """The counts of a spectrum in the channels of another axis."""
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
    """The edges of the channels, `(size + 1,)`."""
    edges = np.arange(energy.size + 1, dtype=np.float64) - 0.5
    result: Array = energy.offset_ev + energy.dispersion_ev * edges
    return result
