"""Pixels of the survey image that a person points at, with the mouse or by layers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes

from napari_hae.gui.layers import role_of
from napari_hae.gui.region_layers import pixel_to_nm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame

Pixel = tuple[int, int]


def pixel_at(frame: FieldFrame, world: Iterable[float]) -> Pixel | None:
    """The pixel at a place of the viewer in nm; None outside the field of view."""
    y_nm, x_nm = list(world)[-2:]
    position = frame.position_at(y_nm, x_nm)
    return frame.pixel(position) if position.is_inside else None


def holds_places(layer: Layer) -> bool:
    """Whether a layer is one of a person's with points, lines or labelled objects."""
    return isinstance(layer, Points | Shapes | Labels) and role_of(layer) is None


def pixels_of(layer: Layer, frame: FieldFrame) -> list[Pixel]:
    """The pixels that a layer names, in its order, each once.

    The points of a Points layer, the pixels along the lines and paths of a Shapes
    layer, the centres of the objects of a Labels layer in the order of their labels.
    """
    if isinstance(layer, Points):
        places = np.asarray(layer.data, dtype=float)[:, -2:]
    elif isinstance(layer, Labels):
        places = _centres(np.asarray(layer.data))
    else:
        return _along_lines(layer, frame)
    return _inside(_nm(places, layer), frame)


def _centres(labels: NDArray[Any]) -> NDArray[np.float64]:
    """The pixel of each label that is nearest to its centre, which may lie outside."""
    from skimage.measure import regionprops

    flat = labels.reshape(labels.shape[-2:])
    centres = []
    for found in regionprops(flat):
        distances = np.hypot(*(found.coords - found.centroid).T)
        centres.append(found.coords[int(distances.argmin())])
    return np.array(centres, dtype=float).reshape(-1, 2)


def _along_lines(layer: Layer, frame: FieldFrame) -> list[Pixel]:
    from skimage.draw import line

    pixels: list[Pixel] = []
    for data, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind not in ("line", "path"):
            continue
        ends = _inside(_nm(np.asarray(data, dtype=float)[:, -2:], layer), frame)
        for start, end in itertools.pairwise(ends):
            rows, columns = line(*start, *end)
            pixels += zip(rows.tolist(), columns.tolist(), strict=True)
    return list(dict.fromkeys(pixels))


def _nm(places: NDArray[np.float64], layer: Layer) -> NDArray[np.float64]:
    matrix = pixel_to_nm(layer)
    result: NDArray[np.float64] = places @ matrix[:, :2].T + matrix[:, 2]
    return result


def _inside(places_nm: NDArray[np.float64], frame: FieldFrame) -> list[Pixel]:
    found = (pixel_at(frame, place) for place in places_nm)
    return list(dict.fromkeys(pixel for pixel in found if pixel is not None))
