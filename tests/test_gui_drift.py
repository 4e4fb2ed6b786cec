"""The survey image is taken again in a real window, and the drift is shown."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea
from superqt import QCollapsible

from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import Budget, DriftSettings
from napari_hae.gui.layer_data import Role
from napari_hae.gui.layers import find_layer
from steered import TIMEOUT_MS, entries, until

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def drifting(cockpit, qtbot):
    """A run on a drifting sample, paused after its first step."""
    form = cockpit.microscope.instrument.form
    form.controls["drift_x_nm_per_s"].value = "10"
    form.controls["drift_y_nm_per_s"].value = "-5"
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, LEFT)
    cockpit.show_experiment()
    cockpit.session.configure(budget=Budget(steps=40))
    qtbot.mouseClick(cockpit.experiment.controls.step, LEFT)
    steps_done(cockpit, qtbot, 0)
    qtbot.mouseClick(cockpit.experiment.controls.step, LEFT)
    steps_done(cockpit, qtbot, 1)
    yield cockpit
    cockpit.session.abort()
    until(qtbot, lambda: not cockpit.session.is_running)


def steps_done(cockpit, qtbot, count):
    session = cockpit.session
    until(
        qtbot,
        lambda: (
            len(session.live.measurements) == count
            and session.state is RunPhase.PAUSED
            and cockpit.experiment.controls.step.isEnabled()
        ),
    )


def test_the_button_takes_the_image_again_and_the_line_says_how_far_it_moved(
    drifting, qtbot
):
    controls, session = drifting.experiment.controls, drifting.session
    for count in (2, 3, 4):
        qtbot.mouseClick(controls.step, LEFT)
        steps_done(drifting, qtbot, count)
    survey = session.layers.survey_layers[0]
    first = survey.data.copy()
    drifting.experiment.reason.setText("it looks blurred")
    qtbot.mouseClick(controls.survey_again, LEFT)
    until(qtbot, lambda: "Drift" in controls.drift.text())
    (entry,) = entries(drifting, "survey_again")
    assert (entry["who"], entry["why"]) == ("human", "it looks blurred")
    down, right = entry["offset_nm"]
    assert right == pytest.approx(4.0, abs=1.0)
    assert down == pytest.approx(-2.0, abs=1.0)
    assert f"x {right:+.2f}, y {down:+.2f} nm" in controls.drift.text()
    assert "px) at step 5" in controls.drift.text()
    assert controls.drift.isVisible()
    # Both lie in the coordinates of the sample, and the agent's stays as it was.

    def found():
        return find_layer(drifting.viewer, Role.SURVEY_AGAIN, "image")

    until(qtbot, lambda: found() is not None)
    again = found()
    moved = np.subtract(session.layers.survey_layers[0].translate, again.translate)
    np.testing.assert_allclose(moved, [down, right])
    np.testing.assert_array_equal(survey.data, first)
    qtbot.mouseClick(controls.step, LEFT)
    steps_done(drifting, qtbot, 5)
    plot = drifting.monitor.learning.plots["Drift"]
    measured = session.live.measurements[-1]
    assert measured.drift_nm is not None
    drifting.monitor.learning.choice.setCurrentText("Drift")
    until(qtbot, lambda: not plot.is_empty)
    np.testing.assert_allclose(plot.right.getData()[1], [measured.drift_nm[1]])


def test_the_button_can_be_pressed_only_while_a_run_goes(connected, qtbot):
    controls = connected.experiment.controls
    connected.show_experiment()
    assert not controls.survey_again.isEnabled()
    qtbot.mouseClick(controls.step, LEFT)
    steps_done(connected, qtbot, 0)
    assert controls.survey_again.isEnabled()
    qtbot.mouseClick(controls.stop, LEFT)
    until(qtbot, lambda: not connected.session.is_running)
    until(qtbot, lambda: not controls.survey_again.isEnabled())


def test_the_form_and_a_layer_say_what_is_taken_again(drifting, qtbot):
    session, dock = drifting.session, drifting.experiment
    (part,) = (s for s in dock.findChildren(QCollapsible) if s.text() == "Survey again")
    part.expand(animate=False)
    fiducial = dock.fiducial
    frame = session.layers.frame
    corner_nm, size_nm = np.array([20.0, 30.0]), np.array([110.0, 120.0])
    box = Shapes(
        [np.array([corner_nm, corner_nm + size_nm])], shape_type="rectangle", name="box"
    )
    box.units = ("nm", "nm")
    drifting.viewer.add_layer(box)
    scroll = next(x for x in dock.findChildren(QScrollArea) if x.isAncestorOf(part))
    until(qtbot, fiducial.use.isEnabled)

    def in_view():
        scroll.ensureWidgetVisible(fiducial.use)
        return fiducial.use.visibleRegion().contains(fiducial.use.rect().center())

    until(qtbot, in_view)
    qtbot.mouseClick(fiducial.use, LEFT)
    left, top, right, bottom = session.settings.drift.fiducial
    pixel = 1 / frame.shape[0]
    assert (left, top) == pytest.approx((0.15, 0.1), abs=pixel)
    assert (right, bottom) == pytest.approx((0.75, 0.65), abs=pixel)
    dock.forms["drift"].controls["every"].value = 3
    assert session.settings.drift.every == 3
    assert session.settings.drift.fiducial is not None
    qtbot.mouseClick(dock.controls.step, LEFT)
    steps_done(drifting, qtbot, 2)
    until(qtbot, lambda: len(entries(drifting, "survey_again")) > 0)
    (entry,) = entries(drifting, "survey_again")
    assert entry["is_fiducial"]
    assert "who" not in entry
    assert entry["area"][2] - entry["area"][0] == pytest.approx(0.6, abs=2 * pixel)


def test_a_layer_in_which_nothing_is_drawn_is_refused_in_words(connected, qtbot):
    fiducial = connected.experiment.fiducial
    connected.show_experiment()
    connected.viewer.add_layer(Shapes(name="nothing", ndim=2))
    until(qtbot, fiducial.use.isEnabled)
    fiducial.use.click()
    assert "Nothing is drawn" in fiducial.problem.text()
    assert connected.session.settings.drift == DriftSettings()


def test_nothing_new_begins_on_an_image_that_the_sample_has_left(drifting, qtbot):
    """Zones and places would be where the sample was."""
    controls, session = drifting.experiment.controls, drifting.session
    for count in (2, 3, 4):
        qtbot.mouseClick(controls.step, LEFT)
        steps_done(drifting, qtbot, count)
    qtbot.mouseClick(controls.survey_again, LEFT)
    until(qtbot, lambda: "Drift" in controls.drift.text())
    assert "drifted by" in session.has_moved
    qtbot.mouseClick(controls.stop, LEFT)
    until(qtbot, lambda: not session.is_running)
    path = session.record_path
    qtbot.mouseClick(controls.start, LEFT)
    assert "take a new one first" in controls.problem.text()
    assert not session.is_running
    with qtbot.waitSignal(session.survey_changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(drifting.microscope.survey_button, LEFT)
    assert session.has_moved == ""
    qtbot.mouseClick(controls.start, LEFT)
    until(qtbot, lambda: session.is_running and session.record_path != path)
