"""Allowed positions: the pixels of the survey image that the regions permit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.regions.outlines import Rectangle
from napari_hae.regions.regions import AdjustedRegion, PolygonRegion, Regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.regions.regions import DrawnRegion, Region
    from napari_hae.types import Area, ProbePosition

    Array = NDArray[np.float64]

_ROUNDING_PX = 1e-6
"""Positions this near to a pixel's centre, in pixels, are taken as the centre."""

_DOUBT = 2e-3
"""Relative uncertainty of the distance by which a region is grown or shrunk."""

_CORNERS = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
_AT_FIRST = 16
"""Parts along the longer side of an area, whose centres are tested first."""
_MOST_PARTS = 50_000
"""Largest number of parts; an area that needs more counts as closed."""


@dataclass(frozen=True)
class AllowedField:
    """Regions on one field of view: the mask for the agent, the rule for the gate.

    Both answers come from the same regions, so that a pixel that the mask allows is
    never refused at the gate unless a region was painted in between.

    Attributes
    ----------
    frame
        The survey image, whose coordinates are those of the sample.
    regions
        On the sample, where the survey image has shown it.
    drift_nm
        Known drift `(y, x)` of the sample since then.
    """

    frame: FieldFrame
    regions: Regions = field(default_factory=Regions)
    drift_nm: tuple[float, float] = (0.0, 0.0)

    @property
    def field_nm(self) -> tuple[float, float]:
        """`(height, width)` in nm of the field of view that it is drawn on."""
        return self.frame.field_nm

    def refusal_of_scan(self, area: Area) -> str | None:
        """Return why the beam may not scan an area; None if it may.

        The area has to be open everywhere. No zone is too thin to be seen, as the
        drawn outlines are looked at, and not pixels.
        """
        # A gate asks before, during and after a scan.
        if area not in self._scans:
            self._scans[area] = self._is_open(area)
        if self._scans[area]:
            return None
        return (
            "would expose what regions close to the beam: switch those regions off, "
            "or scan an area outside them"
        )

    def refusal(self, position: ProbePosition) -> str | None:
        """Return why the beam may not be at a position; None if it may.

        The position is the probe's, wherever the sample has moved.
        """
        if self._has_moved and not position.is_inside:
            return "has drifted out of the field of view"
        return self.regions.allows(*self.on_sample_nm(position))

    def position(self, on_sample: ProbePosition) -> ProbePosition:
        """Return the probe position for a place of the sample, inside the field or not.

        The place is given as the position that it had in the survey image.
        """
        if not self._has_moved:
            return on_sample
        y_nm, x_nm = self.frame.nm(on_sample)
        down, right = self.drift_nm
        return self.frame.position_at(y_nm + down, x_nm + right)

    def on_sample_nm(self, position: ProbePosition) -> tuple[float, float]:
        """Return `(y, x)` on the sample, in survey nm, under a probe position."""
        y_nm, x_nm = self.frame.nm(position)
        if not (self._has_moved and position.is_inside):
            return y_nm, x_nm
        down, right = self.drift_nm
        return self._snapped(y_nm - down, x_nm - right)

    def mask(self) -> NDArray[np.bool_]:
        """Return a mask of shape `(rows, columns)`, True where the beam may be."""
        mask = self.regions.mask(self.frame)
        if self._has_moved:
            for nm, moved_nm, size_nm in zip(
                self.frame.centres_nm(),
                self.drift_nm,
                self.frame.field_nm,
                strict=True,
            ):
                share = (nm + moved_nm) / size_nm
                mask &= (share >= 0) & (share <= 1)
        return mask

    def to_json(self) -> dict[str, Any]:
        """Return frame, regions and drift as JSON values, without loss."""
        return {
            "frame": self.frame.to_json(),
            "regions": self.regions.to_json(),
            "drift_nm": list(self.drift_nm),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AllowedField:
        """Return the field that `to_json` described."""
        down, right = values["drift_nm"]
        return cls(
            FieldFrame.from_json(values["frame"]),
            Regions.from_json(values["regions"]),
            (down, right),
        )

    @cached_property
    def _scans(self) -> dict[Area, bool]:
        return {}

    def _is_open(self, area: Area) -> bool:
        (height, width), (down, right) = self.frame.field_nm, self.drift_nm
        scanned = Rectangle(
            (area.top * height - down, area.left * width - right),
            (area.bottom * height - down, area.right * width - right),
        )
        regions = self.regions.in_force
        if any(_meets(zone, scanned) for zone in regions.forbidden):
            return False
        finest_nm = min(self.frame.pixel_nm) / 4
        return not regions.interest or _cover(regions.interest, scanned, finest_nm)

    @property
    def _has_moved(self) -> bool:
        return self.drift_nm != (0.0, 0.0)

    def _snapped(self, y_nm: float, x_nm: float) -> tuple[float, float]:
        """Snap to a pixel's centre within rounding, so that no edge comes between."""
        at = self.frame.position_at(y_nm, x_nm)
        if at not in self.frame.area:
            return y_nm, x_nm
        centre_nm = self.frame.nm(self.frame.position(*self.frame.pixel(at)))
        near = _ROUNDING_PX * np.array(self.frame.pixel_nm)
        if (np.abs(np.subtract((y_nm, x_nm), centre_nm)) < near).all():
            return centre_nm
        return y_nm, x_nm


def _meets(zone: Region, scanned: Rectangle) -> bool:
    """Return whether a forbidden zone reaches into a rectangle."""
    drawn, grow_nm = _drawn(zone)
    # One place would do where no outline is near; more of them often end it at once.
    centres, _ = _divided(scanned)
    return bool(drawn.contains(*centres.T).any()) or _is_reached(
        drawn, grow_nm, scanned
    )


def _cover(interest: tuple[Region, ...], scanned: Rectangle, finest_nm: float) -> bool:
    """Return whether regions of interest hold all of a rectangle.

    One of them does, or each part of it lies in one of them. Parts are divided only
    where they are in doubt, and the first place that is outside ends it.
    """
    regions = Regions(interest=interest)
    centres, half = _divided(scanned)
    if not regions.are_open(*centres.T).all():
        return False
    if any(_holds(whole, scanned) for each in interest for whole in _wholes(each)):
        return True
    while len(centres) <= _MOST_PARTS:
        corners = centres[:, None] + half * _CORNERS
        if not regions.are_open(corners[..., 0], corners[..., 1]).all():
            return False
        reach_nm = math.hypot(*half)
        for region in interest:
            if len(centres) and (inner := _without_rim(region, reach_nm)) is not None:
                centres = centres[~inner.contains(*centres.T, edge=False)]
        if not len(centres):
            return True
        if reach_nm < finest_nm:
            break
        half = half / 2
        centres = (centres[:, None] + half * _CORNERS).reshape(-1, 2)
    return False


def _holds(region: Region, scanned: Rectangle) -> bool:
    """Return whether a region, as drawn or shrunk, holds all of a rectangle."""
    drawn, grow_nm = _drawn(region)
    inside = bool(drawn.contains(*scanned.centre, edge=False))
    return inside and not _is_reached(drawn, -grow_nm, scanned)


def _is_reached(drawn: DrawnRegion, reach_nm: float, scanned: Rectangle) -> bool:
    """Return whether an outline comes within reach of a rectangle.

    An outline along the border does not: the beam stays half a pixel away from it, and
    an area that is drawn around a region has the same border.
    """
    within = scanned.inset(2 * drawn.edge_nm)
    return within.comes_near(drawn.sides(), reach_nm * (1 + _DOUBT) + drawn.edge_nm)


def _drawn(region: Region) -> tuple[DrawnRegion, float]:
    """Return the drawn region and the distance by which it is grown."""
    if isinstance(region, AdjustedRegion):
        return region.drawn, region.grow_nm
    return region, 0.0


def _wholes(region: Region) -> tuple[Region, ...]:
    """Return single-outline parts of a region of interest that may hold an area."""
    if isinstance(region, AdjustedRegion):
        if region.edges_nm is not None:
            return ()
        if region.grow_nm < 0:
            return (region,)
        region = region.drawn
    if isinstance(region, PolygonRegion):
        return tuple(replace(region, polygons=(each,)) for each in region.polygons)
    return (region,)


def _without_rim(region: Region, rim_nm: float) -> Region | None:
    """Return the places of a region without its rim; None if none remain."""
    if not isinstance(region, AdjustedRegion):
        region = AdjustedRegion(region)
    rim_nm += _DOUBT * abs(region.grow_nm) + 2 * region.drawn.edge_nm
    if region.edges_nm is None:
        return replace(region, grow_nm=region.grow_nm - rim_nm)
    edges_nm = region.edges_nm - 2 * rim_nm
    return replace(region, edges_nm=edges_nm) if edges_nm > 0 else None


def _divided(scanned: Rectangle) -> tuple[Array, Array]:
    """Return centres `(n, 2)` of nearly square parts, and half their sizes `(y, x)`."""
    size = np.array(scanned.size)
    counts = np.ceil(_AT_FIRST * size / size.max()).astype(np.intp)
    half = size / counts / 2
    centres = np.indices(counts).reshape(2, -1).T * 2 * half + half
    return np.array(scanned.low) + centres, half
