"""Colour, space and selections of the feature space, with mouse and keys in a run."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage

from by_hand import pick
from mouse import LEFT, canvas_position, drag_in_plot, paint_stroke
from napari_hae.agent.feature_space import survey_features
from napari_hae.gui.feature_colors import ColorBy
from napari_hae.gui.feature_controls import Space
from napari_hae.gui.feature_plot import palette
from napari_hae.gui.layers import Role
from napari_hae.gui.live import LiveView
from napari_hae.regions.regions import RegionKind
from steered import entries, place, until

pytestmark = pytest.mark.gui
SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def panel(paused, qtbot):
    """The feature space of a run that is paused, its tab brought to the front."""
    tabs, panel = paused.monitor.tabs, paused.monitor.feature_space
    at = tabs.tabBar().tabRect(tabs.indexOf(panel)).center()
    qtbot.mouseClick(tabs.tabBar(), LEFT, pos=at)
    until(qtbot, lambda: not panel.plot.is_empty)
    return panel


def colors_on_screen(panel) -> np.ndarray:
    """All pixels of the plot as it is drawn, `(n, 3)`."""
    shot = panel.plot.plot.grab().toImage()
    shot = shot.convertToFormat(QImage.Format.Format_RGBA8888)
    pixels = np.frombuffer(shot.constBits().asstring(shot.sizeInBytes()), np.uint8)
    return pixels.reshape(-1, 4)[:, :3]


def disc_colors(panel) -> np.ndarray:
    """Of the measured points, in the order of their steps."""
    spots = panel.plot.measured.points()
    return np.array([spot.brush().color().getRgb() for spot in spots])


def share_in(colormap: str, pixels: np.ndarray) -> float:
    """How much of what is drawn has one of a colour map's colours."""
    known = {tuple(color) for color in palette(colormap)[:, :3].tolist()}
    return float(np.mean([tuple(each) in known for each in pixels.tolist()]))


def test_each_colour_is_chosen_in_the_list_and_seen_on_screen(paused, panel, qtbot):
    session, cloud = paused.session, panel.plot.cloud
    combo, maps = panel.controls.color_choice, session.live.maps
    features = survey_features(session.survey, session.settings.model.patch_px)
    for by, values, colormap in (
        (ColorBy.STD, maps.std, "magma"),
        (ColorBy.ACQUISITION, maps.acquisition, "inferno"),
        (ColorBy.INTENSITY, features.intensity, "gray"),
        (ColorBy.MEAN, maps.mean, "viridis"),
    ):
        pick(combo, str(by), qtbot)
        until(
            qtbot,
            lambda values=values: np.array_equal(
                cloud._values, values.ravel(), equal_nan=True
            ),
        )
        assert share_in(colormap, colors_on_screen(panel)) > 0.02, by
    # Of measured places only: the others are gray.
    measured = session.live.measurements
    pick(combo, str(ColorBy.TARGET), qtbot)
    until(qtbot, lambda: cloud._values is None)
    low, high = session.layers.map_layer(Role.MEAN).contrast_limits
    best = int(np.argmax([m.target for m in measured]))
    share = np.clip((measured[best].target - low) / (high - low), 0, 1)
    expected = palette("viridis")[round(share * (len(palette("viridis")) - 1))]
    np.testing.assert_array_equal(disc_colors(panel)[best], expected)
    pick(combo, str(ColorBy.STEP), qtbot)
    ends = palette("viridis")[[0, -1]]
    until(qtbot, lambda: np.array_equal(disc_colors(panel)[[0, -1]], ends))
    assert panel.controls.scale._low.text() == "1"
    assert panel.controls.scale._high.text() == str(len(measured))


def test_another_space_is_chosen_with_the_mouse_and_with_keys(paused, panel, qtbot):
    session, plot, combo = paused.session, panel.plot, panel.controls.space_choice
    np.testing.assert_array_equal(plot.cloud.points, session.live.picture)
    pick(combo, str(Space.DESCRIPTORS), qtbot)
    features = survey_features(session.survey, session.settings.model.patch_px)
    until(qtbot, lambda: np.array_equal(plot.cloud.points, features.picture))
    assert plot.plot.getAxis("bottom").labelText == "Patch component 1"
    places = [
        64 * m.proposal.row + m.proposal.column for m in session.live.measurements
    ]
    path = np.transpose(plot._path.getData())
    np.testing.assert_array_equal(path, features.picture[places])
    combo.setFocus()
    qtbot.keyClick(combo, Qt.Key.Key_Up)
    until(qtbot, lambda: np.array_equal(plot.cloud.points, session.live.picture))
    assert plot.plot.getAxis("bottom").labelText == "Model component 1"


def right_part(panel) -> list[tuple[float, float]]:
    """An outline around what lies to the right of most candidates."""
    panel.plot.plot.grab()  # lays it out, which changes what is in view
    (left, right), (low, high) = panel.plot.view.viewRange()
    edge = float(np.quantile(panel.plot.cloud.points[:, 0], 0.6))
    room_x, room_y = 0.005 * (right - left), 0.005 * (high - low)
    top, bottom, end = high - room_y, low + room_y, right - room_x
    return [(edge, bottom), (end, bottom), (end, top), (edge, top)]


def lasso(panel, qtbot) -> np.ndarray:
    """Draw a lasso with Shift; what is selected in the image then."""
    outline, x = right_part(panel), panel.plot.cloud.points[:, 0]
    drag_in_plot(panel.plot.plot, outline, SHIFT)
    until(qtbot, panel.controls.interest.isEnabled)
    selected = panel.selection.mask
    edge, near = outline[0][0], 3 * panel.plot.view.viewPixelSize()[0]
    assert selected.ravel()[x > edge + near].all()
    assert not selected.ravel()[x < edge - near].any()
    return selected


def test_a_lasso_catches_what_lay_in_it_when_it_was_drawn(
    paused, panel, qtbot, monkeypatch
):
    """What the model has learned meanwhile puts the candidates elsewhere."""
    before, outline = panel.plot.cloud.points, right_part(panel)
    mirrored = -before

    def learn() -> None:
        monkeypatch.setattr(LiveView, "picture", property(lambda _: mirrored))
        paused.session.live.mapped.emit()
        until(qtbot, lambda: not panel._timer.isActive())
        assert panel.plot.cloud.points is before

    drag_in_plot(panel.plot.plot, outline, SHIFT, meanwhile=learn)
    until(qtbot, panel.controls.interest.isEnabled)
    edge, near = outline[0][0], 3 * panel.plot.view.viewPixelSize()[0]
    selected = panel.selection.mask.ravel()
    assert selected[before[:, 0] > edge + near].all()
    assert not selected[before[:, 0] < edge - near].any()
    assert panel.plot.cloud.points is mirrored
    np.testing.assert_array_equal(panel.plot.cloud._chosen, selected)


def test_a_lasso_whose_end_is_lost_holds_nothing_up(paused, panel, qtbot):
    tabs, drawn = paused.monitor.tabs, []

    def look_elsewhere() -> None:
        tabs.setCurrentWidget(paused.monitor.story)
        tabs.setCurrentWidget(panel)
        drawn.append(panel.plot.view.is_drawing)

    drag_in_plot(panel.plot.plot, right_part(panel), SHIFT, meanwhile=look_elsewhere)
    assert drawn == [False]
    assert not panel.plot.view.is_drawing
    assert not panel.selection.mask.any()


def test_the_intensity_is_coloured_without_the_survey_images_layer(
    paused, panel, qtbot
):
    layers = paused.session.layers
    for layer in layers.survey_layers:
        paused.viewer.layers.remove(layer)
    pick(panel.controls.color_choice, str(ColorBy.INTENSITY), qtbot)
    until(qtbot, lambda: panel._features is not None)
    values = panel._features.intensity
    until(qtbot, lambda: np.array_equal(panel.plot.cloud._values, values))
    assert panel.plot.cloud._limits == (values.min(), values.max())


def blue(cockpit) -> np.ndarray:
    """How blue each pixel of the canvas is, on screen."""
    shot = cockpit.viewer.screenshot(flash=False).astype(int)
    return shot[..., 2] - shot[..., 0]


def test_a_lasso_is_seen_in_the_image_and_becomes_a_region_of_interest(
    paused, panel, qtbot
):
    pick(panel.controls.space_choice, str(Space.DESCRIPTORS), qtbot)
    until(qtbot, lambda: panel._features is not None and not panel.plot.is_empty)
    before = blue(paused)
    selected = lasso(panel, qtbot)
    bluer = blue(paused) > before
    marked = np.argwhere(selected)
    at = canvas_position(paused.viewer, place(paused, *marked[len(marked) // 2]))
    assert bluer[round(at.y()), round(at.x())]
    left_out = np.argwhere(~selected)
    at = canvas_position(paused.viewer, place(paused, *left_out[len(left_out) // 2]))
    assert not bluer[round(at.y()), round(at.x())]
    qtbot.mouseClick(panel.controls.interest, LEFT)
    until(qtbot, lambda: RegionKind.ROI in paused.session.watcher.layers.values())
    # What was computed ahead was not known to lie outside.
    taken = len(paused.session.live.measurements)
    qtbot.mouseClick(paused.experiment.controls.pause, LEFT)
    until(qtbot, lambda: len(paused.session.live.measurements) >= taken + 6)
    later = paused.session.live.measurements[taken:]
    assert all(selected[m.proposal.row, m.proposal.column] for m in later)
    drawn = entries_at_rest(paused, qtbot)[-1]["regions"]["interest"]
    assert [each["name"] for each in drawn] == ["Region of interest from selection"]


def entries_at_rest(cockpit, qtbot) -> list[dict]:
    """The changes of regions in the journal, while nothing is written to it."""
    qtbot.mouseClick(cockpit.experiment.controls.pause, LEFT)
    until(qtbot, lambda: str(cockpit.session.state) == "paused")
    return entries(cockpit, "regions")


def test_what_is_painted_in_the_image_becomes_a_forbidden_zone(paused, panel, qtbot):
    session = paused.session
    best = session.live.maps.acquisition
    row, column = np.unravel_index(np.nanargmax(best), best.shape)
    qtbot.mouseClick(panel.controls.paint, LEFT)
    ends = [
        place(paused, row, max(column - 3, 0)),
        place(paused, row, min(column + 3, 63)),
    ]
    paint_stroke(paused.viewer, ends)
    until(qtbot, panel.controls.forbidden.isEnabled)
    painted = panel.selection.mask
    assert painted[row, column]
    np.testing.assert_array_equal(panel.plot.cloud._chosen, painted.ravel())
    qtbot.mouseClick(panel.controls.forbidden, LEFT)
    until(qtbot, lambda: RegionKind.FORBIDDEN in session.watcher.layers.values())
    until(qtbot, lambda: not panel.selection.mask.any())
    taken = len(session.live.measurements)
    qtbot.mouseClick(paused.experiment.controls.pause, LEFT)
    until(qtbot, lambda: len(session.live.measurements) >= taken + 6)
    later = session.live.measurements[taken:]
    assert not any(painted[m.proposal.row, m.proposal.column] for m in later)
    drawn = entries_at_rest(paused, qtbot)[-1]["regions"]["forbidden"]
    assert [each["name"] for each in drawn] == ["Forbidden zone from selection"]
