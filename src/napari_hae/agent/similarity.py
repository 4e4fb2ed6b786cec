"""Similarity to a target spectrum, as a scalarizer."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from napari_hae.agent.scalarizers import (
    NO_VALUE,
    Scalarizer,
    ScalarizerError,
    changed_at,
)
from napari_hae.files import check_file
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.units import ev_per_unit, unit_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.types import EnergyAxis, Spectrum

    Array = NDArray[np.float64]


class SimilarityToTarget(Scalarizer):
    """The cosine of the angle between a spectrum and a target spectrum."""

    title: ClassVar[str] = "Similarity to a spectrum"
    kind: Literal["similarity"] = "similarity"
    file: Path | None = Field(default=None, title="Target spectrum")
    """A file with one spectrum, of any kind that HyperSpy reads."""
    target_counts: tuple[float, ...] | None = Field(
        default=None,
        title="Target counts",
        json_schema_extra={"form": "hidden"},
    )
    """The target spectrum's counts, channel by channel of the measured spectra; in
    place of a file."""
    low_ev: float | None = Field(
        default=None, title="From (eV)", json_schema_extra={"empty": "all"}
    )
    """Only energies from here on are compared. Default: all."""
    high_ev: float | None = Field(
        default=None, title="To (eV)", json_schema_extra={"empty": "all"}
    )
    """Only energies up to here are compared. Default: all."""

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        if self.file is not None and self.target_counts is not None:
            raise ValueError(
                "give the target spectrum as a file or as counts, not both"
            )
        return self

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ValueError` if there is no target spectrum for this energy axis.

        A changed file is read again.
        """
        self.__dict__.pop("_read", None)
        target = self._target(energy)
        channels = self._channels(energy)
        if channels.start == channels.stop:
            raise ValueError(
                f"no channel lies between {self.low_ev} and {self.high_ev} eV; the "
                f"spectra reach from {energy.offset_ev:g} to {energy.last_ev:g} eV"
            )
        if not np.any(target[channels]):
            raise ValueError("the target spectrum is zero where it is to be compared")

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        channels = self._channels(spectrum.energy)
        target = self._target(spectrum.energy)[channels]
        counts = np.asarray(spectrum.counts[channels], dtype=np.float64)
        norm = float(np.linalg.norm(counts) * np.linalg.norm(target))
        return float(counts @ target) / norm if norm else NO_VALUE

    def _channels(self, energy: EnergyAxis) -> slice:
        low = energy.offset_ev if self.low_ev is None else self.low_ev
        high = energy.last_ev if self.high_ev is None else self.high_ev
        return energy.channels(low, high)

    def _target(self, energy: EnergyAxis) -> Array:
        if self.file is not None:
            energies_ev, counts = self._read
            return np.interp(energy.energies_ev, energies_ev, counts, left=0, right=0)
        if self.target_counts is None:
            raise ScalarizerError("similarity: choose a file with the target spectrum")
        if len(self.target_counts) != energy.size:
            raise ScalarizerError(
                f"the target spectrum has {len(self.target_counts)} channels, the "
                f"measured ones have {energy.size}"
            )
        return np.array(self.target_counts)

    @cached_property
    def _read(self) -> tuple[Array, Array]:
        # Cached: a file that is overwritten during a run must not change the goal.
        assert self.file is not None
        return _read_file(self.file, changed_at(self.file))


@lru_cache(maxsize=8)
def _read_file(path: Path, changed: int | None) -> tuple[Array, Array]:
    """Read energies in eV and counts of a file, `(channels,)`; cached until changed."""
    try:
        check_file(path)
        signal = hyperspy().load(path)
    # HyperSpy's readers raise different exceptions for different formats.
    except Exception as error:
        raise ScalarizerError(f"{path} cannot be read: {error}") from error
    if isinstance(signal, list) or signal.data.ndim != 1:
        raise ScalarizerError(f"{path} does not hold one single spectrum")
    axis = signal.axes_manager.signal_axes[0]
    per_unit = ev_per_unit(unit_text(axis))
    if per_unit is None:
        raise ScalarizerError(
            f"the spectrum in {path} has an axis in {axis.units}; eV or keV is needed"
        )
    energies_ev = np.asarray(axis.axis, dtype=np.float64) * per_unit
    return energies_ev, np.asarray(signal.data, dtype=np.float64)
