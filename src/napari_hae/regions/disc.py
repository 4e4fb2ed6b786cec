"""Discs as regions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_hae.regions.drawn import PolygonRegion

_CORNERS = 180


@dataclass(frozen=True)
class Disc:
    """A disc on the sample, in nm.

    Raises
    ------
    ValueError
        If the radius is not positive, or a number is not finite.
    """

    x_nm: float
    y_nm: float
    radius_nm: float
    name: str = "disc"

    def __post_init__(self) -> None:
        numbers = (self.x_nm, self.y_nm, self.radius_nm)
        if not all(map(math.isfinite, numbers)) or self.radius_nm <= 0:
            raise ValueError(
                f"a disc needs a finite centre and a radius above 0 nm; got {self}"
            )

    def around(self) -> PolygonRegion:
        """Return a polygon around the disc, 0.02 % wider: for forbidden zones."""
        return self._polygon(self.radius_nm / math.cos(math.pi / _CORNERS))

    def within(self) -> PolygonRegion:
        """Return a polygon that lies within the disc: for regions of interest."""
        return self._polygon(self.radius_nm)

    def _polygon(self, radius_nm: float) -> PolygonRegion:
        angles = np.arange(_CORNERS) * (2 * math.pi / _CORNERS)
        y_nm = self.y_nm + radius_nm * np.sin(angles)
        x_nm = self.x_nm + radius_nm * np.cos(angles)
        return PolygonRegion(self.name, (np.stack([y_nm, x_nm], axis=1),))
