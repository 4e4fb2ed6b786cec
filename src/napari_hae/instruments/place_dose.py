"""Local dose at every place of the field, within a radius around it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.types import Area, ProbePosition

    Charge = NDArray[np.float64]

_CELLS = 256
"""Rows and columns of the grid that keeps the charge left by scans."""
_TOGETHER = 64
"""Number of places compared at once with their possible neighbours."""
_ROUNDING = 1 + 1e-9


class PlaceDose:
    """Charges within a radius around each place that a spectrum exposed, and of scans.

    A scan leaves in every disc of that radius its share of the area, or one pixel's
    worth if that is more. What an area touches of the field's 256 × 256 cells counts
    as scanned. Charges are pairs, as `DoseBook` keeps them; positions are fractions of
    the field.
    """

    def __init__(self, radius_nm: float) -> None:
        self._radius_nm = radius_nm
        self._reach_nm = radius_nm * _ROUNDING
        self._spots_nm = np.empty((0, 2))
        self._own = np.empty((0, 2))
        self._around = np.empty((0, 2))
        self._scanned: Charge | None = None

    def share(self, area: Area, points: int, fov_nm: tuple[float, float]) -> float:
        """Return the share of a scan's charge that one disc gets."""
        area_nm2 = area.height * fov_nm[0] * area.width * fov_nm[1]
        disc_nm2 = math.pi * self._radius_nm**2
        return max(1 / points, min(disc_nm2 / area_nm2, 1.0))

    def add_spot(
        self, position: ProbePosition, charge: Charge, fov_nm: tuple[float, float]
    ) -> None:
        """Count an exposure."""
        point_nm = _nm(position, fov_nm)
        near = self._near(point_nm)
        self._around[near] += charge
        same = near & (self._spots_nm == point_nm).all(axis=1)
        if same.any():
            self._own[same] += charge
            return
        around = self._own[near].sum(axis=0) + charge
        self._spots_nm = np.vstack([self._spots_nm, point_nm])
        self._own = np.vstack([self._own, charge])
        self._around = np.vstack([self._around, around])

    def add_spots(
        self,
        positions: Sequence[ProbePosition],
        charges: Charge,
        fov_nm: tuple[float, float],
    ) -> None:
        """Count exposures at places that differ, where there was none yet.

        Charges have the shape `(places, 2)`.
        """
        assert not len(self._spots_nm)
        fractions = np.array([(each.y, each.x) for each in positions]).reshape(-1, 2)
        self._spots_nm, self._own = fractions * fov_nm, charges
        self._around = _sums_within(self._spots_nm, charges, self._reach_nm)

    def with_spot(
        self, position: ProbePosition, charge: Charge, fov_nm: tuple[float, float]
    ) -> Charge:
        """Return the charges at the place and near it after one more exposure.

        Shape `(places, 2)`.
        """
        point_nm = _nm(position, fov_nm)
        near = self._near(point_nm)
        around = np.vstack([self._around[near], self._own[near].sum(axis=0)])
        places_nm = np.vstack([self._spots_nm[near], point_nm])
        return around + charge + self._scanned_at(places_nm, fov_nm)

    def add_scan(
        self, area: Area, points: int, charge: Charge, fov_nm: tuple[float, float]
    ) -> None:
        """Count a scan."""
        if self._scanned is None:
            self._scanned = np.zeros((_CELLS, _CELLS, 2))
        self._scanned[_cells(area)] += self.share(area, points, fov_nm) * charge

    def with_scan(
        self, area: Area, points: int, charge: Charge, fov_nm: tuple[float, float]
    ) -> Charge:
        """Return the charges in an area after one more scan, `(places, 2)`."""
        more = self.share(area, points, fov_nm) * charge
        rows, columns = _cells(area)
        cell = _cell(self._spots_nm, fov_nm)
        inside = (cell[:, 0] >= rows.start) & (cell[:, 0] < rows.stop)
        inside &= (cell[:, 1] >= columns.start) & (cell[:, 1] < columns.stop)
        scanned = np.zeros((1, 2))
        if self._scanned is not None:
            scanned = self._scanned[rows, columns].reshape(-1, 2)
        spots = self._around[inside] + self._scanned_at(self._spots_nm[inside], fov_nm)
        return np.vstack([spots, scanned]) + more

    def least_scanned(self) -> Charge:
        """Return the charge that scans have left everywhere."""
        if self._scanned is None:
            return np.zeros(2)
        least: Charge = self._scanned.min(axis=(0, 1))
        return least

    def _near(self, point_nm: Charge) -> NDArray[np.bool_]:
        distance_nm = np.hypot(*(self._spots_nm - point_nm).T)
        near: NDArray[np.bool_] = distance_nm <= self._reach_nm
        return near

    def _scanned_at(self, places_nm: Charge, fov_nm: tuple[float, float]) -> Charge:
        if self._scanned is None:
            return np.zeros((len(places_nm), 2))
        rows, columns = _cell(places_nm, fov_nm).T
        scanned: Charge = self._scanned[rows, columns]
        return scanned


def _sums_within(places_nm: Charge, charges: Charge, reach_nm: float) -> Charge:
    """For every place, the charges within reach of it, its own among them.

    The field is cut into strips that are no narrower than the reach, and the places of
    a strip lie in order along it. So a few at a time are compared only with those that
    are near along the strip, in the same one and in its neighbours.
    """
    sums = np.zeros_like(charges)
    if not len(sums):
        return sums
    across = places_nm[:, 0] - places_nm[:, 0].min()
    width_nm = max(reach_nm, across.max() / math.sqrt(len(sums)))
    strips = (across / width_nm).astype(int)
    order = np.lexsort((places_nm[:, 1], strips))
    places_nm, charges = places_nm[order], charges[order]
    count = int(strips.max()) + 1
    bounds = np.searchsorted(strips[order], np.arange(count + 1))
    for strip in range(count):
        for begin in range(bounds[strip], bounds[strip + 1], _TOGETHER):
            some = slice(begin, min(begin + _TOGETHER, bounds[strip + 1]))
            for other in range(max(strip - 1, 0), min(strip + 2, count)):
                sums[order[some]] += _sums_of_near(
                    places_nm[some],
                    places_nm[bounds[other] : bounds[other + 1]],
                    charges[bounds[other] : bounds[other + 1]],
                    reach_nm,
                )
    return sums


def _sums_of_near(
    some_nm: Charge, others_nm: Charge, charges: Charge, reach_nm: float
) -> Charge:
    """For some places, the charges of others within reach; both in order along x."""
    along = some_nm[0, 1] - reach_nm, some_nm[-1, 1] + reach_nm
    first, last = np.searchsorted(others_nm[:, 1], along)
    others = slice(first, last + 1)
    down, right = (
        np.subtract.outer(some_nm[:, axis], others_nm[others, axis]) for axis in (0, 1)
    )
    near = down * down + right * right <= reach_nm**2
    sums: Charge = near.astype(float) @ charges[others]
    return sums


def _nm(position: ProbePosition, fov_nm: tuple[float, float]) -> Charge:
    return np.array([position.y * fov_nm[0], position.x * fov_nm[1]])


def _cell(places_nm: Charge, fov_nm: tuple[float, float]) -> NDArray[np.int_]:
    """Row and column of the cells that hold places."""
    cells = np.floor(places_nm / fov_nm * _CELLS).astype(int)
    inside: NDArray[np.int_] = np.clip(cells, 0, _CELLS - 1)
    return inside


def _cells(area: Area) -> tuple[slice, slice]:
    """Return the cells that an area touches."""
    return _touched(area.top, area.bottom), _touched(area.left, area.right)


def _touched(low: float, high: float) -> slice:
    # A place on the edge is in the area, on whichever side rounding puts it.
    first = math.floor(low * _CELLS - 1e-6)
    return slice(max(first, 0), math.floor(high * _CELLS + 1e-6) + 1)
