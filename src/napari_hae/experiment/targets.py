"""Measured spectra, and their targets by the scalarizer in force."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.bands import choose_band
from napari_hae.agent.scalarizers import ScalarizerError
from napari_hae.types import LARGEST

if TYPE_CHECKING:
    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.types import EnergyAxis, Measurement, Spectrum


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
        self._axis: EnergyAxis | None = None
        self._measurements: tuple[Measurement, ...] = ()
        self.discarded: frozenset[int] = frozenset()
        """Steps whose measurements are excluded from training; their targets are
        NaN."""

    def __len__(self) -> int:
        return len(self._measurements)

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Return all measurements in order, with the targets in force."""
        return self._measurements

    @property
    def values(self) -> list[float]:
        """Return all targets in order; NaN if the scalarizer found none."""
        return [measurement.target for measurement in self._measurements]

    @property
    def errors(self) -> list[float]:
        """Return the standard deviations of all targets, in order; NaN if unknown."""
        return [measurement.error for measurement in self._measurements]

    def why_foreign(self, spectrum: Spectrum) -> str:
        """Return the reason why a spectrum is foreign to the run; empty if it is not.

        A spectrum whose energy axis differs from the run's first one is kept without a
        target, as its channels are not comparable. The same applies to one without a
        finite number, from a faulty detector.
        """
        if not np.isfinite(spectrum.counts).any():
            return "none of its channels holds a number"
        if self._axis is None or spectrum.energy.is_like(self._axis):
            return ""
        return (
            f"its spectrum has {spectrum.energy}, and those of the run have "
            f"{self._axis}"
        )

    @property
    def is_undecided(self) -> bool:
        """Return whether the scalarizer still lacks an input: a band, or a vote."""
        return self.scalarizer.is_automatic

    def check(self, scalarizer: Scalarizer) -> None:
        """Raise `ValueError` if a scalarizer cannot work on the run's energy axis."""
        if self.energy is not None and not scalarizer.is_automatic:
            scalarizer.check(self.energy)

    def score(self, measurement: Measurement) -> Measurement:
        """Return the measurement with its target by the scalarizer in force.

        Raises
        ------
        ScalarizerError
            If the scalarizer fails, or does not return a number.
        """
        is_out = measurement.step in self.discarded
        if self.is_undecided or is_out or self.why_foreign(measurement.spectrum):
            return replace(measurement, target=math.nan, error=math.nan)
        scalarizer, spectrum = self.scalarizer, measurement.spectrum
        # A third-party scalarizer may raise any exception.
        try:
            target = float(scalarizer(spectrum))
            error = float(scalarizer.error(spectrum))
        except ScalarizerError:
            raise
        except Exception as failure:
            raise ScalarizerError(
                f"the scalarizer {scalarizer.title!r} gave no number for the spectrum "
                f"of step {measurement.step + 1}: {type(failure).__name__}: {failure}"
            ) from failure
        if not abs(target) <= LARGEST or abs(error) > LARGEST:
            target = error = math.nan
        return replace(measurement, target=target, error=error)

    def add(self, measurement: Measurement) -> None:
        """Append a measurement that is on disk."""
        self._axis = self._axis or measurement.spectrum.energy
        self._measurements = (*self._measurements, measurement)

    def restore(self, past: StoredRun) -> None:
        """Start from the data of an earlier session."""
        self._measurements = past.measurements
        if past.measurements:
            self._axis = past.measurements[0].spectrum.energy
        self.discarded = past.discarded

    def score_again(self, step: int) -> None:
        """Score one measurement again, after it was discarded or restored."""
        self._measurements = tuple(
            self.score(m) if m.step == step else m for m in self._measurements
        )

    def score_last_again(self) -> bool:
        """Score the last spectra without target again; return whether one got it."""
        measured, is_scored = list(self._measurements), False
        for at in reversed(range(len(measured))):
            if measured[at].usable or measured[at].step in self.discarded:
                break
            measured[at] = self.score(measured[at])
            is_scored |= measured[at].usable
        self._measurements = tuple(measured)
        return is_scored

    def rescore(self, scalarizer: Scalarizer) -> None:
        """Recompute all targets by another scalarizer."""
        self.take(scalarizer, self.rescored(scalarizer))

    def rescored(self, scalarizer: Scalarizer) -> tuple[Measurement, ...]:
        """Return all targets by another scalarizer, without applying them."""
        other = Targets(scalarizer)
        other.discarded, other._axis = self.discarded, self._axis
        return tuple(other.score(m) for m in self._measurements)

    def take(self, scalarizer: Scalarizer, scored: tuple[Measurement, ...]) -> None:
        """Put targets by another scalarizer in force."""
        self.scalarizer, self._measurements = scalarizer, scored

    def chosen_band_ev(self) -> tuple[float, float]:
        """Return the band that the spectra so far suggest, in eV."""
        spectra = [m.spectrum for m in self._measurements]
        return choose_band([each for each in spectra if not self.why_foreign(each)])
