"""Scale and shown plane of layers made by users and other plugins.

World coordinates of a layer are converted to nm by its units; those of a layer without
a unit of length are taken to be nm, as napari itself draws them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_hae.gui.layer_data import calibration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame

_UNIT_SCALE = np.eye(2, 3)


def pixel_to_nm(layer: Layer) -> NDArray[np.float64]:
    """Return the transform of a layer's last two data axes to nm, `(2, 3)`.

    It includes scale, rotation, shear, translation, affine and units.
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


def take_calibration(layer: Layer, frame: FieldFrame) -> str:
    """Give an uncalibrated Labels layer the survey image's scale; return a message.

    Segmentations by other plugins are such layers, as those know the pixels of an image
    only. Points and Shapes are drawn in the viewer's coordinates and need none. The
    message is empty if no change was needed.

    Raises
    ------
    ValueError
        If the layer has no scale and other pixels than the survey image.
    """
    if not isinstance(layer, Labels) or _is_calibrated(layer):
        return ""
    wanted = calibration(frame)
    rows, columns = _full(layer).shape[-2:]
    if (rows, columns) != frame.shape:
        raise ValueError(
            f"the layer {layer.name!r} has {rows} × {columns} pixels and no scale, "
            f"the survey image {frame.shape[0]} × {frame.shape[1]}: give the layer its "
            "scale and units"
        )
    for name in ("scale", "translate", "units"):
        others = tuple(getattr(layer, name))[:-2]
        setattr(layer, name, (*others, *wanted[name]))
    return (
        f"The layer {layer.name!r} had no scale. It has the pixels of the survey image "
        "and was given its scale."
    )


def shown_labels(layer: Labels, point: Sequence[float]) -> NDArray[Any]:
    """Return the plane of a Labels layer that is shown, `(rows, columns)`.

    `point` is the viewer's `dims.point`: the slider positions in world coordinates.
    """
    data = _full(layer)
    index = np.clip(shown_index(layer, point), 0, np.array(data.shape[:-2]) - 1)
    return np.asarray(data[tuple(index.astype(int))])


def shown_index(layer: Layer, point: Sequence[float]) -> NDArray[np.float64]:
    """Return the data coordinates of the shown plane, without row and column."""
    world = np.zeros(layer.ndim)
    known = min(layer.ndim, len(point))
    if known:
        world[-known:] = np.asarray(point, dtype=float)[-known:]
    index: NDArray[np.float64] = np.round(layer.world_to_data(world)[:-2])
    return index


def lie_in_plane(vertices: NDArray[np.float64], index: NDArray[np.float64]) -> bool:
    """Return whether all vertices of a shape, or a point, lie in a plane."""
    others = np.atleast_2d(vertices)[:, :-2]
    return bool((np.abs(others - index) <= 0.5).all())


def _is_calibrated(layer: Labels) -> bool:
    has_units = any(unit.is_compatible_with("nm") for unit in layer.units[-2:])
    return has_units or not np.allclose(pixel_to_nm(layer), _UNIT_SCALE)


def _full(layer: Labels) -> Any:
    return layer.data[0] if layer.multiscale else layer.data
