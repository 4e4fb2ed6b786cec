"""Conversion of the microscope's data to this project's images and spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.instruments.base import InstrumentError
from napari_hae.types import EnergyAxis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_hae.instruments.asyncroscopy.settings import AsyncroscopySettings

_AXIS_NAMES = (
    ("energy_offset_ev", "energy_dispersion_ev"),
    ("offset_ev", "dispersion_ev"),
    ("OffsetEnergy", "Dispersion"),
)
"""Names of attributes stored with a spectrum. The last are Velox's names, in eV."""


def planes(
    images: Sequence[NDArray[Any]], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Stack images to the shape `(detectors, rows, columns)`.

    Raises
    ------
    InstrumentError
        If one has not the shape that was asked for.
    """
    for image in images:
        if image.shape != shape:
            raise InstrumentError(
                f"an image of {shape[0]} × {shape[1]} pixels was asked for, and one of "
                f"{' × '.join(map(str, image.shape))} came"
            )
    return np.stack(images).astype(np.float32)


def counts(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the counts of a spectrum of any length from 1, shape `(channels,)`.

    Raises
    ------
    InstrumentError
        If these are not numbers along one axis.
    """
    line = np.atleast_1d(np.squeeze(values))
    if line.ndim != 1 or line.size == 0 or line.dtype.kind not in "uifb":
        raise InstrumentError(
            f"a spectrum came as {values.dtype} of shape {values.shape}; numbers along "
            "one axis are needed"
        )
    return line.astype(np.float32)


def energy_axis(
    said: Mapping[str, Any], size: int, settings: AsyncroscopySettings
) -> EnergyAxis:
    """Return a spectrum's axis: its own, else by settings, else channel numbers."""
    for offset, dispersion in _AXIS_NAMES:
        if offset in said and dispersion in said:
            axis = EnergyAxis(float(said[offset]), float(said[dispersion]), size)
            if axis.dispersion_ev > 0:
                return axis
    return EnergyAxis(
        settings.energy_offset_ev, settings.energy_dispersion_ev or 1.0, size
    )
