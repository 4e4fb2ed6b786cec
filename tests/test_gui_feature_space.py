"""The feature space is seen, coloured, and used to select, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.path import Path
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QImage

from mouse import LEFT, drag_in_plot, paint_stroke
from napari_hae.experiment.stored import open_run
from napari_hae.gui.candidate_cloud import NO_VALUE_COLOR, CandidateCloud
from napari_hae.gui.feature_colors import ColorBy
from napari_hae.gui.feature_controls import Space
from napari_hae.gui.feature_plot import COLORS, palette
from napari_hae.gui.layer_data import SELECTION_COLOR
from napari_hae.gui.layers import Role, role_of
from napari_hae.regions.regions import RegionKind
from napari_hae.types import ScanImage
from steered import start, stop, until

pytestmark = pytest.mark.gui

ENDLESS = 1000
SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier
NAN = float("nan")
FORMAT = QImage.Format.Format_RGBA8888
BLUE = QColor(SELECTION_COLOR).getRgb()


def open_panel(cockpit, qtbot, space=Space.MODEL):
    """Bring the tab to the front with the mouse, and choose a space."""
    tabs, panel = cockpit.monitor.tabs, cockpit.monitor.feature_space
    place = tabs.tabBar().tabRect(tabs.indexOf(panel)).center()
    qtbot.mouseClick(tabs.tabBar(), LEFT, pos=place)
    assert panel.isVisible()
    panel.controls.space_choice.setCurrentText(str(space))
    return panel


def measured(cockpit):
    return cockpit.session.live.measurements


@pytest.fixture
def described(connected, qtbot):
    """The panel with the descriptors of the survey image, before any run."""
    panel = open_panel(connected, qtbot, Space.DESCRIPTORS)
    until(qtbot, lambda: not panel.plot.is_empty)
    return panel


@pytest.fixture
def running(connected, qtbot):
    """The panel with the model's space while a run goes on and on."""
    panel = open_panel(connected, qtbot)
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: not panel.plot.is_empty)
    return panel


def halves(panel):
    """A line that has half of all candidates on its right, and what is in view."""
    points = panel.plot.cloud.points
    (left, right), (low, high) = panel.plot.view.viewRange()
    room_x, room_y = 0.005 * (right - left), 0.005 * (high - low)
    middle = float(np.median(points[:, 0]))
    return middle, (left + room_x, right - room_x), (low + room_y, high - room_y)


def right_half(panel):
    middle, (_, right), (low, high) = halves(panel)
    return [(middle, low), (right, low), (right, high), (middle, high)]


def left_half(panel):
    middle, (left, _), (low, high) = halves(panel)
    return [(left, low), (middle, low), (middle, high), (left, high)]


def inside(panel, outline):
    """Candidates that surely lie in, and surely lie out of, an outline on screen."""
    points = panel.plot.cloud.points
    x_px, y_px = panel.plot.view.viewPixelSize()
    grown, path = 3 * max(x_px, y_px), Path(outline)
    near = [points + np.array([a, b]) for a in (-grown, grown) for b in (-grown, grown)]
    held = np.array([path.contains_points(p) for p in near])
    return held.all(axis=0), ~held.any(axis=0)


def selection_layer(cockpit):
    return cockpit.session.layers.selection_layer


def test_an_empty_panel_says_what_comes(cockpit, connected, qtbot):
    panel = open_panel(connected, qtbot)
    assert panel.plot.is_empty
    assert "first proposal" in panel.plot.message.text()
    assert not panel.controls.lasso.isEnabled()
    assert not panel.controls.forbidden.isEnabled()
    panel.controls.space_choice.setCurrentText(str(Space.DESCRIPTORS))
    until(qtbot, lambda: not panel.plot.is_empty)
    assert len(panel.plot.cloud.points) == 64 * 64
    assert panel.plot.plot.getAxis("bottom").labelText == "Patch component 1"


def test_without_a_survey_image_it_asks_for_one(cockpit, qtbot):
    panel = open_panel(cockpit, qtbot)
    assert "press Connect" in panel.plot.message.text()
    assert not panel.controls.paint.isEnabled()


def test_a_lasso_becomes_a_forbidden_zone_that_the_run_keeps_out_of(
    connected, running, qtbot
):
    """The main job: lasso, layer, zone, and 25 steps that keep out of it."""
    session = connected.session
    outline = right_half(running)
    drag_in_plot(running.plot.plot, outline, SHIFT)
    until(qtbot, running.controls.forbidden.isEnabled)
    painted = selection_layer(connected).data > 0
    surely_in, surely_out = inside(running, outline)
    assert surely_in.sum() > 500
    assert surely_out.sum() > 500
    assert painted.ravel()[surely_in].all()
    assert not painted.ravel()[surely_out].any()
    assert f"{painted.sum() // 1000} " in running.controls.count.text()
    qtbot.mouseClick(running.controls.forbidden, LEFT)
    (layer,) = [x for x in connected.viewer.layers if role_of(x) is Role.FORBIDDEN]
    assert layer.name == "Forbidden zone from selection"
    np.testing.assert_array_equal(layer.data > 0, painted)
    assert not selection_layer(connected).data.any()
    # What was under way when it came may have been measured.
    known = len(session.runner.measurements) + 2
    until(qtbot, lambda: len(measured(connected)) >= known + 25)
    later = measured(connected)[known:]
    assert [m.step for m in later if painted[m.proposal.row, m.proposal.column]] == []
    stop(connected, qtbot)
    stored = open_run(session.record_path).regions.forbidden
    assert [region.name for region in stored] == [layer.name]


def test_a_lasso_becomes_a_region_of_interest_beside_the_regions_before(
    connected, running, qtbot
):
    session, regions = connected.session, connected.experiment.regions
    for outline, button in (
        (left_half(running), running.controls.forbidden),
        (right_half(running), running.controls.interest),
    ):
        drag_in_plot(running.plot.plot, outline, SHIFT)
        until(qtbot, button.isEnabled)
        caught = running.selection.mask
        qtbot.mouseClick(button, LEFT)
        until(qtbot, lambda: not running.controls.clear.isEnabled())
    kinds = {RegionKind.ROI, RegionKind.FORBIDDEN}
    assert set(session.watcher.layers.values()) == kinds
    ticked = {x for x, row in regions.rows.items() if row.switch.isChecked()}
    assert ticked == set(session.watcher.layers)
    known = len(session.runner.measurements) + 2
    until(qtbot, lambda: len(measured(connected)) >= known + 15)
    later = measured(connected)[known:]
    assert all(caught[m.proposal.row, m.proposal.column] for m in later)
    stop(connected, qtbot)


def test_the_lasso_button_draws_without_a_key_and_ctrl_adds(described, qtbot):
    qtbot.mouseClick(described.controls.lasso, LEFT)
    drag_in_plot(described.plot.plot, left_half(described))
    until(qtbot, described.controls.clear.isEnabled)
    first = described.selection.mask
    drag_in_plot(described.plot.plot, right_half(described), CTRL)
    second = described.selection.mask
    assert second[first].all()
    surely_in, _ = inside(described, right_half(described))
    assert second.ravel()[surely_in].all()
    drag_in_plot(described.plot.plot, right_half(described))
    surely_in, _ = inside(described, left_half(described))
    assert not described.selection.mask.ravel()[surely_in].any()
    qtbot.mouseClick(described.controls.clear, LEFT)
    assert not described.selection.mask.any()
    until(qtbot, lambda: not described.controls.clear.isEnabled())


def test_a_drag_without_lasso_moves_the_view_and_a_double_click_brings_it_back(
    connected, described, qtbot
):
    view = described.plot.view
    described.plot.plot.grab()  # lays it out, which changes what is in view
    before = view.viewRange()
    middle, _, (low, high) = halves(described)
    centre = (low + high) / 2
    drag_in_plot(described.plot.plot, [(middle, centre), (middle + 0.5, centre)])
    (left, right), _ = view.viewRange()
    assert left < before[0][0] - 0.2
    assert right < before[0][1] - 0.2
    assert selection_layer(connected) is None
    viewport = described.plot.plot.viewport()
    place = described.plot.plot.mapFromScene(view.sceneBoundingRect().center())
    qtbot.mouseDClick(viewport, LEFT, pos=place)
    qtbot.mouseRelease(viewport, LEFT, pos=place)
    described.plot.plot.grab()
    np.testing.assert_allclose(view.viewRange(), before, atol=1e-3)


def test_what_is_painted_in_the_image_is_highlighted_in_feature_space(
    connected, described, qtbot
):
    qtbot.mouseClick(described.controls.paint, LEFT)
    layer = selection_layer(connected)
    assert connected.viewer.layers.selection.active is layer
    height_nm, width_nm = connected.session.layers.frame.fov_nm
    ends = [(height_nm / 2, 0.3 * width_nm), (height_nm / 2, 0.6 * width_nm)]
    paint_stroke(connected.viewer, ends)
    painted = layer.data.ravel() > 0
    assert 20 < painted.sum() < 2000
    until(qtbot, described.controls.clear.isEnabled)
    np.testing.assert_array_equal(described.plot.cloud._chosen, painted)
    assert blue_dots(described) > 0
    qtbot.mouseClick(described.controls.clear, LEFT)
    until(qtbot, lambda: not described.controls.clear.isEnabled())
    assert blue_dots(described) == 0


def blue_dots(panel) -> int:
    """How many pixels of the plot, as it is on screen, have the selection's colour."""
    shot = panel.plot.plot.grab().toImage().convertToFormat(FORMAT)
    pixels = np.frombuffer(shot.constBits().asstring(shot.sizeInBytes()), np.uint8)
    return int((pixels.reshape(-1, 4) == BLUE).all(axis=1).sum())


def test_the_selection_looks_like_the_other_layers_and_goes_with_its_field(
    connected, described, qtbot
):
    drag_in_plot(described.plot.plot, right_half(described), SHIFT)
    until(qtbot, described.controls.clear.isEnabled)
    layer, survey = (
        selection_layer(connected),
        connected.session.layers.survey_layers[0],
    )
    np.testing.assert_array_equal(layer.scale, survey.scale)
    np.testing.assert_array_equal(layer.translate, survey.translate)
    assert layer.units == survey.units
    assert layer.opacity == 0.5
    connected.session.layers.show_survey(
        ScanImage(np.ones((1, 8, 8), np.float32), ("HAADF",), (50.0, 50.0), 1e-5)
    )
    assert selection_layer(connected) is None
    until(qtbot, lambda: not described.controls.clear.isEnabled())
    assert described.selection.mask.shape == (8, 8)


def test_a_deleted_selection_layer_selects_nothing(connected, described, qtbot):
    drag_in_plot(described.plot.plot, right_half(described), SHIFT)
    until(qtbot, described.controls.clear.isEnabled)
    connected.viewer.layers.remove(selection_layer(connected))
    until(qtbot, lambda: not described.controls.clear.isEnabled())
    assert described.plot.cloud._chosen is None
    assert described.selection.make_region(RegionKind.FORBIDDEN) is None


def test_of_an_opened_record_it_says_what_can_be_looked_at(connected, running, qtbot):
    session = connected.session
    until(qtbot, lambda: len(measured(connected)) >= 14)
    stop(connected, qtbot)
    path = session.record_path
    qtbot.mouseClick(connected.microscope.connect_button, LEFT)
    until(qtbot, lambda: not session.connection.is_open)
    session.open_record(path)
    until(qtbot, lambda: "record keeps" in running.plot.message.text())
    assert running.plot.is_empty
    assert "Descriptors" in running.plot.message.text()
    running.controls.space_choice.setCurrentText(str(Space.DESCRIPTORS))
    until(qtbot, lambda: not running.plot.is_empty)
    assert len(running.plot.measured.points()) == len(measured(connected))
    # Nothing comes next, but after the step to which it is rewound.
    assert len(running.plot.next.getData()[0]) == 0
    session.live.show_step(12)
    until(qtbot, lambda: len(running.plot.next.getData()[0]) == 1)


def test_the_path_and_the_next_place_are_drawn_and_selected_points_ringed(
    connected, running, qtbot
):
    until(qtbot, lambda: len(measured(connected)) >= 14)
    proposal = running._next
    running._draw()
    picture = connected.session.live.picture
    np.testing.assert_array_equal(running.plot.cloud.points, picture)
    (next_place,) = np.transpose(running.plot.next.getData())
    np.testing.assert_array_equal(
        next_place, picture[64 * proposal.row + proposal.column]
    )
    stop(connected, qtbot)
    running._draw()
    order = [64 * m.proposal.row + m.proposal.column for m in measured(connected)]
    path = np.transpose(running.plot._path.getData())
    np.testing.assert_array_equal(path, picture[order])
    assert len(running.plot.next.getData()[0]) == 0
    connected.session.layers.measured_layer.selected_data = {2, 5}
    ringed = np.transpose(running.plot.picked.getData())
    np.testing.assert_array_equal(ringed, picture[[order[2], order[5]]])


def test_colours_follow_the_choice_and_are_those_of_the_layers(
    connected, running, qtbot
):
    until(qtbot, lambda: len(measured(connected)) >= 14)
    stop(connected, qtbot)
    layers, maps = connected.session.layers, connected.session.live.maps
    cloud, seen = running.plot.cloud, []
    for by in ColorBy:
        running.controls.color_choice.setCurrentText(str(by))
        until(qtbot, running.plot.isVisible)
        seen.append(running.plot.plot.grab().toImage())
    assert all(a != b for i, a in enumerate(seen) for b in seen[:i])
    for by, role, plane in (
        (ColorBy.MEAN, Role.MEAN, maps.mean),
        (ColorBy.STD, Role.STD, maps.std),
        (ColorBy.ACQUISITION, Role.ACQUISITION, maps.acquisition),
    ):
        running.controls.color_choice.setCurrentText(str(by))
        layer = layers.map_layer(role)
        np.testing.assert_array_equal(cloud._values, plane.ravel())
        assert cloud._limits == tuple(layer.contrast_limits)
        expected = layer.colormap.map(np.linspace(0, 1, COLORS)) * 255
        np.testing.assert_allclose(cloud._palette, expected, atol=0.51)


def test_measured_points_have_the_colour_of_their_target_or_their_step(
    connected, running, qtbot
):
    until(qtbot, lambda: len(measured(connected)) >= 14)
    stop(connected, qtbot)
    running.controls.color_choice.setCurrentText(str(ColorBy.STEP))
    colors = disc_colors(running)
    assert running.plot.cloud._values is None
    np.testing.assert_array_equal(colors[[0, -1]], palette("viridis")[[0, -1], :])
    running.controls.color_choice.setCurrentText(str(ColorBy.TARGET))
    targets = np.array([m.target for m in measured(connected)])
    best = disc_colors(running)[targets.argmax()]
    low, high = connected.session.layers.map_layer(Role.MEAN).contrast_limits
    share = min((targets.max() - low) / (high - low), 1.0)
    index = round(share * (COLORS - 1))
    np.testing.assert_array_equal(best, palette("viridis")[index])
    running.controls.color_choice.setCurrentText(str(ColorBy.STD))
    assert len(np.unique(disc_colors(running), axis=0)) == 1


def disc_colors(panel):
    spots = panel.plot.measured.points()
    return np.array([spot.brush().color().getRgb() for spot in spots])


def test_a_panel_that_is_not_seen_draws_nothing_and_catches_up(connected, qtbot):
    panel = connected.monitor.feature_space
    assert not panel.isVisible()
    start(connected, qtbot, steps=14)
    until(qtbot, lambda: not connected.session.is_running)
    assert len(panel.plot.cloud.points) == 0
    assert panel._features is None
    open_panel(connected, qtbot)
    assert len(panel.plot.cloud.points) == 64 * 64
    assert len(panel.plot.measured.points()) == 14


def test_many_news_are_drawn_once(connected, described, qtbot, monkeypatch):
    drawn = []
    monkeypatch.setattr(described.plot.cloud, "set_values", lambda *a: drawn.append(a))
    for _ in range(50):
        connected.session.live.retargeted.emit(())
    assert drawn == []
    until(qtbot, lambda: bool(drawn))
    assert len(drawn) == 1


def cloud_of(points, values=None, chosen=None):
    cloud = CandidateCloud()
    cloud.set_points(np.array(points, np.float32))
    if values is not None:
        cloud.set_values(np.array(values, np.float32), (0, 10), palette("viridis"))
    if chosen is not None:
        cloud.set_chosen(np.array(chosen))
    return cloud.pixels(QRectF(0, 0, 100, 50), 100, 50)


def test_dots_have_the_colour_of_their_value(qapp):
    pixels = cloud_of([(10, 10), (50, 20), (90, 40)], [0, 10, NAN])
    np.testing.assert_array_equal(pixels[10, 10], palette("viridis")[0])
    assert (pixels[18:23, 48:53] == palette("viridis")[-1]).all()
    np.testing.assert_array_equal(pixels[40, 90], NO_VALUE_COLOR)
    assert (pixels[..., 3] > 0).sum() == 3 * 25


def test_a_pixel_with_several_candidates_has_their_mean_colour(qapp):
    pixels = cloud_of([(10, 10), (10.2, 10.4), (10, 10)], [0, 10, 5])
    np.testing.assert_array_equal(pixels[10, 10], palette("viridis")[32])


def test_chosen_candidates_lie_above_and_those_out_of_view_nowhere(qapp):
    pixels = cloud_of([(10, 10), (10, 10), (130, 10)], [0, 0, 0], [False, True, True])
    np.testing.assert_array_equal(pixels[10, 10], BLUE)
    assert (pixels[..., 3] > 0).sum() == 25


def test_dots_at_the_edge_do_not_reach_around(qapp):
    pixels = cloud_of([(0, 0), (99.9, 49.9)], [0, 0])
    assert (pixels[..., 3] > 0).sum() == 2 * 9
    assert pixels[0, 0, 3]
    assert pixels[49, 99, 3]


def test_65_000_candidates_are_all_counted(qapp):
    points = np.random.default_rng(0).random((65_536, 2)) * (100, 50)
    pixels = cloud_of(points, np.full(65_536, 5.0))
    (color,) = np.unique(pixels.reshape(-1, 4), axis=0)
    np.testing.assert_array_equal(color, palette("viridis")[32])
