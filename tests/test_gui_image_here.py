"""A person has an area imaged more finely in a real window, and goes back."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from by_hand import show_section
from mouse import click, paint_stroke
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layers import Role, role_of
from napari_hae.gui.sessions import session_of
from napari_hae.types import WHOLE_FIELD, Area, ChosenBy
from steered import entries, step, until

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton
CONTROL = Qt.KeyboardModifier.ControlModifier


def at(cockpit, x, y):
    """A place in the viewer, from fractions of the field of view."""
    return 200.0 * y, 200.0 * x


def told(cockpit):
    """All that the window said could not be done."""
    texts = []
    cockpit.session.failed.connect(lambda what, why: texts.append(f"{what}: {why}"))
    return texts


def draw_area(cockpit, qtbot, low, high):
    panel = cockpit.experiment.image_here
    show_section(cockpit.experiment, "Finer image", panel.image, qtbot)
    qtbot.mouseClick(panel.draw, LEFT)
    middle = tuple(np.mean([low, high], axis=0))
    places = [at(cockpit, *p) for p in (low, middle, high)]
    paint_stroke(cockpit.viewer, places)
    until(qtbot, panel.image.isEnabled)
    return panel


def image_here(cockpit, qtbot, low=(0.25, 0.25), high=(0.75, 0.75)):
    old = cockpit.session.record_path
    panel = draw_area(cockpit, qtbot, low, high)
    qtbot.mouseClick(panel.image, LEFT)
    session = cockpit.session
    until(
        qtbot,
        lambda: session.record_path != old and session.state is RunPhase.PAUSED,
    )
    return old


def roles(cockpit, role):
    return [layer for layer in cockpit.viewer.layers if role_of(layer) is role]


def test_the_run_goes_on_in_a_finer_image_with_what_was_measured_there(paused, qtbot):
    session = paused.session
    before = session.live.measurements
    survey = session.survey
    paused.experiment.reason.setText("a closer look")
    old = image_here(paused, qtbot)
    area = session.survey.area
    for found, wanted in zip(
        (area.left, area.top, area.right, area.bottom),
        (0.25, 0.25, 0.75, 0.75),
        strict=True,
    ):
        assert found == pytest.approx(wanted, abs=0.02)
    inside = [m for m in before if m.proposal.position in area]
    until(qtbot, lambda: len(session.live.measurements) == len(inside))
    assert [(m.x_nm, m.y_nm) for m in session.live.measurements] == [
        (m.x_nm, m.y_nm) for m in inside
    ]
    # The old record has come to its end, and has all that was measured.
    stored = open_run(old)
    assert stored.finish_reason is not None
    assert len(stored.measurements) == len(before)
    (entry,) = entries(paused, "finer")
    assert (entry["of"], entry["after"]) == (str(old), len(before))
    assert (entry["who"], entry["why"]) == ("human", "a closer look")
    # The finer image lies at its place on the old one.
    (shown,), (overview,) = (
        [x for x in roles(paused, role) if x.visible]
        for role in (Role.SURVEY, Role.OVERVIEW)
    )
    np.testing.assert_array_equal(overview.data, survey.data[0])
    np.testing.assert_array_equal(shown.data, session.survey.data[0])
    frame = session.layers.frame
    np.testing.assert_allclose(shown.translate, frame.origin_nm)
    low, high = shown.extent.world
    np.testing.assert_allclose(low - np.array(frame.pixel_nm) / 2, (50, 50), atol=4)
    np.testing.assert_allclose(high + np.array(frame.pixel_nm) / 2, (150, 150), atol=4)
    assert paused.viewer.layers.index(overview) < paused.viewer.layers.index(shown)
    assert max(frame.pixel_nm) < 0.6 * max(np.array((200, 200)) / survey.shape)
    # And the run goes on in it.
    step(paused, qtbot, 12 - len(inside) + 2)
    new = session.live.measurements[len(inside) :]
    assert all(m.proposal.position in area for m in new)
    assert new[-1].proposal.chosen_by is ChosenBy.AGENT
    layer = session.layers.measured_layer
    until(qtbot, lambda: len(layer.data) == len(session.live.measurements))
    last = layer.data_to_world(layer.data[-1])
    np.testing.assert_allclose(last, (new[-1].y_nm, new[-1].x_nm))
    dose = session.layers.map_layer(Role.DOSE)
    np.testing.assert_allclose(dose.translate, frame.origin_nm)
    assert np.count_nonzero(dose.data) == len(session.live.measurements)
    paused.monitor.tabs.setCurrentWidget(paused.monitor.story)
    text = "you had a finer image taken of the part"
    story = paused.monitor.story.text
    until(qtbot, lambda: text in story.toPlainText())


def field_in_canvas(viewer) -> float:
    """How much of the canvas the field that is shown fills, along its longer side."""
    frame = session_of(viewer).layers.frame
    shown = np.array(frame.shape) * frame.pixel_nm * viewer.scene.camera.zoom
    return float(max(shown / np.array(viewer.canvas.size)))


def centre_of_view(viewer):
    return np.array(viewer.scene.camera.center)[-2:]


def test_the_rectangle_is_above_everything_and_the_view_goes_to_the_new_field(
    paused, qtbot
):
    viewer = paused.viewer
    nm = {"units": ("nm", "nm"), "axis_labels": ("y", "x")}
    mine = viewer.add_points(np.array([[100.0, 100.0]]), name="mine", **nm)
    panel = draw_area(paused, qtbot, (0.5, 0.25), (0.75, 0.5))
    area = panel.layer.layer
    assert viewer.layers[-1] is area and area.visible
    with_area = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    area.visible = False
    without = viewer.screenshot(canvas_only=True, flash=False).astype(int)
    area.visible = True
    assert (np.abs(with_area - without).max(axis=-1) > 60).sum() > 1000
    qtbot.mouseClick(panel.image, LEFT)
    until(qtbot, lambda: paused.session.survey.area != WHOLE_FIELD)
    np.testing.assert_allclose(centre_of_view(viewer), (75, 125), atol=4)
    assert 0.85 < field_in_canvas(viewer) < 1
    step(paused, qtbot, 2)
    until(qtbot, lambda: paused.session.layers.measured_layer is not None)
    assert list(viewer.layers)[-2:] == [mine, area]
    show_section(paused.experiment, "Finer image", panel.wider, qtbot)
    qtbot.mouseClick(panel.wider, LEFT)
    until(qtbot, lambda: paused.session.survey.area == WHOLE_FIELD)
    np.testing.assert_allclose(centre_of_view(viewer), (100, 100), atol=4)
    assert 0.85 < field_in_canvas(viewer) < 1
    area.name = "my area"
    area.visible = False
    viewer.layers.move(viewer.layers.index(area), 0)
    qtbot.mouseClick(panel.draw, LEFT)
    assert viewer.layers[-1] is area and area.visible


def test_the_maps_the_slider_and_the_feature_space_follow_the_finer_image(
    paused, qtbot
):
    session, monitor = paused.session, paused.monitor
    image_here(paused, qtbot)
    monitor.tabs.setCurrentWidget(monitor.feature_space)
    taken = len(session.live.measurements)
    step(paused, qtbot, 14 - taken)
    frame = session.layers.frame
    until(qtbot, lambda: session.layers.map_layer(Role.MEAN) is not None)
    mean = session.layers.map_layer(Role.MEAN)
    assert mean.data.shape == frame.shape
    np.testing.assert_allclose(mean.translate, frame.origin_nm)
    until(qtbot, lambda: session.live.picture is not None)
    assert len(session.live.picture) == frame.shape[0] * frame.shape[1]
    session.live.show_step(12)
    assert len(session.layers.measured_layer.data) == 12
    session.live.show_step(None)
    assert len(session.layers.measured_layer.data) == 14


def test_pointing_outside_the_finer_image_is_refused_in_words(paused, qtbot):
    image_here(paused, qtbot)
    # The view is that of the finer image.
    paused.viewer.reset_view()
    texts = told(paused)
    click(paused.viewer, at(paused, 0.1, 0.9), CONTROL)
    until(qtbot, lambda: bool(texts))
    assert "outside the survey image" in texts[0]
    assert paused.session.runner.queue.pixels == ()
    click(paused.viewer, at(paused, 0.5, 0.6), CONTROL)
    until(qtbot, lambda: len(paused.session.runner.queue.pixels) == 1)
    done = len(paused.session.live.measurements)
    step(paused, qtbot)
    measured = paused.session.live.measurements[done]
    assert (measured.x_nm, measured.y_nm) == pytest.approx((100, 120), abs=1.5)


def test_back_to_the_wider_image_goes_on_with_the_record_before(paused, qtbot):
    session, panel = paused.session, paused.experiment.image_here
    before = session.live.measurements
    assert not panel.wider.isVisible()
    old = image_here(paused, qtbot)
    finer = session.record_path
    step(paused, qtbot)
    show_section(paused.experiment, "Finer image", panel.wider, qtbot)
    qtbot.mouseClick(panel.wider, LEFT)
    until(
        qtbot,
        lambda: session.record_path == old and session.state is RunPhase.PAUSED,
    )
    until(qtbot, lambda: len(session.live.measurements) == len(before))
    assert session.survey.area == WHOLE_FIELD
    assert roles(paused, Role.OVERVIEW) == []
    assert not panel.wider.isVisible()
    step(paused, qtbot, 2)
    assert len(open_run(finer).measurements) >= 1
    assert [m.step for m in session.live.measurements] == list(range(len(before) + 2))
    layer = session.layers.measured_layer
    until(qtbot, lambda: len(layer.data) == len(before) + 2)
    assert open_run(finer).finish_reason is not None


def test_where_regions_close_a_part_the_run_goes_on_and_it_is_told(paused, qtbot):
    session = paused.session
    qtbot.mouseClick(paused.experiment.regions.paint_forbidden, LEFT)
    paint_stroke(paused.viewer, [at(paused, 0.5, 0.5), at(paused, 0.6, 0.5)])
    until(qtbot, lambda: session.watcher.regions.restricts)
    old, texts = session.record_path, told(paused)
    panel = draw_area(paused, qtbot, (0.3, 0.3), (0.7, 0.7))
    qtbot.mouseClick(panel.image, LEFT)
    until(qtbot, lambda: bool(texts))
    assert "switch those regions off" in texts[0]
    assert session.is_running
    assert session.record_path == old
    step(paused, qtbot)


def test_nothing_drawn_and_an_area_that_is_not_finer_are_told(paused, qtbot):
    session, panel, texts = (
        paused.session,
        paused.experiment.image_here,
        told(paused),
    )
    show_section(paused.experiment, "Finer image", panel.image, qtbot)
    qtbot.mouseClick(panel.draw, LEFT)
    until(qtbot, panel.image.isEnabled)
    qtbot.mouseClick(panel.image, LEFT)
    assert texts[-1] == "No image here: nothing is drawn in the layer 'Area to image'"
    session.successors.image_here(WHOLE_FIELD)
    assert "no finer than the one that is shown" in texts[-1]
    assert session.is_running


def test_without_a_run_the_next_one_begins_in_the_finer_image(connected, qtbot):
    session = connected.session
    connected.show_experiment()
    panel = draw_area(connected, qtbot, (0.0, 0.5), (0.5, 1.0))
    qtbot.mouseClick(panel.image, LEFT)
    until(qtbot, lambda: session.survey.area != WHOLE_FIELD)
    area = session.survey.area
    assert Area(0.0, 0.45, 0.55, 1.0).covers(area)
    qtbot.mouseClick(connected.experiment.controls.step, LEFT)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    step(connected, qtbot, 2)
    assert open_run(session.record_path).survey.area == area
    assert all(m.proposal.position in area for m in session.live.measurements)
    session.abort()
    until(qtbot, lambda: not session.is_running)
    session.connection.acquire_survey()
    until(qtbot, lambda: session.survey.area == WHOLE_FIELD)
    assert roles(connected, Role.OVERVIEW) == []


def test_why_one_goes_back_to_the_wider_image_is_kept(paused, qtbot):
    session, panel = paused.session, paused.experiment.image_here
    old = image_here(paused, qtbot)
    finer = session.record_path
    show_section(paused.experiment, "Finer image", panel.wider, qtbot)
    paused.experiment.reason.setText("nothing new here")
    qtbot.mouseClick(panel.wider, LEFT)
    until(
        qtbot,
        lambda: session.record_path == old and session.state is RunPhase.PAUSED,
    )
    assert paused.experiment.reason.text() == ""
    (entry,) = entries(paused, "wider")
    assert (entry["who"], entry["why"]) == ("human", "nothing new here")
    assert entry["of"] == str(finer)
    paused.monitor.tabs.setCurrentWidget(paused.monitor.story)
    told = f"the finer image of {finer}, because: nothing new here."
    story = paused.monitor.story.text
    until(qtbot, lambda: told in story.toPlainText())


def test_the_wider_image_is_that_of_the_run_that_is_shown(paused, qtbot):
    session, panel = paused.session, paused.experiment.image_here
    old = image_here(paused, qtbot)
    assert panel.wider.isVisibleTo(panel)
    qtbot.mouseClick(paused.microscope.connect_button, LEFT)
    until(qtbot, lambda: not session.connection.is_open)
    assert not panel.wider.isEnabled()
    assert "Connect the microscope of this run first" in panel.wider.toolTip()
    session.open_record(old)
    until(qtbot, lambda: session.record_path == old)
    assert not panel.wider.isVisibleTo(panel)
