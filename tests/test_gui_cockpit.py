from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from measured_files import COUNTS, cube_signal, save_cube, save_several
from mouse import LEFT, drag_in_plot, paint_stroke
from napari_hae.agent.scalarizers import BandIntegral
from napari_hae.experiment.ending import AbortedBy
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.settings import Budget, MeasurementSettings
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layers import Role, find_layer
from napari_hae.instruments.base import ForbiddenPosition
from napari_hae.instruments.replay import ReplaySettings
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.regions.regions import RegionKind, Regions
from napari_hae.types import BeamState, ProbePosition
from steered import TIMEOUT_MS, entries, start, stop, until

pytestmark = pytest.mark.gui

ENDLESS = 1000
"""Steps of a run that must not end by itself while the window is used."""


def measured(cockpit):
    return cockpit.session.live.measurements


def pause(cockpit, qtbot) -> None:
    qtbot.mouseClick(cockpit.experiment.controls.pause, LEFT)
    until(qtbot, lambda: cockpit.session.state is RunPhase.PAUSED)


def test_empty_docks_say_what_to_do_next(cockpit):
    assert "No microscope connected" in cockpit.microscope.state.text()
    assert "Connect a microscope first" in cockpit.experiment.controls.state.text()
    assert not cockpit.experiment.controls.start.isEnabled()
    assert cockpit.experiment.controls.abort.isEnabled()
    assert not cockpit.experiment.regions.paint_forbidden.isEnabled()
    assert cockpit.monitor.spectra.plot.is_empty


def test_the_plots_take_the_height_of_their_dock(cockpit):
    dock = cockpit.monitor
    taken = dock.why.height() + dock.spectra.judging.height()
    assert dock.spectra.plot.height() > dock.height() - taken - 50


def test_connect_shows_the_survey_image_calibrated(connected, qtbot):
    layers = connected.session.layers.survey_layers
    assert [layer.name for layer in layers] == ["Survey HAADF", "Survey BF"]
    survey = connected.session.survey
    assert layers[0].scale == pytest.approx(connected.session.layers.frame.pixel_nm)
    assert [str(unit) for unit in layers[0].units] == ["nanometer", "nanometer"]
    assert np.array_equal(layers[0].data, survey.data[0])
    until(qtbot, lambda: "Beam blanked" in connected.microscope.beam.text())
    assert connected.microscope.connect_button.text() == "Disconnect"


def test_settings_that_another_microscope_cannot_have_are_put_back(
    connected, qtbot, tmp_path
):
    session, said = connected.session, []
    session.said.connect(said.append)
    session.configure(scalarizer=BandIntegral(low_ev=700, high_ev=720))
    replay = ReplaySettings(file=save_cube(tmp_path / "cube.hspy"))
    change_microscope(connected, qtbot, "replay", replay)
    assert session.settings.scalarizer.is_automatic
    assert "left the band to the program" in said[-1]
    session.configure(measurement=MeasurementSettings(exposure_s=1000))
    change_microscope(connected, qtbot, "simulated", SimulatedSettings(shape=(32, 32)))
    assert session.settings.measurement.exposure_s < 1000
    assert '"Exposure (s)" from 1000 to' in said[-1]
    assert "cannot have were put back" in said[-1]


def test_a_failed_connection_is_told_in_one_sentence(cockpit, qtbot):
    choice = cockpit.microscope.instrument.choice
    choice.setCurrentIndex(choice.findData("replay"))
    with qtbot.waitSignal(cockpit.session.failed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, LEFT)
    assert "choose a file" in cockpit.microscope.problem.text()
    assert cockpit.microscope.connect_button.isEnabled()


def test_a_file_is_chosen_and_replayed(cockpit, qtbot, tmp_path):
    choice = cockpit.microscope.instrument
    choice.choice.setCurrentIndex(choice.choice.findData("replay"))
    choice.form.controls["file"].value = save_cube(tmp_path / "cube.hspy")
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, LEFT)
    until(qtbot, lambda: "dose unknown" in cockpit.microscope.beam.text())
    start(cockpit, qtbot, steps=12)
    until(qtbot, lambda: not cockpit.session.is_running)
    run = open_run(cockpit.session.record_path)
    assert len(run.measurements) == 12
    for m in run.measurements:
        counts = COUNTS[m.proposal.row, m.proposal.column]
        assert np.array_equal(m.spectrum.counts, counts)


def test_the_window_offers_the_spectrum_images_of_a_file(cockpit, qtbot, tmp_path):
    choice = cockpit.microscope.instrument
    choice.choice.setCurrentIndex(choice.choice.findData("replay"))
    offered = choice.form.controls["spectrum_image"]
    assert not offered.visible
    several = cube_signal("EELS"), cube_signal("EDS", counts=COUNTS + 1)
    path = save_several(tmp_path / "both.hspy", *several)
    choice.form.controls["file"].value = path
    until(qtbot, lambda: offered.choices == ("", "1", "2"))
    assert offered.native.itemText(0) == "the first that can be used"
    assert offered.native.itemText(2).startswith("2: EDS (5 × 7, 16 channels, ")
    offered.value = "2"
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, LEFT)
    assert cockpit.session.connection.settings.spectrum_image == "2"
    assert cockpit.viewer.layers[0].name == "Survey blank"


def test_a_file_that_cannot_be_read_is_told_when_it_is_chosen(cockpit, qtbot, tmp_path):
    choice = cockpit.microscope.instrument
    choice.choice.setCurrentIndex(choice.choice.findData("replay"))
    (tmp_path / "garbage.hspy").write_bytes(b"garbage")
    choice.form.controls["file"].value = tmp_path / "garbage.hspy"
    problem = cockpit.microscope.problem
    until(qtbot, lambda: "garbage.hspy cannot be read" in problem.text())
    assert cockpit.microscope.connect_button.isEnabled()


def test_the_band_of_one_microscope_is_not_carried_to_another(
    connected, qtbot, tmp_path
):
    session = connected.session
    start(connected, qtbot, steps=12)
    until(qtbot, lambda: not session.is_running)
    assert session.settings.scalarizer.band_ev == (0.3, 0.4)
    replay = ReplaySettings(file=save_cube(tmp_path / "cube.hspy"))
    change_microscope(connected, qtbot, "replay", replay)
    assert session.settings.scalarizer.is_automatic
    mine = session.settings.scalarizer.with_band(20, 60)
    session.configure(scalarizer=mine)
    change_microscope(connected, qtbot, "replay", replay)
    assert session.settings.scalarizer == mine


def change_microscope(cockpit, qtbot, name, settings) -> None:
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.microscope.connect_button, LEFT)
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        cockpit.session.connection.open(name, settings)


def test_a_run_fills_layers_and_plots_and_leaves_its_record(connected, qtbot):
    start(connected, qtbot, steps=14)
    with qtbot.waitSignal(connected.session.finished, timeout=TIMEOUT_MS) as finished:
        pass
    assert finished.args[0] is FinishReason.COMPLETED
    layers = connected.session.layers
    features = layers.measured_layer.features
    assert list(features["step"]) == list(range(14))
    assert {"target", "mean", "std", "exposure_s", "chosen_by"} <= set(features)
    for role in (Role.MEAN, Role.STD, Role.ACQUISITION):
        assert np.isfinite(layers.map_layer(role).data).any()
    scales = {tuple(layer.scale) for layer in connected.viewer.layers}
    assert len(scales) == 1
    # What is drawn may come a little after what is known.
    until(qtbot, lambda: not connected.monitor.spectra.plot.is_empty)
    until(qtbot, lambda: not connected.monitor.learning.curve.is_empty)
    stored = open_run(connected.session.record_path)
    assert len(stored.measurements) == 14
    assert str(stored.path) in connected.experiment.controls.record.text()


def test_a_forbidden_zone_painted_over_the_next_place_is_obeyed_at_once(
    connected, qtbot
):
    """The main job: mouse events paint while the run goes; 40 steps, no violation."""
    session, viewer = connected.session, connected.viewer
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 12)
    qtbot.mouseClick(connected.experiment.regions.paint_forbidden, LEFT)
    layer = viewer.layers.selection.active
    assert layer.mode == "paint"
    going = session.runner.latest_proposal.position
    y_nm, x_nm = session.layers.frame.nm(going)
    width_nm = session.layers.frame.fov_nm[1]
    ends = [(y_nm, max(x_nm - 20, 2)), (y_nm, min(x_nm + 20, width_nm - 2))]
    paint_stroke(viewer, ends)
    regions = session.watcher.regions
    assert regions.allows(y_nm, x_nm) is not None
    known = len(measured(connected))
    until(qtbot, lambda: len(measured(connected)) >= known + 40)
    later = measured(connected)[known:]
    assert [m for m in later if regions.allows(m.y_nm, m.x_nm)] == []
    stop(connected, qtbot)
    assert open_run(session.record_path).regions.forbidden[0].name == layer.name


def test_nothing_is_measured_outside_a_painted_region_of_interest(connected, qtbot):
    session, viewer = connected.session, connected.viewer
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 5)
    qtbot.mouseClick(connected.experiment.regions.paint_interest, LEFT)
    height_nm, width_nm = session.layers.frame.fov_nm
    middle = height_nm / 2
    paint_stroke(viewer, [(middle, 0.2 * width_nm), (middle, 0.8 * width_nm)])
    regions = session.watcher.regions
    assert regions.restricts
    known = len(measured(connected))
    until(qtbot, lambda: len(measured(connected)) >= known + 25)
    later = measured(connected)[known:]
    assert [m for m in later if regions.allows(m.y_nm, m.x_nm)] == []
    stop(connected, qtbot)


def test_a_labels_layer_of_another_plugin_can_be_ticked_as_a_region(connected, qtbot):
    height_nm, width_nm = connected.session.layers.frame.fov_nm
    foreign = np.zeros((10, 10), np.uint8)
    foreign[:, :5] = 3
    scale = (height_nm / 10, width_nm / 10)
    origin = (scale[0] / 2, scale[1] / 2)
    layer = connected.viewer.add_labels(
        foreign, scale=scale, translate=origin, units=("nm", "nm"), name="cells"
    )
    row = connected.experiment.regions.rows[layer]
    assert row.switch.text() == "cells"
    row.kind.setFocus()
    qtbot.keyClicks(row.kind, "Forbidden")
    qtbot.mouseClick(row.switch, LEFT, pos=row.switch.rect().center() / 4)
    regions = connected.session.watcher.regions
    assert regions.allows(height_nm / 2, 0.2 * width_nm) is not None
    assert regions.allows(height_nm / 2, 0.8 * width_nm) is None
    layer.name = "renamed"
    assert row.switch.text() == "renamed"
    assert connected.session.watcher.layers[layer] is RegionKind.FORBIDDEN
    connected.viewer.layers.remove(layer)
    assert not connected.session.watcher.regions.restricts


def test_the_survey_image_cannot_be_retaken_over_a_forbidden_zone(connected, qtbot):
    qtbot.mouseClick(connected.experiment.regions.paint_forbidden, LEFT)
    layer = find_layer(connected.viewer, Role.FORBIDDEN, "labels")
    layer.data_setitem((np.array([0, 1]), np.array([0, 1])), 1)
    assert connected.session.watcher.regions.restricts
    with qtbot.waitSignal(connected.session.failed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(connected.microscope.survey_button, LEFT)
    assert "switch those regions off" in connected.microscope.problem.text()


def test_dragging_the_band_changes_all_targets(connected, qtbot):
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 4)
    pause(connected, qtbot)
    connected.session.live.refresh()
    before = [m.target for m in measured(connected)]
    plot = connected.monitor.spectra.plot
    until(qtbot, plot.band.isVisible)
    newest = f"Step {len(before)},"
    until(qtbot, lambda: title_of(connected).startswith(newest))
    until(qtbot, lambda: is_settled(plot))
    drag_band(plot, by_ev=0.05)
    until(
        qtbot, lambda: [m.target for m in measured(connected)][: len(before)] != before
    )
    scalarizer = connected.session.settings.scalarizer
    assert scalarizer.low_ev == pytest.approx(0.35, abs=0.02)
    for measurement in measured(connected):
        assert measurement.target == pytest.approx(scalarizer(measurement.spectrum))
    form = connected.experiment.forms["scalarizer"].form
    assert float(form.controls["low_ev"].value) == scalarizer.low_ev
    stop(connected, qtbot)


def title_of(cockpit) -> str:
    """What is written above the spectrum."""
    return cockpit.monitor.spectra.plot.title.text()


def is_settled(plot) -> bool:
    """Whether the plot shows the same after it is drawn: its range follows late."""
    view = plot.plot.getViewBox()
    before = view.viewRange()
    plot.grab()
    QApplication.processEvents()
    plot.grab()
    return view.viewRange() == before


def drag_band(plot, *, by_ev: float) -> None:
    """Drag the band with the mouse by its middle."""
    middle = sum(plot.band.getRegion()) / 2
    height = sum(plot.plot.getViewBox().viewRange()[1]) / 2
    ends = [(middle, height), (middle + by_ev, height)]
    drag_in_plot(plot.plot, ends, between=10)


def test_an_invalid_band_is_told_under_the_field_and_nothing_is_lost(connected, qtbot):
    form = connected.experiment.forms["scalarizer"].form
    form.controls["low_ev"].value = "0.3"
    form.controls["high_ev"].value = "0.2"
    assert "empty" in " ".join(form.problems.values())
    assert connected.session.settings.scalarizer.band_ev is None
    form.controls["high_ev"].value = "0.4"
    assert form.problems == {}
    assert connected.session.settings.scalarizer.band_ev == (0.3, 0.4)


def test_a_selected_point_shows_its_spectrum(connected, qtbot):
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 4)
    pause(connected, qtbot)
    connected.session.live.refresh()
    connected.session.layers.measured_layer.selected_data = {1}
    until(qtbot, lambda: title_of(connected).startswith("Step 2,"))
    stop(connected, qtbot)


def test_approve_mode_asks_with_buttons_and_a_veto_is_kept(connected, qtbot):
    session, controls = connected.session, connected.experiment.controls
    session.configure(
        loop=session.settings.loop.model_copy(update={"approve": True}),
        initial=session.settings.initial.model_copy(update={"points": 3}),
    )
    start(connected, qtbot, steps=5)
    until(qtbot, lambda: session.state is RunPhase.WAITING)
    until(qtbot, controls.veto.isVisible)
    assert session.connection.instrument.status().beam is BeamState.BLANKED
    vetoed = session.runner.latest_proposal
    connected.experiment.reason.setText("a hole")
    qtbot.mouseClick(controls.veto, LEFT)
    until(
        qtbot,
        lambda: (
            session.state is RunPhase.WAITING
            and session.runner.latest_proposal is not vetoed
        ),
    )
    connected.experiment.reason.setText("looks well")
    qtbot.mouseClick(controls.alone, LEFT)
    until(qtbot, lambda: not session.is_running)
    assert open_run(session.record_path).vetoed == {(vetoed.row, vetoed.column)}
    (refusal,) = entries(connected, "refusal")
    assert (refusal["reason"], refusal["who"]) == ("vetoed", "human")
    assert refusal["why"] == "a hole"
    (alone,) = entries(connected, "alone")
    assert alone["why"] == "looks well"


def test_a_reason_goes_into_the_journal_with_what_is_painted(connected, qtbot):
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 3)
    connected.experiment.reason.setText("contamination")
    qtbot.mouseClick(connected.experiment.regions.paint_forbidden, LEFT)
    height_nm, width_nm = connected.session.layers.frame.fov_nm
    paint_stroke(
        connected.viewer,
        [(height_nm / 2, 0.2 * width_nm), (height_nm / 2, 0.8 * width_nm)],
    )
    assert connected.experiment.reason.text() == ""
    until(qtbot, lambda: any(has_zone(x) for x in entries(connected, "regions")))
    stop(connected, qtbot)
    changes = entries(connected, "regions")
    assert {change["who"] for change in changes} == {"human"}
    # The empty layer, before the stroke, has no reason.
    (place,) = (i for i, change in enumerate(changes) if change["why"])
    assert changes[place]["why"] == "contamination"
    assert [has_zone(change) for change in changes].index(True) == place


def type_in(control, text, qtbot) -> None:
    """Type a value over the one that is there, key by key; nothing after it."""
    edit = control.native.lineEdit() if hasattr(control.native, "lineEdit") else None
    edit = edit or control.native
    edit.selectAll()
    qtbot.keyClicks(edit, text)


def test_a_number_counts_when_it_is_typed_to_its_end(connected, qtbot):
    """The first digit of 200 steps is 2 steps, which the run has behind it."""
    session, forms = connected.session, connected.experiment.forms
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 4)
    steps = forms["budget"].controls["steps"]
    seconds = forms["budget"].controls["time_s"]
    type_in(steps, "200", qtbot)
    type_in(seconds, "600", qtbot)
    done = len(measured(connected))
    until(qtbot, lambda: len(measured(connected)) >= done + 3)
    assert session.settings.budget == Budget(steps=ENDLESS)
    qtbot.keyClick(steps.native.lineEdit(), Qt.Key.Key_Return)
    qtbot.keyClick(seconds.native, Qt.Key.Key_Return)
    assert session.settings.budget == Budget(steps=200, time_s=600)
    done = len(measured(connected))
    until(qtbot, lambda: len(measured(connected)) >= done + 3)
    stop(connected, qtbot)
    last = entries(connected, "settings")[-1]
    assert last["changes"]["budget"]["new"]["steps"] == 200


def test_what_is_refused_in_mid_run_is_said_below_it_and_keeps_its_reason(
    connected, qtbot
):
    session, dock = connected.session, connected.experiment
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 3)
    dock.reason.setText("to be safe")
    refused = "limits of the dose need the beam current"

    def refuse(*_, **__):
        raise ValueError(refused)

    session.runner.configure, usual = refuse, session.runner.configure
    dock.forms["moves"].controls["travel_cost"].value = "1.5"
    assert refused in dock.forms["moves"].problems[""]
    assert dock.pending.text() == ""
    assert dock.reason.text() == "to be safe"
    session.runner.configure = usual
    dock.forms["moves"].controls["travel_cost"].value = "2"
    assert dock.forms["moves"].problems == {}
    assert dock.reason.text() == ""
    stop(connected, qtbot)
    assert entries(connected, "settings")[-1]["why"] == "to be safe"


def test_what_only_begins_a_run_cannot_be_changed_in_its_midst(connected, qtbot):
    dock = connected.experiment
    start(connected, qtbot, steps=ENDLESS)
    assert not dock.forms["initial"].isEnabled()
    assert not dock.seed.native.isEnabled()
    stop(connected, qtbot)
    assert dock.forms["initial"].isEnabled()
    assert dock.seed.native.isEnabled()


def test_painted_zones_hold_when_the_microscope_is_connected_again(connected, qtbot):
    """Its survey image would be the first to go over them."""
    session, dock = connected.session, connected.microscope
    survey = session.survey
    qtbot.mouseClick(connected.experiment.regions.paint_forbidden, LEFT)
    layer = find_layer(connected.viewer, Role.FORBIDDEN, "labels")
    layer.data_setitem((np.array([0, 1]), np.array([0, 1])), 1)
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(dock.connect_button, LEFT)
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(dock.connect_button, LEFT)
    assert session.connection.is_open
    assert session.connection.instrument.dose_e == 0
    assert session.survey is survey
    assert "No survey image was taken" in connected.experiment.controls.message.text()
    with pytest.raises(ForbiddenPosition):
        session.connection.instrument.place_beam(ProbePosition(0.0, 0.0))
    start(connected, qtbot, steps=3)
    until(qtbot, lambda: not session.is_running)
    assert len(open_run(session.record_path).measurements) == 3


def test_zones_of_another_field_keep_a_microscope_from_being_scanned(connected, qtbot):
    session, dock = connected.session, connected.microscope
    qtbot.mouseClick(connected.experiment.regions.paint_forbidden, LEFT)
    layer = find_layer(connected.viewer, Role.FORBIDDEN, "labels")
    layer.data_setitem((np.array([0, 1]), np.array([0, 1])), 1)
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(dock.connect_button, LEFT)
    dock.instrument.form.controls["seed"].value = 5
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(dock.connect_button, LEFT)
    assert not session.connection.is_open
    assert "switch them off" in dock.problem.text()


def has_zone(change):
    """Whether regions in the journal forbid anything."""
    return Regions.from_json(change["regions"]).restricts


def test_abort_ends_the_run_with_the_beam_blanked(connected, qtbot):
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 3)
    with qtbot.waitSignal(connected.session.finished, timeout=TIMEOUT_MS) as finished:
        qtbot.mouseClick(connected.experiment.controls.abort, LEFT)
    assert finished.args[0] is FinishReason.ABORTED
    step = len(measured(connected)) + 1
    told = connected.experiment.controls.message.text()
    assert told == f"Aborted by you at step {step}, beam blanked (read back)."
    (end,) = entries(connected, "end")
    assert (end["aborted_by"], end["beam"]) == ("button", "blanked")
    assert connected.session.connection.instrument.status().beam is BeamState.BLANKED


def test_deleted_and_renamed_layers_are_survived(connected, qtbot):
    start(connected, qtbot, steps=ENDLESS)
    until(qtbot, lambda: len(measured(connected)) >= 4)
    layers, viewer = connected.session.layers, connected.viewer
    connected.session.live.refresh()
    layers.measured_layer.name = "mine"
    viewer.layers.remove(layers.trajectory_layer)
    known = len(measured(connected))
    until(qtbot, lambda: len(measured(connected)) >= known + 3)
    connected.session.live.refresh()
    assert layers.measured_layer.name == "mine"
    assert len(layers.measured_layer.data) >= known + 3
    assert layers.trajectory_layer is not None
    stop(connected, qtbot)


@pytest.mark.parametrize("turn", range(20))
def test_closing_the_viewer_in_mid_run_loses_nothing(
    make_napari_viewer, tmp_path, qtbot, turn
):
    from napari_hae.gui.cockpit import Cockpit
    from napari_hae.instruments.simulated_settings import SimulatedSettings

    viewer = make_napari_viewer(show=True)
    cockpit = Cockpit(viewer)
    session = cockpit.experiment.session
    session.record_folder = tmp_path
    settings = SimulatedSettings(shape=(32, 32), realtime=bool(turn % 2))
    with qtbot.waitSignal(session.connection.changed, timeout=TIMEOUT_MS):
        session.connection.open("simulated", settings)
    session.configure(budget=Budget(steps=ENDLESS))
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        session.start()
    until(qtbot, lambda: len(session.live.measurements) >= 1 + turn % 13)
    instrument, path = session.connection.instrument, session.record_path
    runner = session.runner
    viewer.close()
    until(qtbot, lambda: not instrument.status().connected)
    assert instrument.status().beam is BeamState.BLANKED
    assert runner.finish_reason is FinishReason.ABORTED
    own = [t.name for t in threading.enumerate() if t.name.startswith("napari-hae")]
    assert own == []
    stored = open_run(path)
    assert stored.finish_reason is FinishReason.ABORTED
    assert stored.ending.aborted_by is AbortedBy.CLOSED_WINDOW
    assert len(stored.measurements) >= 1 + turn % 13
    assert all(np.isfinite(m.spectrum.counts).all() for m in stored.measurements)
