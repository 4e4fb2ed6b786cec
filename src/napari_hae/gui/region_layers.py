"""Makes drawn regions, in nm, of the Shapes and Labels layers of any plugin.

World coordinates of a layer are converted to nm by its units; those of a layer without
a unit of length are taken to be nm, as napari itself draws them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Shapes

from napari_hae.regions.regions import (
    DrawnRegion,
    MaskRegion,
    PolygonRegion,
    RegionKind,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEGMENTS = 64
"""Sides of the polygon that stands for an ellipse."""


def region_from_layer(
    layer: Layer, kind: RegionKind = RegionKind.FORBIDDEN
) -> DrawnRegion:
    """The region that a Labels or Shapes layer covers, in nm.

    All labels above 0 count; each has edges of its own. A layer with more than two
    dimensions covers what is marked anywhere along the others. Round outlines become
    polygons of 64 sides: around them for a forbidden zone, else inside them.

    Raises
    ------
    TypeError
        If the layer is neither Labels nor Shapes.
    ValueError
        If it has fewer than two dimensions or its scale is not invertible.
    """
    if isinstance(layer, Labels):
        data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
        mask = data > 0
        nm_to_pixel = _inverse(layer, pixel_to_nm(layer))
        flat = np.asarray(mask.any(axis=tuple(range(mask.ndim - 2))))
        return MaskRegion(layer.name, flat, nm_to_pixel, _parts(data))
    if isinstance(layer, Shapes):
        return PolygonRegion(layer.name, _polygons(layer, kind))
    raise TypeError(
        f"a {kind} is made of a Labels or Shapes layer; "
        f"{layer.name!r} is a {type(layer).__name__} layer"
    )


def _parts(data: NDArray[np.integer[Any]]) -> NDArray[np.int32] | None:
    """The labels of one plane, where there is more than one of them."""
    if data.ndim != 2 or not (data > 0).any():
        return None
    positive = np.where(data > 0, data, 0)
    several = positive.max() != positive[positive > 0].min()
    return positive.astype(np.int32) if several else None


def pixel_to_nm(layer: Layer) -> NDArray[np.float64]:
    """The map of a layer's last two data axes to nm, `(2, 3)`.

    It holds all of scale, rotation, shear, translation, affine and units.
    """
    if layer.ndim < 2:
        raise ValueError(f"{layer.name!r} has one dimension; a region needs two")
    corners = np.zeros((3, layer.ndim))
    corners[0, -2] = corners[1, -1] = 1.0
    along_y, along_x, origin = (
        np.asarray(layer.data_to_world(corner))[-2:] for corner in corners
    )
    matrix = np.stack([along_y - origin, along_x - origin, origin], axis=1)
    nm: NDArray[np.float64] = matrix * np.array(_nm_per_unit(layer))[:, None]
    return nm


def _nm_per_unit(layer: Layer) -> list[float]:
    return [
        float((1 * unit).to("nm").magnitude) if unit.is_compatible_with("nm") else 1.0
        for unit in layer.units[-2:]
    ]


def _inverse(layer: Layer, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        linear = np.linalg.inv(matrix[:, :2])
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{layer.name!r} is squeezed to a line by its scale or affine transform"
        ) from None
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _polygons(layer: Shapes, kind: RegionKind) -> tuple[NDArray[np.float64], ...]:
    matrix = pixel_to_nm(layer)
    # A polygon inside a circle reaches it with its corners, one around it with its
    # sides: neither ever allows more than was drawn.
    reach = 1.0 if kind is RegionKind.ROI else 1.0 / np.cos(np.pi / SEGMENTS)
    polygons: list[NDArray[np.float64]] = []
    for data, shape, width in zip(
        layer.data, layer.shape_type, layer.edge_width, strict=True
    ):
        vertices = np.asarray(data, dtype=float)[:, -2:]
        if shape == "ellipse":
            polygons.append(_ellipse(vertices, reach))
        elif shape in ("path", "line"):
            ends = list(pairwise(vertices)) or [(vertices[0], vertices[0])]
            polygons += [_capsule(a, b, reach * width / 2) for a, b in ends]
        else:
            polygons.append(vertices)
    return tuple(p @ matrix[:, :2].T + matrix[:, 2] for p in polygons)


def _ellipse(corners: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """The ellipse in a parallelogram `(4, 2)`, as a polygon."""
    centre = corners.mean(axis=0)
    axes = np.stack([corners[1] - corners[0], corners[2] - corners[1]]) / 2
    angles = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ axes
    ellipse: NDArray[np.float64] = centre + reach * points
    return ellipse


def _capsule(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """A line of half width `radius` with round ends, as a polygon."""
    half_turn = np.linspace(-np.pi / 2, np.pi / 2, SEGMENTS // 2 + 1)
    down, right = end - start
    angles = np.arctan2(down, right) + half_turn
    cap = radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([end + cap, start - cap])
