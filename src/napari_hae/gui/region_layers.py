"""Conversion of Shapes and Labels layers of any plugin to drawn regions, in nm.

World coordinates of a layer are converted to nm by its units; those of a layer without
a unit of length are taken to be nm, as napari itself draws them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Shapes

from napari_hae.gui.layer_calibration import (
    lie_in_plane,
    pixel_to_nm,
    shown_index,
    shown_labels,
)
from napari_hae.regions.regions import (
    DrawnRegion,
    MaskRegion,
    PolygonRegion,
    RegionKind,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SEGMENTS = 64
"""Number of sides of the polygon that approximates an ellipse."""


def region_from_layer(
    layer: Layer,
    kind: RegionKind = RegionKind.FORBIDDEN,
    point: Sequence[float] | None = None,
) -> DrawnRegion:
    """Return the region covered by a Labels or Shapes layer, in nm.

    All labels above 0 count; each has its own edges. A layer with more than two
    dimensions covers the projection along the others, so that no slider moves a zone;
    with `point`, the viewer's `dims.point`, only the plane there. Round outlines become
    polygons of 64 sides: circumscribed for a forbidden zone, otherwise inscribed.

    Raises
    ------
    TypeError
        If the layer is neither Labels nor Shapes.
    ValueError
        If it has fewer than two dimensions or its scale is not invertible.
    """
    if isinstance(layer, Labels):
        data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
        if point is not None:
            data = shown_labels(layer, point)
        mask = data > 0
        nm_to_pixel = _inverse(layer, pixel_to_nm(layer))
        flat = np.asarray(mask.any(axis=tuple(range(mask.ndim - 2))))
        return MaskRegion(layer.name, flat, nm_to_pixel, _parts(data))
    if isinstance(layer, Shapes):
        return PolygonRegion(layer.name, _polygons(layer, kind, point))
    raise TypeError(
        f"a {kind} is made of a Labels or Shapes layer; "
        f"{layer.name!r} is a {type(layer).__name__} layer"
    )


def _parts(data: NDArray[np.integer[Any]]) -> NDArray[np.int32] | None:
    """Return the labels of one plane, where there are several of them."""
    if data.ndim != 2 or not (data > 0).any():
        return None
    positive = np.where(data > 0, data, 0)
    several = positive.max() != positive[positive > 0].min()
    return positive.astype(np.int32) if several else None


def _inverse(layer: Layer, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        linear = np.linalg.inv(matrix[:, :2])
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{layer.name!r} is squeezed to a line by its scale or affine transform"
        ) from None
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _polygons(
    layer: Shapes, kind: RegionKind, point: Sequence[float] | None
) -> tuple[NDArray[np.float64], ...]:
    matrix = pixel_to_nm(layer)
    # An inscribed polygon touches a circle with its corners, a circumscribed one with
    # its sides: neither ever allows more than was drawn.
    reach = 1.0 if kind is RegionKind.ROI else 1.0 / np.cos(np.pi / SEGMENTS)
    polygons: list[NDArray[np.float64]] = []
    for data, shape, width in zip(
        layer.data, layer.shape_type, layer.edge_width, strict=True
    ):
        if point is not None and not lie_in_plane(data, shown_index(layer, point)):
            continue
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
    """Return the ellipse in a parallelogram `(4, 2)`, as a polygon."""
    centre = corners.mean(axis=0)
    axes = np.stack([corners[1] - corners[0], corners[2] - corners[1]]) / 2
    angles = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ axes
    ellipse: NDArray[np.float64] = centre + reach * points
    return ellipse


def _capsule(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """Return a line of half width `radius` with round ends, as a polygon."""
    half_turn = np.linspace(-np.pi / 2, np.pi / 2, SEGMENTS // 2 + 1)
    down, right = end - start
    angles = np.arctan2(down, right) + half_turn
    cap = radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([end + cap, start - cap])
