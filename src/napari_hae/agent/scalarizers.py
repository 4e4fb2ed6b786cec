"""Scalarizers: from a spectrum to a single number, the target.

A new one is a subclass of `Scalarizer` with a `kind`, registered in the entry-point
group `napari_hae.scalarizers`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_hae.agent.counting import counting_error, is_counted
from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.types import EnergyAxis, Spectrum

    Array = NDArray[np.float64]

NO_VALUE = float("nan")


class ScalarizerError(ValueError):
    """Error of a scalarizer that cannot work at all; the text says which and why."""


def changed_at(file: Path) -> int | None:
    """Return the modification time of a file in ns; None if there is no such file.

    Data read from the file are cached until it changes.
    """
    return file.stat().st_mtime_ns if file.is_file() else None


class Scalarizer(Settings):
    """Base class of all scalarizers."""

    title: ClassVar[str]
    """Name shown in the window."""
    unit: ClassVar[str] = ""
    """The target's unit; empty for a pure number."""

    kind: str = Field(title="Scalarizer")

    @property
    def is_automatic(self) -> bool:
        """Return whether a setting is still to be chosen during the run."""
        return False

    def following(self, before: Scalarizer) -> Self:
        """Return the scalarizer, adapted to replace the one before from now on."""
        return self

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ValueError` if it cannot work on spectra with this energy axis."""

    def __call__(self, spectrum: Spectrum) -> float:
        """Return the target; NaN where the spectrum has none.

        Exposures may differ between spectra: divide quantities that grow with them by
        `spectrum.exposure_s`.
        """
        raise NotImplementedError

    def error(self, spectrum: Spectrum) -> float:
        """Return the target's standard deviation by counting statistics, else NaN."""
        return counting_error(self, spectrum)


class BandScalarizer(Scalarizer):
    """Base class of scalarizers that use a band of the spectrum."""

    low_ev: float | None = Field(default=None, title="Band from (eV)")
    """Lower end of the band in eV. Automatic: the instrument suggests the band, or it
    is chosen where the first spectra differ most."""
    high_ev: float | None = Field(default=None, title="Band to (eV)")
    """Upper end of the band in eV. Automatic: as for the lower end."""

    @model_validator(mode="after")
    def _is_a_band(self) -> Self:
        if (self.low_ev is None) != (self.high_ev is None):
            raise ValueError("a band needs both ends, or none for an automatic one")
        _check_order("the band", self.band_ev)
        return self

    @property
    def band_ev(self) -> tuple[float, float] | None:
        """Both ends of the band in eV; None while it is automatic."""
        if self.low_ev is None or self.high_ev is None:
            return None
        return self.low_ev, self.high_ev

    @property
    def is_automatic(self) -> bool:
        """Return whether the band is still to be chosen."""
        return self.band_ev is None

    def with_band(self, low_ev: float | None, high_ev: float | None) -> Self:
        """Return the scalarizer with another band, or an automatic one, validated."""
        values = self.model_dump() | {"low_ev": low_ev, "high_ev": high_ev}
        return type(self).model_validate(values)

    def following(self, before: Scalarizer) -> Self:
        """Return the scalarizer, adapted to replace the one before from now on.

        A different kind takes over the band of the one before, unless it has its own.
        """
        if not isinstance(before, BandScalarizer) or before.kind == self.kind:
            return self
        if before.band_ev is None or not self.is_automatic:
            return self
        return self.with_band(*before.band_ev)

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ValueError` if the band holds no channel."""
        _check_band("the band", self.band_ev, energy)

    def _in_band(self, spectrum: Spectrum) -> tuple[Array, Array]:
        """Return energies and counts of the band's channels."""
        if self.band_ev is None:
            raise ScalarizerError(f"{self.title.lower()}: no band has been chosen yet")
        return _channels(spectrum, self.band_ev)


class BandIntegral(BandScalarizer):
    """The counts in a band, summed, per second of exposure."""

    title: ClassVar[str] = "Band integral"
    unit: ClassVar[str] = "counts/s"
    kind: Literal["band_integral"] = "band_integral"

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        _, counts = self._in_band(spectrum)
        return float(counts.sum()) / spectrum.exposure_s if counts.size else NO_VALUE

    def error(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`; zero counts have the uncertainty of one count."""
        if not is_counted(spectrum):
            return NO_VALUE
        counted = max(float(self._in_band(spectrum)[1].sum()), 1.0)
        return math.sqrt(counted) / spectrum.exposure_s


class BandMaximum(BandScalarizer):
    """The largest count in a band, per second of exposure."""

    title: ClassVar[str] = "Band maximum"
    unit: ClassVar[str] = "counts/s"
    kind: Literal["band_maximum"] = "band_maximum"

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        _, counts = self._in_band(spectrum)
        return float(counts.max()) / spectrum.exposure_s if counts.size else NO_VALUE


class BandRatio(BandScalarizer):
    """The counts in a band divided by those in a reference band."""

    title: ClassVar[str] = "Band ratio"
    kind: Literal["band_ratio"] = "band_ratio"
    reference_low_ev: float = Field(default=0.65, title="Reference from (eV)")
    """Lower end of the reference band in eV. Default 0.65 eV."""
    reference_high_ev: float = Field(default=0.75, title="Reference to (eV)")
    """Upper end of the reference band in eV. Default 0.75 eV."""

    @model_validator(mode="after")
    def _has_a_reference(self) -> Self:
        _check_order("the reference band", self._reference_ev)
        return self

    @property
    def _reference_ev(self) -> tuple[float, float]:
        return self.reference_low_ev, self.reference_high_ev

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ValueError` if one of the bands holds no channel."""
        super().check(energy)
        _check_band("the reference band", self._reference_ev, energy)

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        _, counts = self._in_band(spectrum)
        _, reference = _channels(spectrum, self._reference_ev)
        below = float(reference.sum())
        return float(counts.sum()) / below if below else NO_VALUE


class PeakEnergy(BandScalarizer):
    """The energy of the highest peak in a band, between channels by a parabola."""

    title: ClassVar[str] = "Peak energy"
    unit: ClassVar[str] = "eV"
    kind: Literal["peak_energy"] = "peak_energy"

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        energies_ev, counts = self._in_band(spectrum)
        if not np.isfinite(counts).all() or not (counts > 0).any():
            return NO_VALUE
        top = int(counts.argmax())
        if top in (0, len(counts) - 1):
            return float(energies_ev[top])
        before, peak, after = counts[top - 1 : top + 2]
        bend = before - 2 * peak + after
        shift = 0.5 * (before - after) / bend if bend else 0.0
        return float(energies_ev[top] + shift * spectrum.energy.dispersion_ev)


class CentreOfMass(BandScalarizer):
    """The mean energy in a band, weighted by the counts."""

    title: ClassVar[str] = "Centre of mass"
    unit: ClassVar[str] = "eV"
    kind: Literal["centre_of_mass"] = "centre_of_mass"

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        energies_ev, counts = self._in_band(spectrum)
        total = float(counts.sum())
        return float(energies_ev @ counts) / total if total > 0 else NO_VALUE


def _check_order(name: str, band_ev: tuple[float, float] | None) -> None:
    if band_ev is not None and not band_ev[0] < band_ev[1]:
        low, high = band_ev
        raise ValueError(
            f"{name} from {low:g} to {high:g} eV is empty: its lower end must be below "
            "its upper end"
        )


def _check_band(
    name: str, band_ev: tuple[float, float] | None, energy: EnergyAxis
) -> None:
    if band_ev is None:
        return
    channels = energy.channels(*band_ev)
    if channels.start == channels.stop:
        low, high = band_ev
        raise ValueError(
            f"{name} from {low:g} to {high:g} eV holds no channel of the spectra, "
            f"which reach from {energy.offset_ev:g} to {energy.last_ev:g} eV"
        )


def _channels(spectrum: Spectrum, band_ev: tuple[float, float]) -> tuple[Array, Array]:
    channels = spectrum.energy.channels(*band_ev)
    counts = np.asarray(spectrum.counts[channels], dtype=np.float64)
    return spectrum.energy.energies_ev[channels], counts
