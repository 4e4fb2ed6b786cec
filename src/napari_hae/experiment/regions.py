"""Regions of interest and forbidden zones in the sample's coordinates.

Points are `(y, x)` in nm from the top left corner of the field of view. A region is
kept as it was drawn, in its own pixels or vertices, and rasterised only when somebody
asks for a mask, so that a finer or rotated layer loses nothing.

Edges are conservative: a point on the boundary of a forbidden zone is forbidden, and a
point on the boundary of a region of interest is outside.
"""

from __future__ import annotations

import base64
import math
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_hae.coordinates import FieldFrame

EDGE_PX = 1e-6
"""How near the edge of a painted pixel a point counts as on it, in pixels."""

EDGE_RELATIVE = 1e-6
"""The same for polygons, as a part of their largest coordinate: the vertices of drawn
shapes are often held in single precision."""


class RegionKind(StrEnum):
    """What a region means for the experiment."""

    ROI = "region of interest"
    FORBIDDEN = "forbidden zone"


@dataclass(frozen=True, eq=False)
class MaskRegion:
    """A painted region.

    Attributes
    ----------
    mask
        Shape `(height, width)`, True where painted; a copy of what is given.
    nm_to_pixel
        Shape `(2, 3)`: maps `(y_nm, x_nm, 1)` to `(row, column)` of the mask, whose
        pixel centres lie at integers.

    Raises
    ------
    ValueError
        If a shape is wrong or the matrix is not finite.
    """

    name: str
    mask: NDArray[np.bool_]
    nm_to_pixel: NDArray[np.float64]

    def __post_init__(self) -> None:
        mask = _frozen(self.mask, np.bool_)
        matrix = _frozen(self.nm_to_pixel, np.float64)
        if mask.ndim != 2 or matrix.shape != (2, 3) or not np.isfinite(matrix).all():
            raise ValueError(
                f"the region {self.name!r} needs a mask (height, width) and a finite "
                f"matrix (2, 3); got shapes {mask.shape} and {matrix.shape}"
            )
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "nm_to_pixel", matrix)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is painted yet."""
        return not self.mask.any()

    def contains(
        self, y_nm: ArrayLike, x_nm: ArrayLike, *, edge: bool = True
    ) -> NDArray[np.bool_]:
        """Whether points in nm lie in the region; broadcasts `y_nm` and `x_nm`.

        A point on an edge between painted and unpainted pixels is in the region if
        `edge` is True. Points outside the mask, and points that are not finite, are
        not in the region.
        """
        y, x, shape = _points(y_nm, x_nm)
        # Written out, not as a matrix product: one point and a million points must
        # round alike, so that a single check and a mask agree.
        row, column = (a * y + b * x + (c + 0.5) for a, b, c in self.nm_to_pixel)
        inside = self._painted(row, column)
        on_edge = (np.floor(row - EDGE_PX) != np.floor(row + EDGE_PX)) | (
            np.floor(column - EDGE_PX) != np.floor(column + EDGE_PX)
        )
        if on_edge.any():
            around = [
                self._painted(row[on_edge] + down, column[on_edge] + right)
                for down in (-EDGE_PX, EDGE_PX)
                for right in (-EDGE_PX, EDGE_PX)
            ]
            inside[on_edge] = np.any(around, axis=0) if edge else np.all(around, axis=0)
        return inside.reshape(shape)

    def _painted(
        self, row: NDArray[np.float64], column: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        height, width = self.mask.shape
        within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        painted = np.zeros(row.shape, dtype=np.bool_)
        painted[within] = self.mask[
            row[within].astype(np.intp), column[within].astype(np.intp)
        ]
        return painted

    def to_json(self) -> dict[str, Any]:
        """The region as JSON values, without loss."""
        bits = zlib.compress(np.packbits(self.mask).tobytes())
        return {
            "name": self.name,
            "shape": list(self.mask.shape),
            "mask": base64.b64encode(bits).decode("ascii"),
            "nm_to_pixel": self.nm_to_pixel.tolist(),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MaskRegion:
        """The region that `to_json` described."""
        height, width = values["shape"]
        bits = zlib.decompress(base64.b64decode(values["mask"]))
        flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=height * width)
        return cls(
            values["name"],
            flat.reshape(height, width).astype(np.bool_),
            np.array(values["nm_to_pixel"]),
        )


@dataclass(frozen=True, eq=False)
class PolygonRegion:
    """A region drawn as polygons.

    Attributes
    ----------
    polygons
        Each of shape `(k, 2)`, the vertices `(y_nm, x_nm)`, closed by itself; the
        region is their union. Where a polygon overlaps itself, its inside is doubtful:
        a forbidden zone has it, a region of interest only where the outline runs
        around it an odd number of times.

    Raises
    ------
    ValueError
        If a polygon has another shape, no vertices, or some that are not finite.
    """

    name: str
    polygons: tuple[NDArray[np.float64], ...]

    def __post_init__(self) -> None:
        polygons = tuple(_frozen(polygon, np.float64) for polygon in self.polygons)
        for polygon in polygons:
            right = polygon.ndim == 2 and polygon.shape[1] == 2 and len(polygon) > 0
            if not right or not np.isfinite(polygon).all():
                raise ValueError(
                    f"the region {self.name!r} needs polygons of shape (k, 2) with "
                    f"finite vertices (y_nm, x_nm); got shape {polygon.shape}"
                )
        object.__setattr__(self, "polygons", polygons)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn yet."""
        return not self.polygons

    def contains(
        self, y_nm: ArrayLike, x_nm: ArrayLike, *, edge: bool = True
    ) -> NDArray[np.bool_]:
        """Whether points in nm lie in the region; broadcasts `y_nm` and `x_nm`.

        With `edge`, points on an outline, and all that an outline runs around, are in
        the region. Points that are not finite are not.
        """
        y, x, shape = _points(y_nm, x_nm)
        order = np.argsort(y, kind="stable")
        y, x = y[order], x[order]
        inside = np.zeros(y.shape, dtype=np.bool_)
        for polygon in self.polygons:
            winding, on_edge = _winding(polygon, y, x)
            if edge:
                inside |= (winding != 0) | on_edge
            else:
                inside |= (winding % 2 == 1) & ~on_edge
        result = np.empty_like(inside)
        result[order] = inside
        return result.reshape(shape)

    def to_json(self) -> dict[str, Any]:
        """The region as JSON values, without loss."""
        polygons = [polygon.tolist() for polygon in self.polygons]
        return {"name": self.name, "polygons": polygons}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PolygonRegion:
        """The region that `to_json` described."""
        return cls(values["name"], tuple(np.array(p) for p in values["polygons"]))


Region = MaskRegion | PolygonRegion


@dataclass(frozen=True)
class Regions:
    """Where the beam may go: an immutable snapshot of all regions.

    A forbidden zone wins over a region of interest. Several regions of interest are a
    union. A region of interest in which nothing is painted yet does not restrict: a
    fresh layer to paint in must not stop the run.
    """

    interest: tuple[Region, ...] = ()
    forbidden: tuple[Region, ...] = ()

    @property
    def restricts(self) -> bool:
        """Whether any position may be refused."""
        return any(not region.is_empty for region in self.interest + self.forbidden)

    def allows(self, y_nm: float, x_nm: float) -> str | None:
        """Why the beam may not go to a point in nm, in words; None if it may."""
        if not (math.isfinite(y_nm) and math.isfinite(x_nm)):
            return f"is not a place: y = {y_nm} nm, x = {x_nm} nm"
        for region in self.forbidden:
            if region.contains(y_nm, x_nm).any():
                return f"lies in the forbidden zone {region.name!r}"
        drawn = self._drawn_interest
        if not drawn or any(r.contains(y_nm, x_nm, edge=False).any() for r in drawn):
            return None
        names = " and ".join(repr(region.name) for region in drawn)
        regions = "region" if len(drawn) == 1 else "regions"
        return f"lies outside the {regions} of interest {names}"

    def mask(self, frame: FieldFrame) -> NDArray[np.bool_]:
        """True for every pixel at whose centre `allows` gives None, `(rows, columns)`.

        It agrees with `allows(*frame.nm(frame.position(row, column)))` to the last bit.
        """
        (rows, columns), (height_nm, width_nm) = frame.shape, frame.fov_nm
        y = ((np.arange(rows) + 0.5) / rows * height_nm)[:, None]
        x = ((np.arange(columns) + 0.5) / columns * width_nm)[None, :]
        drawn = self._drawn_interest
        allowed = np.full(frame.shape, not drawn, dtype=np.bool_)
        for region in drawn:
            allowed |= region.contains(y, x, edge=False)
        for region in self.forbidden:
            if not region.is_empty:
                allowed &= ~region.contains(y, x)
        return allowed

    @property
    def _drawn_interest(self) -> list[Region]:
        return [region for region in self.interest if not region.is_empty]

    def to_json(self) -> dict[str, Any]:
        """All regions as JSON values, without loss."""
        return {
            "interest": [region.to_json() for region in self.interest],
            "forbidden": [region.to_json() for region in self.forbidden],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Regions:
        """The regions that `to_json` described."""
        return cls(
            interest=tuple(_region_from_json(v) for v in values["interest"]),
            forbidden=tuple(_region_from_json(v) for v in values["forbidden"]),
        )


def _region_from_json(values: dict[str, Any]) -> Region:
    kind = MaskRegion if "mask" in values else PolygonRegion
    return kind.from_json(values)


def _frozen(array: NDArray[Any], dtype: type) -> NDArray[Any]:
    copy: NDArray[Any] = np.array(array, dtype=dtype)
    copy.flags.writeable = False
    return copy


def _points(
    y_nm: ArrayLike, x_nm: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
    y, x = np.broadcast_arrays(np.asarray(y_nm, float), np.asarray(x_nm, float))
    return y.ravel(), x.ravel(), y.shape


def _winding(
    polygon: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """How often a polygon runs around points sorted by `y`, and which lie on it."""
    tolerance = EDGE_RELATIVE * float(np.abs(polygon).max())
    winding = np.zeros(y.shape, dtype=np.int32)
    on_edge = np.zeros(y.shape, dtype=np.bool_)
    for (y0, x0), (y1, x1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        low, high = min(y0, y1) - tolerance, max(y0, y1) + tolerance
        # Sorted by y, only the points in the edge's own band of heights are looked at.
        band = slice(*np.searchsorted(y, (low, np.nextafter(high, np.inf))))
        dy, dx = y[band] - y0, x[band] - x0
        height, width = y1 - y0, x1 - x0
        side = width * dy - dx * height
        winding[band] += ((y0 <= y[band]) & (y[band] < y1) & (side < 0)).astype(np.int8)
        winding[band] -= ((y1 <= y[band]) & (y[band] < y0) & (side > 0)).astype(np.int8)
        length = height**2 + width**2
        along = np.clip((dy * height + dx * width) / length, 0, 1) if length else 0.0
        off = np.hypot(dy - along * height, dx - along * width)
        on_edge[band] |= off <= tolerance
    return winding, on_edge
