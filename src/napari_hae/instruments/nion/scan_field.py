"""The field of view, and the frame parameters of scans over it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.instruments.base import InstrumentError
from napari_hae.types import WHOLE_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.types import Area


@dataclass(frozen=True, slots=True)
class Field:
    """The square whose fractions are the probe positions.

    It is a square because the kit takes its one length for the height in some places,
    for the longer side in others.
    """

    fov_nm: float
    centre_nm: tuple[float, float]
    rotation_rad: float

    @classmethod
    def of(cls, seen: Any) -> Field:
        """Return the field of frame parameters or of a scan context."""
        y_nm, x_nm = seen.center_nm
        return cls(
            float(seen.fov_nm), (float(y_nm), float(x_nm)), float(seen.rotation_rad)
        )

    def whole(
        self,
        current: Any,
        shape: tuple[int, int],
        dwell_time_s: float,
        channels: Sequence[int],
    ) -> Any:
        """Return frame parameters of the whole field, all else as in `current`."""
        parameters = type(current)(current.as_dict())
        parameters.pixel_size = shape
        parameters.pixel_time_us = dwell_time_s * 1e6
        parameters.fov_nm = self.fov_nm
        parameters.center_nm = self.centre_nm
        parameters.rotation_rad = self.rotation_rad
        parameters.enabled_channel_indexes = channels
        parameters.subscan_pixel_size = None
        parameters.subscan_fractional_size = None
        parameters.subscan_fractional_center = None
        parameters.subscan_rotation = 0.0
        return parameters

    def planes(
        self, recorded: Sequence[Any], shape: tuple[int, int], area: Area
    ) -> NDArray[np.float32]:
        """Return the images of one recording, shape `(channels, rows, columns)`.

        Raises
        ------
        InstrumentError
            If they have another shape, or show another area.
        """
        shapes = [tuple(plane.data.shape) for plane in recorded]
        if set(shapes) != {tuple(shape)}:
            raise InstrumentError(
                f"Nion Swift scanned images of {shapes} instead of {shape}"
            )
        # The kit takes all pixels for squares as wide as its images' pixels are.
        width = recorded[0].dimensional_calibrations[-1]
        seen_nm, asked_nm = width.scale * shape[1], self.fov_nm * area.width
        if width.units != "nm" or not math.isclose(seen_nm, asked_nm, rel_tol=1e-3):
            raise InstrumentError(
                f"Nion Swift scanned a width of {seen_nm:g} {width.units} instead of "
                f"{asked_nm:g} nm"
            )
        return np.stack([np.asarray(plane.data, np.float32) for plane in recorded])


def part(whole: Any, shape: tuple[int, int], area: Area) -> Any:
    """Return frame parameters of an area, within those of the whole field."""
    parameters = type(whole)(whole.as_dict())
    if area != WHOLE_FIELD:
        parameters.subscan_pixel_size = shape
        parameters.subscan_fractional_size = (area.height, area.width)
        parameters.subscan_fractional_center = (
            (area.top + area.bottom) / 2,
            (area.left + area.right) / 2,
        )
    return parameters
