"""Effects of time and electrons on the simulated sample: drift and local dose."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.types import Area

    Array = NDArray[np.float64]

DOSE_RADIUS_NM = 2.0
"""Standard deviation of the spot in which an exposure leaves its dose."""


class Drift:
    """Drift of the sample: a steady velocity and a random walk.

    Parameters
    ----------
    velocity_nm_per_s
        `(y, x)`.
    walk_nm
        Standard deviation of the random walk after 1 s, along each axis.
    """

    def __init__(
        self,
        velocity_nm_per_s: tuple[float, float],
        walk_nm: float,
        rng: np.random.Generator,
    ) -> None:
        self._velocity = np.array(velocity_nm_per_s)
        self._walk_nm = walk_nm
        self._rng = rng
        self.offset_nm: Array = np.zeros(2)

    def pass_time(self, time_s: float, steps: int = 1) -> Array:
        """Let time pass in equal steps.

        Returns the offset `(y, x)` in nm at the start of each, shape `(steps, 2)`.
        """
        step_s = time_s / steps
        walk = self._walk_nm * math.sqrt(step_s) * self._rng.normal(size=(steps, 2))
        moves = self._velocity * step_s + walk
        path = self.offset_nm + np.cumsum(moves, axis=0)
        starts = np.concatenate([self.offset_nm[None], path[:-1]])
        self.offset_nm = path[-1]
        return starts


class LocalDose:
    """Electrons per nm² that each place of the sample has received.

    Parameters
    ----------
    shape
        `(rows, columns)` of the map that keeps it.
    fov_nm
        Its size `(height, width)` in nm.
    """

    def __init__(self, shape: tuple[int, int], fov_nm: tuple[float, float]) -> None:
        self._map = np.zeros(shape, dtype=np.float32)
        self._pixel_nm = np.array(fov_nm) / shape

    def at(self, point_nm: Array) -> float:
        """Return the dose at `(y, x)` in nm, in e⁻/nm², interpolated between pixels."""
        from scipy.ndimage import map_coordinates

        place = (point_nm / self._pixel_nm - 0.5)[:, None]
        return float(map_coordinates(self._map, place, order=1, mode="nearest")[0])

    def add_spot(self, point_nm: Array, electrons: float) -> None:
        """Leave electrons in a Gaussian spot around `(y, x)` in nm."""
        sigma = np.maximum(DOSE_RADIUS_NM / self._pixel_nm, 0.5)
        place = point_nm / self._pixel_nm - 0.5
        axes = [self._window(place[axis], sigma[axis], axis) for axis in (0, 1)]
        (rows, down), (columns, across) = axes
        density = electrons / float(np.prod(self._pixel_nm))
        self._map[rows, columns] += density * np.outer(down, across)

    def add_area(self, area: Area, electrons: float) -> None:
        """Spread electrons over an area of the field, in whole pixels of the map."""
        rows, columns = self._map.shape
        down = slice(math.floor(area.top * rows), math.ceil(area.bottom * rows))
        across = slice(math.floor(area.left * columns), math.ceil(area.right * columns))
        part = self._map[down, across]
        part += electrons / (part.size * float(np.prod(self._pixel_nm)))

    def _window(self, centre: float, sigma: float, axis: int) -> tuple[slice, Array]:
        """Return the pixels within 4 sigma, and each one's share of the spot."""
        first = max(math.floor(centre - 4 * sigma), 0)
        last = min(math.ceil(centre + 4 * sigma), self._map.shape[axis] - 1)
        offsets = np.arange(first, last + 1) - centre
        share = np.exp(-0.5 * (offsets / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
        return slice(first, first + len(share)), share
