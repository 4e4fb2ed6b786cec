"""Layers of other plugins: stacks, layers without a scale, other units."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Points, Shapes

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.fiducial import edges_of
from napari_hae.gui.image_here import drawn_area
from napari_hae.gui.layer_calibration import take_calibration
from napari_hae.gui.layer_data import calibration
from napari_hae.gui.places import objects_of, pixels_of
from napari_hae.gui.region_layers import region_from_layer
from steered import until

pytestmark = pytest.mark.gui

FRAME = FieldFrame((20, 30), (40.0, 60.0))
STACKED = {
    "scale": (5.0, *FRAME.pixel_nm),
    "translate": (10.0, *FRAME.origin_nm),
    "units": ("nm", "nm", "nm"),
}


def stack() -> Labels:
    """Three planes, each with one square of its own."""
    data = np.zeros((3, 20, 30), dtype=int)
    for plane in range(3):
        data[plane, 4 * plane : 4 * plane + 3, 6 : 6 + 3 + plane] = plane + 1
    return Labels(data, **STACKED)


def at(plane: int, layer):
    """The point of a viewer that shows a plane."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((20, 30)), **calibration(FRAME))
    viewer.add_layer(layer)
    viewer.dims.set_point(0, 10.0 + 5.0 * plane)
    return viewer.dims.point


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_of_a_stack_of_labels_the_shown_plane_counts(qapp, plane):
    layer = stack()
    point = at(plane, layer)
    middle = 4 * plane + 1, 7 + plane // 2
    assert pixels_of(layer, FRAME, point) == [middle]
    objects = objects_of(layer, FRAME, point)
    assert objects.pixels == (middle,)
    assert objects.properties["area in pixels"].tolist() == [3 * (3 + plane)]
    edges = edges_of(layer, FRAME, point)
    area = drawn_area(layer, FRAME, point)
    wanted = (6 / 30, 4 * plane / 20, (9 + plane) / 30, (4 * plane + 3) / 20)
    assert edges == pytest.approx(wanted)
    assert (area.left, area.top, area.right, area.bottom) == pytest.approx(wanted)


def test_of_stacked_points_and_shapes_those_in_the_shown_plane_count(qapp):
    points = Points([[0, 3, 4], [1, 5, 6], [1, 7, 8]], **STACKED)
    point = at(1, points)
    assert pixels_of(points, FRAME, point) == [(5, 6), (7, 8)]
    assert objects_of(points, FRAME, point).pixels == ((5, 6), (7, 8))
    lines = Shapes(
        [[[0, 2, 2], [0, 2, 4]], [[1, 9, 2], [1, 9, 4]]], shape_type="line", **STACKED
    )
    assert pixels_of(lines, FRAME, at(1, lines)) == [(9, 2), (9, 3), (9, 4)]
    boxes = Shapes(
        [
            [
                [plane, top + row, column]
                for row, column in ((2, 2), (2, 5), (6, 5), (6, 2))
            ]
            for plane, top in ((0, 0), (1, 5))
        ],
        shape_type="rectangle",
        **STACKED,
    )
    assert drawn_area(boxes, FRAME, at(0, boxes)).top == pytest.approx(2.5 / 20)
    assert drawn_area(boxes, FRAME, at(1, boxes)).top == pytest.approx(7.5 / 20)
    assert edges_of(boxes, FRAME, at(1, boxes))[1] > 0.3


def test_a_zone_holds_what_is_marked_in_any_plane(qapp):
    rows, columns = np.nonzero(region_from_layer(stack()).contains(*FRAME.centres_nm()))
    assert set(rows) == {*range(0, 3), *range(4, 7), *range(8, 11)}
    assert columns.min() == 6


@pytest.mark.parametrize("shape", [(20, 30), (4, 20, 30)])
def test_labels_with_the_pixels_of_the_image_and_no_scale_get_its_own(qapp, shape):
    data = np.zeros(shape, dtype=int)
    data[..., 10, 20] = 1
    layer = Labels(data, name="grains")
    told = take_calibration(layer, FRAME)
    assert "'grains'" in told and "was given its scale" in told
    assert tuple(layer.scale[-2:]) == FRAME.pixel_nm
    assert [str(unit) for unit in layer.units[-2:]] == ["nanometer"] * 2
    assert pixels_of(layer, FRAME) == [(10, 20)]
    assert take_calibration(layer, FRAME) == ""


def test_labels_with_other_pixels_and_no_scale_are_refused_in_words(qapp):
    layer = Labels(np.ones((64, 64), dtype=int), name="grains")
    with pytest.raises(ValueError, match=r"64 × 64 pixels and no scale.*20 × 30"):
        take_calibration(layer, FRAME)
    np.testing.assert_array_equal(layer.scale, (1, 1))


@pytest.mark.parametrize(
    "placed",
    [
        {"scale": (0.002, 0.002), "units": ("um", "um")},
        {"scale": (2.0, 2.0)},
        {"units": ("nm", "nm")},
        {"translate": (3.0, 0.0)},
        {"rotate": 30.0},
    ],
)
def test_labels_that_have_a_calibration_keep_it(qapp, placed):
    layer = Labels(np.ones((64, 64), dtype=int), **placed)
    before = layer.scale.copy(), layer.translate.copy(), layer.units
    assert take_calibration(layer, FRAME) == ""
    np.testing.assert_array_equal(layer.scale, before[0])
    np.testing.assert_array_equal(layer.translate, before[1])
    assert layer.units == before[2]


def test_points_and_shapes_are_in_the_coordinates_of_the_viewer(qapp):
    points = Points([[20.5, 30.5]])
    assert take_calibration(points, FRAME) == ""
    assert pixels_of(points, FRAME) == [(10, 15)]
    units = ("um", "um")
    assert pixels_of(Points([[0.0205, 0.0305]], units=units), FRAME) == [(10, 15)]


def test_a_stack_of_another_plugin_is_used_from_the_docks(paused, qtbot):
    session, viewer = paused.session, paused.viewer
    told, failed = [], []
    session.said.connect(told.append)
    session.failed.connect(lambda what, why: failed.append(f"{what}: {why}"))
    rows, columns = session.layers.frame.shape
    data = np.zeros((3, rows, columns), dtype=int)
    data[0, 4, 6] = data[2, 10, 20] = 1
    queue = paused.experiment.queue
    grains = viewer.add_labels(data, name="grains")
    viewer.dims.set_current_step(0, 2)
    queue.layer.choose(grains)
    queue.add.click()
    until(qtbot, lambda: session.live.queue == ((10, 20),))
    assert any("'grains' had no scale" in text for text in told)
    others = viewer.add_labels(np.ones((16, 16), dtype=int), name="others")
    queue.layer.choose(others)
    queue.add.click()
    row = paused.experiment.regions.rows[others]
    row.switch.click()
    assert "16 × 16 pixels and no scale" in failed[-1]
    assert "16 × 16 pixels and no scale" in row.problem.text()
    assert others not in session.watcher.layers
