"""Regions from layers, and painting with real mouse events in a napari window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Points, Shapes
from qtpy.QtWidgets import QApplication

from mouse import drag, paint_stroke, press, release
from napari_hae.coordinates import FieldFrame
from napari_hae.gui.layer_data import Role, calibration
from napari_hae.gui.layers import FieldLayers, role_of
from napari_hae.gui.region_layers import region_from_layer
from napari_hae.gui.regions import RegionWatcher, Terms, paint_layer
from napari_hae.regions.regions import RegionKind, Regions
from napari_hae.types import Area, ScanImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari import Viewer
    from napari.layers import Layer

pytestmark = pytest.mark.gui

FRAME = FieldFrame((48, 64), (48.0, 64.0))
NM = {"units": ("nm", "nm"), "axis_labels": ("y", "x")}


TRANSFORMS = [
    {"scale": (0.5, 0.25), "translate": (3, 5)},
    {"scale": (1, 1), "rotate": 30, "translate": (2, 16)},
    {"scale": (1, 1), "shear": [0.4], "translate": (0, -5)},
    {"affine": [[0.9, 0.2, 1], [-0.1, 1.1, 4], [0, 0, 1]]},
]


@pytest.fixture
def window(make_napari_viewer) -> Viewer:
    """A viewer that is shown, with a survey image; for real mouse events."""
    viewer = make_napari_viewer(show=True)
    data = np.random.default_rng(0).random((1, *FRAME.shape), dtype=np.float32)
    FieldLayers(viewer).show_survey(ScanImage(data, ("HAADF",), FRAME.fov_nm, 1e-5))
    QApplication.processEvents()
    viewer.reset_view()
    return viewer


@pytest.fixture
def model(qapp) -> ViewerModel:
    """The part of a viewer that needs no window: opens a hundred times faster."""
    return ViewerModel()


@pytest.fixture
def watch() -> Iterator[Callable[..., tuple[RegionWatcher, list[Regions]]]]:
    """Watch forbidden zones in a viewer; gives the watcher and what it emits."""
    watchers: list[RegionWatcher] = []

    def start(viewer: ViewerModel, *zones: Layer):
        watcher = RegionWatcher(viewer)
        watchers.append(watcher)
        watcher.set_layers([], zones)
        received: list[Regions] = []
        watcher.changed.connect(received.append)
        return watcher, received

    yield start
    for watcher in watchers:
        watcher.detach()


@pytest.fixture
def zone(model: ViewerModel) -> Labels:
    return paint_layer(model, RegionKind.FORBIDDEN, FRAME)


def test_a_painted_stroke_is_forbidden_from_its_first_touch(window, watch):
    zone = paint_layer(window, RegionKind.FORBIDDEN, FRAME)
    _, snapshots = watch(window, zone)
    press(window, (10, 10))
    assert snapshots[-1].allows(10, 10) is not None
    assert snapshots[-1].allows(10, 40) is None
    drag(window, [(10, 10), (10, 40)])
    assert snapshots[-1].allows(10, 40) is not None
    release(window, (10, 40))
    assert snapshots[-1].allows(10, 25) is not None
    assert snapshots[-1].allows(30, 25) is None


def test_nothing_is_measured_outside_what_is_painted(window, watch):
    layer = paint_layer(window, RegionKind.ROI, FRAME)
    watcher, snapshots = watch(window)
    watcher.set_layers([layer], [])
    assert not watcher.regions.restricts
    paint_stroke(window, [(20, 20), (20, 40)])
    assert snapshots[-1].allows(20, 30) is None
    assert "outside the region of interest" in str(snapshots[-1].allows(40, 30))


def test_painting_in_any_layer_forbids_the_place_under_the_mouse(window, watch):
    watcher, _ = watch(window)
    for transform in TRANSFORMS:
        layer = window.add_labels(np.zeros((90, 180), np.uint8), **transform, **NM)
        layer.brush_size = 3
        layer.mode = "paint"
        watcher.set_layers([], [layer])
        window.reset_view()
        paint_stroke(window, [(20, 30)])
        assert watcher.regions.allows(20, 30) is not None
        for place in [(20, 35), (25, 30), (15, 30), (20, 25)]:
            assert watcher.regions.allows(*place) is None


def test_a_rectangle_drawn_with_the_mouse_is_forbidden(window, watch):
    shapes = window.add_shapes(**NM)
    watcher, _ = watch(window, shapes)
    shapes.mode = "add_rectangle"
    paint_stroke(window, [(10, 10), (30, 40)])
    assert watcher.regions.allows(20, 25) is not None
    assert watcher.regions.allows(20, 45) is None


def test_earlier_snapshots_do_not_change_while_one_paints_on(model, zone, watch):
    watcher, _ = watch(model, zone)
    zone.paint((10, 10), 1)
    first = watcher.regions
    zone.paint((30, 10), 1)
    assert first.allows(30, 10) is None
    assert watcher.regions.allows(30, 10) is not None


def test_undo_redo_fill_and_scripts_are_seen(model, zone, watch):
    watcher, _ = watch(model, zone)
    zone.paint((10, 15), 1)
    zone.undo()
    assert watcher.regions.allows(10, 15) is None
    zone.redo()
    assert watcher.regions.allows(10, 15) is not None
    zone.fill((40, 60), 1)
    assert watcher.regions.allows(40, 60) is not None
    zone.data = np.zeros_like(zone.data)
    assert watcher.regions.allows(40, 60) is None
    zone.data_setitem((np.array([3]), np.array([4])), 1)
    assert watcher.regions.allows(3.5, 4.5) is not None
    zone.data[8, 9] = 1
    zone.refresh()
    assert watcher.regions.allows(8.5, 9.5) is not None


def test_many_events_make_one_signal(model, zone, watch):
    _, snapshots = watch(model, zone)
    for column in range(20):
        zone.data_setitem((np.array([3]), np.array([column])), 1)
    QApplication.processEvents()
    assert len(snapshots) == 1


def test_what_changes_no_region_makes_no_signal(model, zone, watch):
    _, snapshots = watch(model, zone)
    zone.refresh()
    zone.visible = False
    zone.visible = True
    zone.opacity = 0.2
    QApplication.processEvents()
    assert snapshots == []


def test_moving_the_layer_moves_the_zone(model, zone, watch):
    watcher, _ = watch(model, zone)
    zone.paint((10, 10), 1)
    down, right = zone.translate
    zone.translate = (down + 20, right + 30)
    assert watcher.regions.allows(10, 10) is None
    assert watcher.regions.allows(30, 40) is not None


def test_a_renamed_zone_is_refused_under_its_new_name(model, zone, watch):
    watcher, _ = watch(model, zone)
    zone.paint((10, 10), 1)
    zone.name = "keep out"
    assert watcher.regions.allows(10, 10) == "lies in the forbidden zone 'keep out'"


def test_a_removed_layer_restricts_no_longer(model, zone, watch, qtbot):
    zone.paint((10, 10), 1)
    watcher, snapshots = watch(model, zone)
    with qtbot.waitSignal(watcher.changed):
        model.layers.remove(zone)
    assert not snapshots[-1].restricts
    assert watcher.layers == {}


def test_a_closing_viewer_takes_no_zone_away_before_the_watcher_goes(model, zone):
    zone.paint((10, 10), 1)
    watcher = RegionWatcher(model)
    watcher.set_layers([], [zone])
    received: list[Regions] = []
    watcher.changed.connect(received.append)
    model.layers.clear()
    watcher.detach()
    QApplication.processEvents()
    assert received == []


def test_a_detached_watcher_is_silent(model, zone):
    watcher = RegionWatcher(model)
    watcher.set_layers([], [zone])
    watcher.detach()
    received: list[Regions] = []
    watcher.changed.connect(received.append)
    zone.paint((10, 10), 1)
    model.layers.remove(zone)
    QApplication.processEvents()
    assert received == []


def test_a_layer_chosen_for_both_is_a_forbidden_zone(model, zone, watch):
    watcher, _ = watch(model)
    watcher.set_layers([zone], [zone])
    assert watcher.layers == {zone: RegionKind.FORBIDDEN}
    watcher.set_layers([zone], [])
    assert watcher.layers == {zone: RegionKind.ROI}


def test_what_is_made_of_a_layer_changes_without_the_layer(model, zone, watch):
    watcher, snapshots = watch(model, zone)
    zone.paint((10, 10), 1)
    drawn = zone.data.copy()
    assert watcher.regions.allows(10, 16) is None
    watcher.set_terms(zone, Terms(RegionKind.FORBIDDEN, grow_nm=5.0))
    assert snapshots[-1].allows(10, 16) is not None
    watcher.set_terms(zone, Terms(RegionKind.SOFT, edges_nm=2.0, weight=-1.0))
    assert snapshots[-1].soft[0].weight == -1.0
    assert not snapshots[-1].restricts
    watcher.set_terms(zone, Terms(RegionKind.FORBIDDEN, is_on=False))
    assert snapshots[-1].forbidden[0].name == "Forbidden zone"
    assert not snapshots[-1].restricts
    np.testing.assert_array_equal(zone.data, drawn)


def test_a_zone_that_cannot_be_shrunk_stays_as_it_was(model, zone, watch):
    zone.paint((10, 10), 1)
    watcher, snapshots = watch(model, zone)
    with pytest.raises(ValueError, match="'Forbidden zone' cannot be shrunk"):
        watcher.set_terms(zone, Terms(RegionKind.FORBIDDEN, grow_nm=-1.0))
    assert snapshots == []
    assert watcher.regions.allows(10, 10) is not None


def test_an_adjusted_region_that_is_the_same_makes_no_signal(model, zone, watch):
    watcher, snapshots = watch(model, zone)
    watcher.set_terms(zone, Terms(RegionKind.ROI, edges_nm=3.0))
    known = len(snapshots)
    zone.refresh()
    watcher.set_terms(zone, Terms(RegionKind.ROI, edges_nm=3.0))
    QApplication.processEvents()
    assert len(snapshots) == known


def test_choosing_hard_regions_leaves_soft_ones_and_terms_alone(model, zone, watch):
    watcher, _ = watch(model)
    soft = paint_layer(model, RegionKind.SOFT, FRAME)
    grown = Terms(RegionKind.FORBIDDEN, grow_nm=2.0)
    watcher.set_terms(soft, Terms(RegionKind.SOFT))
    watcher.set_terms(zone, grown)
    watcher.set_layers([], [zone])
    assert watcher.terms == {soft: Terms(RegionKind.SOFT), zone: grown}
    watcher.set_layers([], [])
    assert watcher.terms == {soft: Terms(RegionKind.SOFT)}


def test_a_layer_that_can_be_no_region_is_refused_in_words(model, watch, qtbot):
    watcher, _ = watch(model)
    with qtbot.waitSignal(watcher.refused) as told:
        watcher.set_layers([], [Points([[1, 1]], name="spots", **NM)])
    assert told.args == [
        "a forbidden zone is made of a Labels or Shapes layer; "
        "'spots' is a Points layer"
    ]


def test_the_paint_button_makes_one_layer_and_finds_it_again(model, zone):
    assert (zone.name, zone.mode, zone.brush_size) == ("Forbidden zone", "paint", 4)
    zone.name, zone.mode = "keep out", "pan_zoom"
    model.layers.selection = set()
    assert paint_layer(model, RegionKind.FORBIDDEN, FRAME) is zone
    assert zone.mode == "paint"
    assert model.layers.selection == {zone}
    assert zone.name == "keep out"


def test_a_layer_of_another_field_is_not_painted_in(model, zone):
    finer = FieldFrame((48, 24), (6.0, 3.0), Area(0.1, 0.2, 0.4, 0.8))
    other = paint_layer(model, RegionKind.FORBIDDEN, finer)
    assert other is not zone
    assert other.data.shape == (48, 24)
    assert tuple(other.scale) == pytest.approx(finer.pixel_nm)
    assert other.brush_size == 4
    assert paint_layer(model, RegionKind.FORBIDDEN, FRAME) is zone
    assert paint_layer(model, RegionKind.FORBIDDEN, finer) is other


def test_paint_layers_fit_the_other_layers_and_lie_in_order(model, zone):
    data = np.zeros((1, *FRAME.shape), np.float32)
    interest = paint_layer(model, RegionKind.ROI, FRAME)
    soft = paint_layer(model, RegionKind.SOFT, FRAME)
    FieldLayers(model).show_survey(ScanImage(data, ("HAADF",), FRAME.fov_nm, 1e-5))
    roles = [role_of(layer) for layer in model.layers]
    assert roles == [Role.SURVEY, Role.SOFT, Role.ROI, Role.FORBIDDEN]
    assert model.layers.extent.units is not None
    assert interest.contour > 0
    assert zone.contour == soft.contour == 0


def test_the_world_of_a_layer_in_micrometres_is_converted():
    labels = Labels(np.eye(5, dtype=int), scale=(0.01, 0.01), units=("um", "um"))
    region = region_from_layer(labels)
    assert region.contains(20, 20)
    assert not region.contains(20, 30)


def test_a_layer_without_a_length_is_taken_to_be_in_nm():
    region = region_from_layer(Labels(np.eye(5, dtype=int), scale=(2, 2)))
    assert region.contains(4, 4)
    assert not region.contains(4, 6)


def test_what_is_marked_in_any_plane_of_a_stack_counts():
    stack = np.zeros((3, *FRAME.shape), np.uint8)
    stack[0, 5, 5] = stack[2, 9, 9] = 1
    units = ("pixel", "nm", "nm")
    common = calibration(FRAME)
    scale, translate = (1, *common["scale"]), (0, *common["translate"])
    layer = Labels(stack, scale=scale, translate=translate, units=units)
    regions = Regions(forbidden=(region_from_layer(layer),))
    assert {(5, 5), (9, 9)} == set(zip(*np.nonzero(~regions.mask(FRAME)), strict=True))


def test_labels_that_touch_are_told_apart_and_relabelling_is_seen(model, watch):
    data = np.zeros(FRAME.shape, np.uint8)
    data[:, :20], data[:, 20:40] = 4, 9
    layer = model.add_labels(data, **calibration(FRAME))
    watcher, _ = watch(model)
    watcher.set_terms(layer, Terms(RegionKind.ROI, edges_nm=2.0))
    assert watcher.regions.allows(10, 20.5) is None
    assert watcher.regions.allows(10, 30) is not None
    layer.data = (data > 0).astype(np.uint8)
    assert watcher.regions.allows(10, 20.5) is not None
    assert watcher.regions.allows(10, 40.5) is None


def test_an_ellipse_never_allows_more_than_was_drawn():
    corners = [[10, 10], [10, 50], [30, 50], [30, 10]]
    shapes = Shapes([corners], shape_type="ellipse", **NM)
    angle = np.linspace(0, 2 * np.pi, 500)
    rim = np.stack([20 + 10 * np.sin(angle), 30 + 20 * np.cos(angle)])
    centre = np.array([[20], [30]])
    inside, outside = centre + 0.999 * (rim - centre), centre + 1.001 * (rim - centre)
    assert region_from_layer(shapes, RegionKind.FORBIDDEN).contains(*inside).all()
    assert not region_from_layer(shapes, RegionKind.ROI).contains(*outside).any()


def test_lines_and_paths_are_as_wide_as_they_are_drawn():
    bend = np.array([[10.0, 10.0], [10.0, 40.0], [40.0, 40.0]])
    shapes = Shapes([bend], shape_type="path", edge_width=4, **NM)
    region = region_from_layer(shapes)
    inside = np.array([(11.9, 20), (8.1, 20), (25, 41.9), (8.1, 40), (10, 8.1)])
    outside = np.array([(12.1, 20), (7.9, 20), (25, 42.1), (10, 7.8), (25, 30)])
    assert region.contains(*inside.T).all()
    assert not region.contains(*outside.T).any()


def test_a_points_layer_is_refused():
    with pytest.raises(TypeError, match="made of a Labels or Shapes layer"):
        region_from_layer(Points([[1, 1]]), RegionKind.ROI)
