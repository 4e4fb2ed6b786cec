"""Regions as they are drawn, painted in pixels or as polygons, in nm of the field.

Points are `(y, x)` in nm from the top left corner of the field of view. A region is
kept as it was drawn, in its own pixels or vertices, and rasterised only when somebody
asks for a mask, so that a finer or rotated layer loses nothing.

Edges are told apart: with `edge` a point on a boundary belongs to the region, else it
does not, so that whoever asks can be on the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import checked_shape
from napari_hae.regions.outlines import cut
from napari_hae.regions.packing import (
    check_sides,
    packed_labels,
    packed_mask,
    shape_of,
    unpacked_labels,
    unpacked_mask,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

EDGE_PX = 1e-6
"""Distance from the edge of a painted pixel that counts as on it, in pixels."""

EDGE_RELATIVE = 1e-6
"""The same for polygons, relative to their largest coordinate: the vertices of drawn
shapes are often held in single precision."""


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
    labels
        Shape `(height, width)`, where parts that touch each other are told apart: each
        has edges of its own. None: all that is painted is one.

    Raises
    ------
    ValueError
        If a shape is wrong, the mask has more than 8192 x 8192 pixels, or the matrix is
        not finite or not invertible.
    """

    name: str
    mask: NDArray[np.bool_]
    nm_to_pixel: NDArray[np.float64]
    labels: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        if np.ndim(self.mask) == 2:
            # It could not be read again.
            checked_shape(np.shape(self.mask), f"the region {self.name!r}")
        mask = _frozen(self.mask, np.bool_)
        matrix = _frozen(self.nm_to_pixel, np.float64)
        if mask.ndim != 2 or matrix.shape != (2, 3) or not _is_invertible(matrix):
            raise ValueError(
                f"the region {self.name!r} needs a mask (height, width) and a finite, "
                f"invertible matrix (2, 3); got shapes {mask.shape} and {matrix.shape}"
            )
        object.__setattr__(self, "mask", mask)
        object.__setattr__(self, "nm_to_pixel", matrix)
        if self.labels is not None:
            labels = _frozen(self.labels, np.int32)
            if labels.shape != mask.shape:
                raise ValueError(
                    f"the labels of the region {self.name!r} have the shape "
                    f"{labels.shape}; its mask has {mask.shape}"
                )
            object.__setattr__(self, "labels", labels)

    @property
    def is_empty(self) -> bool:
        """True if nothing is painted yet."""
        return not self.mask.any()

    def contains(
        self, y_nm: ArrayLike, x_nm: ArrayLike, *, edge: bool = True
    ) -> NDArray[np.bool_]:
        """Return whether points in nm lie in the region; broadcasts `y_nm` and `x_nm`.

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

    @property
    def edge_nm(self) -> float:
        """Distance from the outline, in nm, within which a point may count as on it."""
        to_nm = np.linalg.inv(self.nm_to_pixel[:, :2])
        return EDGE_PX * float(np.linalg.norm(to_nm, axis=0).sum())

    def sides(self) -> NDArray[np.float64]:
        """Return the whole boundary, uncut, `(n, 2, 2)`, in nm."""
        return self._sides(borders=True)

    def outline(self, longest_nm: float, *, borders: bool) -> NDArray[np.float64]:
        """Return the edges of painted pixels as pieces, `(m, 2, 2)`, in nm.

        With `borders`, what is painted at the border of the mask ends there; without,
        parts that touch each other have edges between them.
        """
        return cut(self._sides(borders=borders), longest_nm)[0]

    def _sides(self, *, borders: bool) -> NDArray[np.float64]:
        parts = self.mask if borders or self.labels is None else self.labels
        # Most of a mask is often empty: only what is around the painted part counts.
        rows = _extent(np.any(parts, axis=1))
        columns = _extent(np.any(parts[rows], axis=0))
        parts = parts[rows, columns]
        along, down = (
            self._edges(pixels, borders=borders) for pixels in (parts, parts.T)
        )
        edges = np.concatenate([along, down[:, :, ::-1]])
        edges += np.array([rows.start, columns.start])
        matrix = np.linalg.inv(self.nm_to_pixel[:, :2])
        sides: NDArray[np.float64] = (edges - self.nm_to_pixel[:, 2]) @ matrix.T
        return sides

    @staticmethod
    def _edges(
        pixels: NDArray[np.bool_] | NDArray[np.int32], *, borders: bool
    ) -> NDArray[np.float64]:
        """Return the edges along rows as whole runs, `(n, 2, 2)`, in pixels."""
        # One column more, so that no run goes on in the next row.
        padded = np.pad(pixels, ((1, 1), (0, 1)))
        differs = padded[1:] != padded[:-1]
        if not borders:
            differs[0] = differs[-1] = False
        # As masks: the places of all edges may take a hundred times as much memory.
        begins, ends = differs.copy(), differs.copy()
        begins[:, 1:] &= ~differs[:, :-1]
        ends[:, :-1] &= ~differs[:, 1:]
        start, end = np.flatnonzero(begins), np.flatnonzero(ends) + 1
        runs = np.stack([start, end], axis=1)
        return np.stack(np.divmod(runs, differs.shape[1]), axis=2) - 0.5

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
        """Return the region as JSON values, without loss."""
        values = {
            "name": self.name,
            "shape": list(self.mask.shape),
            "mask": packed_mask(self.mask),
            "nm_to_pixel": self.nm_to_pixel.tolist(),
        }
        if self.labels is not None:
            values["labels"] = packed_labels(self.labels)
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> MaskRegion:
        """Return the region that `to_json` described.

        Raises
        ------
        ValueError
            If it has more than 8192 x 8192 pixels, or others than its shape says, in
            which case nothing is allocated; or more sides than can be kept.
        """
        name, shape = values["name"], shape_of(values)
        mask = unpacked_mask(values["mask"], shape, name)
        labels = None
        if "labels" in values:
            labels = unpacked_labels(values["labels"], shape, name)
        check_sides(mask if labels is None else labels, name)
        return cls(name, mask, np.array(values["nm_to_pixel"]), labels)


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
        """True if nothing is drawn yet."""
        return not self.polygons

    def contains(
        self, y_nm: ArrayLike, x_nm: ArrayLike, *, edge: bool = True
    ) -> NDArray[np.bool_]:
        """Return whether points in nm lie in the region; broadcasts `y_nm` and `x_nm`.

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

    @property
    def edge_nm(self) -> float:
        """Distance from the outline, in nm, within which a point may count as on it."""
        return EDGE_RELATIVE * max(
            (float(np.abs(polygon).max()) for polygon in self.polygons), default=0.0
        )

    def sides(self) -> NDArray[np.float64]:
        """Return the whole boundary, uncut, `(n, 2, 2)`, in nm."""
        if not self.polygons:
            return np.empty((0, 2, 2))
        ends = [np.roll(polygon, -1, axis=0) for polygon in self.polygons]
        return np.stack([np.concatenate(self.polygons), np.concatenate(ends)], axis=1)

    def outline(self, longest_nm: float, *, borders: bool) -> NDArray[np.float64]:
        """Return the outline of the union as pieces, `(m, 2, 2)`, in nm.

        Polygons have no `borders`: nothing cuts them off.
        """
        counts = np.array([len(each) for each in self.polygons], dtype=np.intp)
        owners = np.repeat(np.arange(len(counts)), counts)
        pieces, which = cut(self.sides(), longest_nm)
        return pieces[~self._is_covered(pieces, owners[which])]

    def _is_covered(
        self, pieces: NDArray[np.float64], owners: NDArray[np.intp]
    ) -> NDArray[np.bool_]:
        """Return whether pieces lie inside a polygon other than their owner, `(m,)`."""
        covered = np.zeros(len(pieces), dtype=np.bool_)
        for index, polygon in enumerate(self.polygons):
            low, high = polygon.min(axis=0), polygon.max(axis=0)
            within = ((pieces > low) & (pieces < high)).all(axis=(1, 2))
            asked = np.flatnonzero(within & ~covered & (owners != index))
            if len(asked):
                alone = PolygonRegion(self.name, (polygon,))
                places = np.concatenate(
                    [pieces[asked], pieces[asked].mean(axis=1, keepdims=True)], axis=1
                )
                inside = alone.contains(*np.moveaxis(places, -1, 0), edge=False)
                covered[asked] = inside.all(axis=1)
        return covered

    def to_json(self) -> dict[str, Any]:
        """Return the region as JSON values, without loss."""
        polygons = [polygon.tolist() for polygon in self.polygons]
        return {"name": self.name, "polygons": polygons}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PolygonRegion:
        """Return the region that `to_json` described."""
        return cls(values["name"], tuple(np.array(p) for p in values["polygons"]))


DrawnRegion = MaskRegion | PolygonRegion


def drawn_from_json(values: dict[str, Any]) -> DrawnRegion:
    """Return the region described by the `to_json` of any kind of region."""
    kind = MaskRegion if "mask" in values else PolygonRegion
    return kind.from_json(values)


def _is_invertible(matrix: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(matrix).all() and np.linalg.det(matrix[:, :2]) != 0)


def _frozen(array: NDArray[Any], dtype: type) -> NDArray[Any]:
    copy: NDArray[Any] = np.array(array, dtype=dtype)
    copy.flags.writeable = False
    return copy


def _extent(is_filled: NDArray[np.bool_]) -> slice:
    """Return the range from first to last filled, plus one on either side."""
    filled = np.flatnonzero(is_filled)
    if not len(filled):
        return slice(0, 0)
    return slice(max(int(filled[0]) - 1, 0), int(filled[-1]) + 2)


def _points(
    y_nm: ArrayLike, x_nm: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
    y, x = np.broadcast_arrays(np.asarray(y_nm, float), np.asarray(x_nm, float))
    return y.ravel(), x.ravel(), y.shape


def _winding(
    polygon: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return winding numbers for points sorted by `y`, and which lie on the polygon."""
    tolerance = EDGE_RELATIVE * float(np.abs(polygon).max())
    winding = np.zeros(y.shape, dtype=np.int32)
    on_edge = np.zeros(y.shape, dtype=np.bool_)
    ends = np.roll(polygon, -1, axis=0)
    low = np.minimum(polygon[:, 0], ends[:, 0]) - tolerance
    high = np.maximum(polygon[:, 0], ends[:, 0]) + tolerance
    # Sorted by y, only the points in an edge's own band of heights are looked at, and
    # only the edges that have some.
    first = np.searchsorted(y, low)
    last = np.searchsorted(y, np.nextafter(high, np.inf))
    for edge in np.flatnonzero(first < last):
        (y0, x0), (y1, x1) = polygon[edge], ends[edge]
        band = slice(first[edge], last[edge])
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
