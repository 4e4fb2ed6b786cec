"""Objects of a layer, and the orders that they can be measured in."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels, Points

from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.object_order import Objects, ordered, orders
from napari_hae.gui.places import objects_of

FRAME = FieldFrame((20, 30), (200.0, 600.0))
PLACED = {"scale": FRAME.pixel_nm, "translate": FRAME.origin_nm, "units": ("nm", "nm")}


def labels() -> np.ndarray:
    data = np.zeros(FRAME.shape, int)
    data[2:5, 2:5] = 1
    data[10:11, 20:22] = 3
    # A ring, whose centre is no part of it.
    data[10:17, 3:10] = 7
    data[12:15, 5:8] = 0
    return data


def test_objects_come_with_their_areas_and_the_numbers_of_the_table():
    table = {"label": [7, 1, 3], "brightness": [0.5, 2.0, 1.0], "name": ["a", "b", "c"]}
    found = objects_of(Labels(labels(), features=table, **PLACED), FRAME)
    assert found.pixels[0] == (3, 3)
    assert labels()[found.pixels[2]] == 7
    assert list(found.properties) == ["area in pixels", "brightness"]
    assert list(found.properties["area in pixels"]) == [9, 2, 40]
    assert list(found.properties["brightness"]) == [2.0, 1.0, 0.5]


def test_without_a_column_of_labels_the_row_is_the_label():
    table = {"brightness": np.arange(8) * 10.0}
    found = objects_of(Labels(labels(), features=table, **PLACED), FRAME)
    assert list(found.properties["brightness"]) == [10.0, 30.0, 70.0]


def test_points_outside_and_twice_are_left_out_with_their_numbers():
    points = Points(
        [[1, 1], [99, 99], [1, 1], [5, 5]],
        features={"score": [1.0, 2.0, 3.0, 4.0]},
        **PLACED,
    )
    found = objects_of(points, FRAME)
    assert found.pixels == ((1, 1), (5, 5))
    assert list(found.properties["score"]) == [1.0, 4.0]


OBJECTS = Objects(
    ((0, 0), (0, 4), (3, 1), (0, 1)),
    {"size": np.array([3.0, np.nan, 1.0, 3.0])},
)


def test_objects_are_put_in_the_order_of_a_property():
    assert orders(OBJECTS) == [
        "as listed",
        "nearest next",
        "size, smallest first",
        "size, largest first",
    ]
    assert ordered(OBJECTS, "as listed") == OBJECTS.pixels
    smallest = ((3, 1), (0, 0), (0, 1), (0, 4))
    assert ordered(OBJECTS, "size, smallest first") == smallest
    # What has no size comes last both times.
    largest = ((0, 0), (0, 1), (3, 1), (0, 4))
    assert ordered(OBJECTS, "size, largest first") == largest


def test_the_nearest_one_is_next_in_nanometres():
    path = ordered(OBJECTS, "nearest next", start=(0, 5))
    assert path == ((0, 4), (0, 1), (0, 0), (3, 1))
    flat = ordered(OBJECTS, "nearest next", pixel_nm=(0.1, 10.0), start=(0, 0))
    assert flat == ((0, 0), (0, 1), (3, 1), (0, 4))


def test_an_order_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="there is no order 'by taste'"):
        ordered(OBJECTS, "by taste")
