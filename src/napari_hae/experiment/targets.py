"""Measured spectra and the targets that the scalarizer in force makes of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_hae.agent.bands import choose_band
from napari_hae.agent.scalarizers import BandScalarizer, Scalarizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.types import EnergyAxis, Measurement


class Targets:
    """All measurements of a run, in order, scored by one scalarizer.

    Read from any thread; changed on the experiment's thread only.

    Parameters
    ----------
    scalarizer
        Turns a spectrum into its target.
    """

    def __init__(self, scalarizer: Scalarizer) -> None:
        self.scalarizer = scalarizer
        self.energy: EnergyAxis | None = None
        self._measurements: tuple[Measurement, ...] = ()

    def __len__(self) -> int:
        return len(self._measurements)

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements in order, with the targets in force."""
        return self._measurements

    @property
    def values(self) -> list[float]:
        """All targets in order; NaN where the scalarizer found none."""
        return [measurement.target for measurement in self._measurements]

    @property
    def errors(self) -> list[float]:
        """The standard deviations of all targets, in order; NaN where unknown."""
        return [measurement.error for measurement in self._measurements]

    @property
    def dose_e(self) -> float:
        """Electrons of all exposures together; NaN where the current is unknown."""
        return sum(m.spectrum.dose_e for m in self._measurements)

    @property
    def is_undecided(self) -> bool:
        """Whether the scalarizer's band is still to be chosen, from first spectra."""
        return _is_undecided(self.scalarizer)

    def check(self, scalarizer: Scalarizer) -> None:
        """Raise `ValueError` if a scalarizer cannot work on the run's energy axis."""
        if self.energy is not None and not _is_undecided(scalarizer):
            scalarizer.check(self.energy)

    def score(self, measurement: Measurement) -> Measurement:
        """The measurement with the target that the scalarizer in force gives it."""
        if self.is_undecided:
            return replace(measurement, target=math.nan, error=math.nan)
        target = self.scalarizer(measurement.spectrum)
        error = self.scalarizer.error(measurement.spectrum)
        return replace(measurement, target=target, error=error)

    def add(self, measurement: Measurement) -> None:
        """Append a measurement that is on disk."""
        self._measurements = (*self._measurements, measurement)

    def restore(self, measurements: Sequence[Measurement]) -> None:
        """Begin with measurements of an earlier session."""
        self._measurements = tuple(measurements)

    def rescore(self, scalarizer: Scalarizer) -> None:
        """Score everything again by another scalarizer."""
        self.scalarizer = scalarizer
        self._measurements = tuple(self.score(m) for m in self._measurements)

    def chosen_band_ev(self) -> tuple[float, float]:
        """The band that the spectra so far suggest, in eV."""
        return choose_band([m.spectrum for m in self._measurements])


def _is_undecided(scalarizer: Scalarizer) -> bool:
    return isinstance(scalarizer, BandScalarizer) and scalarizer.is_automatic
