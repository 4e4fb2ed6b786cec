"""Pixels of the survey image selected by the user, with the mouse or by layers."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Points, Shapes

from napari_hae.experiment.object_order import Objects, Pixel
from napari_hae.gui.layer_calibration import (
    lie_in_plane,
    pixel_to_nm,
    shown_index,
    shown_labels,
)
from napari_hae.gui.layers import role_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame

AREA = "area in pixels"
_LABELS = ("index", "label")
"""Columns of a layer's table with the label of a row; else it is the row's number."""


def pixel_at(frame: FieldFrame, world: Iterable[float]) -> Pixel | None:
    """Return the pixel at a position of the viewer in nm; None outside the image."""
    y_nm, x_nm = list(world)[-2:]
    position = frame.position_at(y_nm, x_nm)
    return frame.pixel(position) if position in frame.area else None


def holds_places(layer: Layer) -> bool:
    """Return whether a layer is a user's, with points, lines or labelled objects."""
    return isinstance(layer, Points | Shapes | Labels) and role_of(layer) is None


def pixels_of(
    layer: Layer, frame: FieldFrame, point: Sequence[float] = ()
) -> list[Pixel]:
    """Return the pixels defined by a layer, in its order, each once.

    The points of a Points layer, the pixels along the lines and paths of a Shapes
    layer, the centres of the objects of a Labels layer in the order of their labels. Of
    a stack, those of the plane that is shown: `point` is the viewer's `dims.point`.
    """
    if isinstance(layer, Points):
        places = _points(layer, point)[1]
    elif isinstance(layer, Labels):
        places = _centres(shown_labels(layer, point))
    else:
        return _along_lines(layer, frame, point)
    return _inside(_nm(places, layer), frame)


def objects_of(layer: Layer, frame: FieldFrame, point: Sequence[float] = ()) -> Objects:
    """Return the points of a Points layer, or the labelled objects of a Labels layer.

    They include the numeric columns of the layer's table, and the area of labelled
    objects. Objects outside the image, and outside the shown plane of a stack, are
    omitted.
    """
    if isinstance(layer, Points):
        numbers, places = _points(layer, point)
        properties: dict[str, NDArray[np.float64]] = {}
    else:
        plane = shown_labels(layer, point)
        numbers, areas = np.unique(plane[plane > 0], return_counts=True)
        places = _centres(plane)
        properties = {AREA: areas.astype(float)}
    properties |= _table(layer, numbers)
    pixels = [pixel_at(frame, place) for place in _nm(places, layer)]
    inside = [place for place, pixel in enumerate(pixels) if pixel is not None]
    return Objects(
        tuple(pixel for pixel in pixels if pixel is not None),
        {name: values[inside] for name, values in properties.items()},
    ).distinct()


def _points(
    layer: Points, point: Sequence[float]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return indices and positions of the points in the plane that is shown."""
    data, index = np.asarray(layer.data, dtype=float), shown_index(layer, point)
    numbers = np.array([n for n, x in enumerate(data) if lie_in_plane(x, index)], int)
    return numbers, data[numbers, -2:]


def _table(layer: Layer, numbers: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Return the numeric columns of a layer's table, in order of labels or points."""
    table = layer.features
    named = next((name for name in _LABELS if name in table), None)
    if isinstance(layer, Labels) and named is not None:
        table = table.drop_duplicates(named).set_index(named)
    return {
        str(name): table[name].reindex(numbers).to_numpy(dtype=float, na_value=np.nan)
        for name in table.select_dtypes("number")
        if name not in _LABELS
    }


def _centres(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return each label's pixel nearest to its centre, which may lie outside it."""
    from skimage.measure import regionprops

    centres = []
    for found in regionprops(labels):
        distances = np.hypot(*(found.coords - found.centroid).T)
        centres.append(found.coords[int(distances.argmin())])
    return np.array(centres, dtype=float).reshape(-1, 2)


def _along_lines(
    layer: Shapes, frame: FieldFrame, point: Sequence[float]
) -> list[Pixel]:
    from skimage.draw import line

    index = shown_index(layer, point)
    pixels: list[Pixel] = []
    for data, kind in zip(layer.data, layer.shape_type, strict=True):
        if kind not in ("line", "path") or not lie_in_plane(data, index):
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
