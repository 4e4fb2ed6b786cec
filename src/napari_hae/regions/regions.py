"""Regions of interest, forbidden zones and soft regions in the sample's coordinates.

Points are `(y, x)` in nm from the top left corner of the field of view. Edges are
conservative: a point on the boundary of a forbidden zone is forbidden, and a point on
the boundary of a region of interest is outside. The same holds for what a person
makes of a region: grown, shrunk, or its edges only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.regions.drawn import (
    DrawnRegion,
    MaskRegion,
    PolygonRegion,
    drawn_from_json,
)
from napari_hae.regions.outlines import Outline
from napari_hae.regions.packing import check_total

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_hae.coordinates import FieldFrame

__all__ = [
    "AdjustedRegion",
    "DrawnRegion",
    "MaskRegion",
    "PolygonRegion",
    "Region",
    "RegionKind",
    "Regions",
    "SoftRegion",
]

LARGEST_WEIGHT = 3.0
"""Largest weight of a soft region, in units of the acquisition function."""

_FINENESS = 8
"""Factor by which pieces of an outline are shorter than the requested distance."""


class RegionKind(StrEnum):
    """Effect of a region on the experiment."""

    ROI = "region of interest"
    FORBIDDEN = "forbidden zone"
    SOFT = "soft region"


@dataclass(frozen=True, eq=False)
class AdjustedRegion:
    """A drawn region as adjusted by the user; the drawing itself stays unchanged.

    Distances are from the drawn outline. Holes have outlines too. They are known to a
    few thousandths, and on the safe side, as edges are.

    Attributes
    ----------
    grow_nm
        Grown by so much; shrunk, where negative.
    edges_nm
        Only the edges count: a band of this width, half of it on either side of the
        outline (of the grown or shrunk one). Labels that touch have an edge between
        them; where a mask is cut off at its border is none. None: all of it counts.
    is_on
        True if it has any effect; False if it is switched off.

    Raises
    ------
    ValueError
        If `grow_nm` is not finite, or `edges_nm` is not finite and above 0.
    """

    drawn: DrawnRegion
    grow_nm: float = 0.0
    edges_nm: float | None = None
    is_on: bool = True

    def __post_init__(self) -> None:
        if not math.isfinite(self.grow_nm):
            raise ValueError(
                f"{self.name!r} cannot grow by {self.grow_nm} nm: give a number"
            )
        width_nm = self.edges_nm
        if width_nm is not None and not (math.isfinite(width_nm) and width_nm > 0):
            raise ValueError(
                f"the edges of {self.name!r} cannot be {width_nm} nm wide: "
                "give a number above 0"
            )

    @property
    def name(self) -> str:
        """The name of the drawn region."""
        return self.drawn.name

    @property
    def is_empty(self) -> bool:
        """True if it has no effect: switched off, or nothing is drawn yet."""
        return not self.is_on or self.drawn.is_empty

    def contains(
        self, y_nm: ArrayLike, x_nm: ArrayLike, *, edge: bool = True
    ) -> NDArray[np.bool_]:
        """Return whether points in nm lie in the region; broadcasts `y_nm` and `x_nm`.

        With `edge`, points in doubt are in the region. Points that are not finite are
        not.
        """
        inside = self.drawn.contains(y_nm, x_nm, edge=edge)
        if self.edges_nm is None and not self.grow_nm:
            return inside
        near, far = self._outline.distance(y_nm, x_nm)
        # Counted from the outline outwards, and negative within.
        least, most = np.where(inside, -far, near), np.where(inside, -near, far)
        low, high = self._levels
        if edge:
            return (most >= low) & (least <= high)
        return (least >= low) & (most <= high)

    @property
    def _levels(self) -> tuple[float, float]:
        """Distances outwards from the drawn outline between which the region lies."""
        if self.edges_nm is None:
            return -math.inf, self.grow_nm
        return self.grow_nm - self.edges_nm / 2, self.grow_nm + self.edges_nm / 2

    @cached_property
    def _outline(self) -> Outline:
        whole = self.edges_nm is None
        size_nm = self.edges_nm or abs(self.grow_nm)
        pieces = self.drawn.outline(size_nm / _FINENESS, borders=whole)
        finite = [abs(level) for level in self._levels if math.isfinite(level)]
        return Outline(pieces, max(finite))

    def to_json(self) -> dict[str, Any]:
        """Return the region as JSON values, without loss."""
        return {
            **self.drawn.to_json(),
            "grow_nm": self.grow_nm,
            "edges_nm": self.edges_nm,
            "is_on": self.is_on,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AdjustedRegion:
        """Return the region that `to_json` described."""
        return cls(
            drawn_from_json(values),
            values["grow_nm"],
            values["edges_nm"],
            values["is_on"],
        )


Region = DrawnRegion | AdjustedRegion


@dataclass(frozen=True, eq=False)
class SoftRegion:
    """A region that the agent prefers or avoids, and that excludes nothing.

    Attributes
    ----------
    weight
        Value added to the acquisition function inside, in its units (see
        `AcquisitionFunction.unit`): from -3, avoided, to 3, preferred.

    Raises
    ------
    ValueError
        If the weight is not between -3 and 3.
    """

    region: Region
    weight: float

    def __post_init__(self) -> None:
        if not abs(self.weight) <= LARGEST_WEIGHT:
            raise ValueError(
                f"the soft region {self.name!r} cannot have the weight {self.weight}: "
                f"from {-LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
            )

    @property
    def name(self) -> str:
        """The name of the region."""
        return self.region.name

    @property
    def is_empty(self) -> bool:
        """True if it has no effect: no weight, switched off, or nothing is drawn."""
        return not self.weight or self.region.is_empty

    def to_json(self) -> dict[str, Any]:
        """Return the region as JSON values, without loss."""
        return {**self.region.to_json(), "weight": self.weight}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SoftRegion:
        """Return the region that `to_json` described."""
        return cls(_region_from_json(values), values["weight"])


@dataclass(frozen=True)
class Regions:
    """Allowed and preferred beam positions: an immutable snapshot of all regions.

    A forbidden zone wins over a region of interest. Several regions of interest are a
    union. A region of interest in which nothing is painted yet does not restrict: a
    fresh layer to paint in must not stop the run. Soft regions add up where they
    overlap, up to the largest weight that one may have.

    Raises
    ------
    ValueError
        If a forbidden zone is shrunk, or its edges only are to count: such a zone
        would be smaller than what the person sees and has drawn.
    """

    interest: tuple[Region, ...] = ()
    forbidden: tuple[Region, ...] = ()
    soft: tuple[SoftRegion, ...] = ()

    def __post_init__(self) -> None:
        for region in self.forbidden:
            if isinstance(region, AdjustedRegion):
                _check_not_smaller(region)

    @property
    def restricts(self) -> bool:
        """True if any position may be refused."""
        return any(not region.is_empty for region in self.interest + self.forbidden)

    @property
    def in_force(self) -> Regions:
        """Regions that have an effect: switched on and not empty."""
        soft = tuple(each for each in self.soft if not each.is_empty)
        return Regions(_in_force(self.interest), _in_force(self.forbidden), soft)

    def allows(self, y_nm: float, x_nm: float) -> str | None:
        """Return why the beam may not go to a point in nm; None if it may."""
        if not (math.isfinite(y_nm) and math.isfinite(x_nm)):
            return f"is not a place: y = {y_nm} nm, x = {x_nm} nm"
        for region in _in_force(self.forbidden):
            if region.contains(y_nm, x_nm).any():
                return f"lies in the forbidden zone {region.name!r}"
        drawn = _in_force(self.interest)
        if not drawn or any(r.contains(y_nm, x_nm, edge=False).any() for r in drawn):
            return None
        names = " and ".join(repr(region.name) for region in drawn)
        regions = "region" if len(drawn) == 1 else "regions"
        return f"lies outside the {regions} of interest {names}"

    def mask(self, frame: FieldFrame) -> NDArray[np.bool_]:
        """Return True for each pixel whose centre `allows` accepts, `(rows, columns)`.

        It agrees with `allows(*frame.nm(frame.position(row, column)))` to the last bit.
        """
        if frame not in self._masks:
            self._masks[frame] = self._mask(frame)
        return self._masks[frame].copy()

    def preference(self, frame: FieldFrame) -> NDArray[np.float64] | None:
        """Return the sum of the soft regions' weights at each pixel's centre.

        Shape `(rows, columns)`, from -3 to 3; None where no soft region has an effect.
        """
        soft = self.in_force.soft
        if not soft:
            return None
        if frame not in self._preferences:
            weights = np.zeros(frame.shape)
            for each in soft:
                weights += each.weight * each.region.contains(*frame.centres_nm())
            limit = LARGEST_WEIGHT
            self._preferences[frame] = np.clip(weights, -limit, limit)
        return self._preferences[frame].copy()

    # Every step asks for both anew; they are made once for each snapshot.
    @cached_property
    def _masks(self) -> dict[FieldFrame, NDArray[np.bool_]]:
        return {}

    @cached_property
    def _preferences(self) -> dict[FieldFrame, NDArray[np.float64]]:
        return {}

    @cached_property
    def _grown(self) -> dict[float, Regions]:
        return {}

    def _mask(self, frame: FieldFrame) -> NDArray[np.bool_]:
        return self.are_open(*frame.centres_nm())

    def are_open(self, y_nm: ArrayLike, x_nm: ArrayLike) -> NDArray[np.bool_]:
        """Return where `allows` gives None; broadcasts finite `y_nm` and `x_nm`."""
        y, x = np.asarray(y_nm, dtype=float), np.asarray(x_nm, dtype=float)
        drawn = _in_force(self.interest)
        shape = np.broadcast_shapes(y.shape, x.shape)
        allowed = np.full(shape, not drawn, dtype=np.bool_)
        for region in drawn:
            allowed |= region.contains(y, x, edge=False)
        for region in _in_force(self.forbidden):
            allowed &= ~region.contains(y, x)
        return allowed

    def with_margin(self, margin_nm: float) -> Regions:
        """Return the regions with forbidden zones grown, for uncertain places."""
        if not (margin_nm and _in_force(self.forbidden)):
            return self
        if margin_nm not in self._grown:
            grown = tuple(_grown(each, margin_nm) for each in self.forbidden)
            self._grown[margin_nm] = replace(self, forbidden=grown)
        return self._grown[margin_nm]

    def to_json(self) -> dict[str, Any]:
        """Return all regions as JSON values, without loss."""
        return {
            "interest": [region.to_json() for region in self.interest],
            "forbidden": [region.to_json() for region in self.forbidden],
            "soft": [region.to_json() for region in self.soft],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Regions:
        """Return the regions described by `to_json`, also of an older version.

        Raises
        ------
        ValueError
            If one of them, or all together, are too large to be read; nothing is
            allocated then.
        """
        soft = values.get("soft", ())
        check_total((*values["interest"], *values["forbidden"], *soft))
        return cls(
            interest=tuple(_region_from_json(v) for v in values["interest"]),
            forbidden=tuple(_region_from_json(v) for v in values["forbidden"]),
            soft=tuple(SoftRegion.from_json(v) for v in soft),
        )


def _check_not_smaller(zone: AdjustedRegion) -> None:
    instead = "switch it off, or erase a part of it"
    if zone.grow_nm < 0:
        raise ValueError(
            f"the forbidden zone {zone.name!r} cannot be shrunk "
            f"(by {-zone.grow_nm:g} nm): {instead}"
        )
    if zone.edges_nm is not None:
        raise ValueError(
            f"the forbidden zone {zone.name!r} cannot be its edges only: {instead}"
        )


def _grown(zone: Region, margin_nm: float) -> Region:
    if isinstance(zone, AdjustedRegion):
        return replace(zone, grow_nm=zone.grow_nm + margin_nm)
    return AdjustedRegion(zone, margin_nm)


def _in_force(regions: tuple[Region, ...]) -> tuple[Region, ...]:
    return tuple(region for region in regions if not region.is_empty)


def _region_from_json(values: dict[str, Any]) -> Region:
    drawn = "grow_nm" not in values
    return drawn_from_json(values) if drawn else AdjustedRegion.from_json(values)
