"""The run as it was after an earlier step, in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QStyle, QStyleOptionSlider

from by_hand import show_section
from mouse import LEFT
from napari_hae.agent.goal import Goal
from napari_hae.agent.scalarizers import PeakEnergy
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.journal_events import BranchEvent
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings, LoopSettings
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layers import Role
from napari_hae.instruments.catalogue import guarded
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.types import dose_electrons
from steered import TIMEOUT_MS, show, start, until

pytestmark = pytest.mark.gui
MAPS = (Role.MEAN, Role.STD, Role.ACQUISITION)


def drag_to(slider, value: int) -> None:
    """Drag the handle of a slider with the mouse to where a value lies."""
    at, to = _place(slider, slider.value()), _place(slider, value)
    QTest.mousePress(slider, LEFT, pos=at)
    for share in (0.5, 1.0):
        QTest.mouseMove(slider, at + (to - at) * share)
    QTest.mouseRelease(slider, LEFT, pos=to)
    assert abs(slider.value() - value) <= 1
    while slider.value() != value:
        less = slider.value() > value
        QTest.keyClick(slider, Qt.Key.Key_Left if less else Qt.Key.Key_Right)


def _place(slider, value: int) -> QPoint:
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    groove, handle = (
        slider.style().subControlRect(
            QStyle.ComplexControl.CC_Slider, option, part, slider
        )
        for part in (
            QStyle.SubControl.SC_SliderGroove,
            QStyle.SubControl.SC_SliderHandle,
        )
    )
    way = groove.width() - handle.width()
    share = (value - slider.minimum()) / (slider.maximum() - slider.minimum())
    x = groove.left() + handle.width() / 2 + share * way
    return QPoint(round(x), handle.center().y())


def snapshot(cockpit) -> dict:
    """What the layers hold, copied."""
    layers = cockpit.session.layers
    return {
        "points": layers.measured_layer.data.copy(),
        "targets": list(layers.measured_layer.features["target"]),
        "path": layers.trajectory_layer.data.copy(),
        "dose": layers.map_layer(Role.DOSE).data.copy(),
        "next": layers.next_layer.data.copy(),
        **{str(role): layers.map_layer(role).data.copy() for role in MAPS},
    }


def assert_same(one: dict, other: dict) -> None:
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


@pytest.fixture
def stepped(connected, qtbot):
    """A run stepped one by one, and what the layers held after each step.

    Without look-ahead all that is shown while a proposal waits is of one moment.
    """
    session = connected.session
    session.configure(loop=LoopSettings(approve=True, lookahead=0))
    seen: dict[int, dict] = {}
    proposals: dict[int, object] = {}
    start(connected, qtbot, steps=20)
    for step in range(10, 18):
        until(
            qtbot,
            lambda step=step: (
                session.live.taken == step and session.state is RunPhase.WAITING
            ),
        )
        session.live.refresh()
        seen[step] = snapshot(connected)
        proposals[step] = session.live.proposal
        qtbot.mouseClick(connected.experiment.controls.approve, LEFT)
    until(qtbot, lambda: session.live.taken == 18)
    until(qtbot, lambda: session.state is RunPhase.WAITING)
    session.live.refresh()
    seen[18] = snapshot(connected)
    connected.seen, connected.proposals = seen, proposals
    return connected


def test_without_a_run_there_is_nothing_to_rewind(connected):
    bar = connected.monitor.rewind
    assert not bar.slider.isEnabled()
    assert not bar.live.isEnabled()


def test_the_slider_shows_the_run_as_it_was_and_live_goes_back(stepped, qtbot):
    session, bar = stepped.session, stepped.monitor.rewind
    learning = show(stepped, "Learning")
    assert (bar.slider.minimum(), bar.slider.maximum()) == (1, 18)
    assert (bar.slider.value(), bar.label.text()) == (18, "Step 18")
    for step in (12, 15, 11):
        drag_to(bar.slider, step)
        assert_same(stepped.seen[step], snapshot(stepped))
        assert bar.label.text() == f"Step {step} of 18"
        proposal = stepped.proposals[step]
        assert session.live.proposal is proposal
        assert stepped.monitor.why.text() == f"Step {step + 1}: {proposal.reason}"
        title = stepped.monitor.spectra.plot.title.text()
        assert title.startswith(f"Step {step},")
    until(qtbot, lambda: len(learning.curve._measured.getData()[0]) == 11)
    qtbot.mouseClick(bar.live, LEFT)
    assert_same(stepped.seen[18], snapshot(stepped))
    assert bar.slider.value() == 18
    assert not bar.live.isEnabled()
    until(qtbot, lambda: len(learning.curve._measured.getData()[0]) == 18)


def test_pixels_and_panels_follow_the_slider(stepped, qtbot):
    session, bar = stepped.session, stepped.monitor.rewind
    why = show(stepped, "Why here")
    now = stepped.viewer.screenshot(flash=False)
    bar.slider.setFocus()
    QTest.keyClick(bar.slider, Qt.Key.Key_Home)
    assert session.live.shown_step == 1
    assert len(session.layers.measured_layer.data) == 1
    for role in MAPS:
        # No model was fitted yet.
        assert np.isnan(session.layers.map_layer(role).data).all()
    assert session.live.maps is None
    then = stepped.viewer.screenshot(flash=False)
    assert (now != then).any(axis=-1).mean() > 0.05
    until(qtbot, lambda: why.text.text().startswith("Step 2: initial design"))
    QTest.keyClick(bar.slider, Qt.Key.Key_End)
    assert session.live.shown_step is None
    np.testing.assert_array_equal(stepped.viewer.screenshot(flash=False), now)


def test_the_feature_space_is_that_of_the_step(stepped, qtbot):
    panel = show(stepped, "Feature space")
    until(qtbot, lambda: panel._picture()[0] is not None)
    drag_to(stepped.monitor.rewind.slider, 13)
    until(qtbot, lambda: len(panel.plot._path.getData()[0]) == 13)
    picture = stepped.session.live.picture
    np.testing.assert_array_equal(panel.plot.cloud.points, picture)
    columns = stepped.session.survey.shape[1]
    following = stepped.proposals[13]
    np.testing.assert_array_equal(
        np.transpose(panel.plot.next.getData())[0],
        picture[columns * following.row + following.column],
    )


def test_nobody_answers_for_a_ring_that_is_not_seen(stepped, qtbot):
    controls = stepped.experiment.controls
    drag_to(stepped.monitor.rewind.slider, 12)
    assert stepped.session.state is RunPhase.WAITING
    for button in (controls.approve, controls.veto, controls.alone):
        assert button.isVisible()
        assert not button.isEnabled()
    assert "Press Live" in controls.question.text()
    qtbot.mouseClick(stepped.monitor.rewind.live, LEFT)
    qtbot.mouseClick(controls.approve, LEFT)
    until(qtbot, lambda: stepped.session.live.taken == 19)


def test_targets_of_a_band_of_later_are_not_shown_before(stepped, qtbot):
    session = stepped.session
    learning = show(stepped, "Learning")
    scalarizer = session.settings.scalarizer
    before = snapshot(stepped)["targets"]
    session.configure(scalarizer=scalarizer.with_band(0.6, 0.9))
    until(qtbot, lambda: snapshot(stepped)["targets"] != before)
    until(qtbot, lambda: len(learning.curve._markers) == 1)
    drag_to(stepped.monitor.rewind.slider, 14)
    assert_same(stepped.seen[14], snapshot(stepped))
    marker = learning.curve._markers[0]
    until(qtbot, lambda: not marker.isVisible())
    qtbot.mouseClick(stepped.monitor.rewind.live, LEFT)
    assert snapshot(stepped)["targets"] != before
    until(qtbot, marker.isVisible)


def best_curve(cockpit):
    return cockpit.monitor.learning.curve._best.getData()[1]


def test_goal_and_unit_of_later_do_not_hold_before(stepped, qtbot):
    session, spectra = stepped.session, stepped.monitor.spectra
    learning = show(stepped, "Learning")
    qtbot.mouseClick(spectra.beside.best, LEFT)
    session.configure(
        goal=Goal(direction="minimise"), scalarizer=PeakEnergy(low_ev=0.3, high_ev=0.4)
    )
    label = learning.curve.plot.getAxis("left")
    until(qtbot, lambda: "eV" in label.labelText)
    # The unit is that of the settings, before the run has scored anything by them.
    in_band = 0.3, 0.4
    until(
        qtbot,
        lambda: all(
            in_band[0] <= m.target <= in_band[1] for m in session.live.measurements
        ),
    )
    targets = [m.target for m in session.live.measurements]
    lowest = np.fmin.accumulate(targets)
    until(qtbot, lambda: np.array_equal(best_curve(stepped), lowest))
    drag_to(stepped.monitor.rewind.slider, 14)
    then = [m.target for m in session.live.measurements]
    highest = np.fmax.accumulate(then)
    until(qtbot, lambda: np.array_equal(best_curve(stepped), highest))
    assert "counts/s" in label.labelText
    title = spectra.plot.title.text()
    best = int(np.argmax(then))
    assert best == 13 or f"best:&nbsp;step&nbsp;{best + 1}" in title
    qtbot.mouseClick(stepped.monitor.rewind.live, LEFT)
    until(qtbot, lambda: np.array_equal(best_curve(stepped), lowest))
    assert "eV" in label.labelText


def test_what_is_set_for_the_next_run_changes_no_curve_of_the_last(connected, qtbot):
    session = connected.session
    show(connected, "Learning")
    start(connected, qtbot, steps=12)
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        pass
    highest = np.fmax.accumulate([m.target for m in session.live.measurements])
    session.configure(goal=Goal(direction="minimise"))
    connected.monitor.learning.draw_now()
    np.testing.assert_array_equal(best_curve(connected), highest)


def test_a_held_view_does_not_move_while_the_run_goes_on(connected, qtbot):
    session, bar = connected.session, connected.monitor.rewind
    start(connected, qtbot, steps=1000)
    # What is new is shown in turns: the slider follows a moment later.
    until(qtbot, lambda: bar.slider.maximum() >= 15)
    drag_to(bar.slider, 8)
    held = snapshot(connected)
    title = connected.monitor.spectra.plot.title.text()
    assert len(held["points"]) == 8
    assert len(held["path"]) == 7
    taken = session.live.taken
    until(qtbot, lambda: bar.slider.maximum() >= taken + 5)
    assert_same(held, snapshot(connected))
    assert connected.monitor.spectra.plot.title.text() == title
    assert bar.slider.value() == 8
    state = connected.experiment.controls.state
    until(qtbot, lambda: f"step {session.live.taken + 1} of" in state.text())
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        qtbot.mouseClick(connected.experiment.controls.stop, LEFT)
    assert_same(held, snapshot(connected))
    qtbot.mouseClick(bar.live, LEFT)
    shown = snapshot(connected)
    assert len(shown["points"]) == session.live.taken
    steps = list(session.layers.measured_layer.features["step"])
    assert steps == list(range(session.live.taken))
    assert len(shown["next"]) == 0
    np.testing.assert_array_equal(shown[str(Role.MEAN)], session.live.maps.mean)


def test_the_maps_of_every_step_are_held_however_fast_the_run_is(connected, qtbot):
    session, bar = connected.session, connected.monitor.rewind
    start(connected, qtbot, steps=40)
    session.live.stop()
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        pass
    bar.slider.setFocus()
    for step in range(39, 11, -1):
        QTest.keyClick(bar.slider, Qt.Key.Key_Left)
        assert session.live.shown_step == step
        proposal, maps = session.live.proposal, session.live.maps
        assert maps.known == proposal.known
        layer = session.layers.map_layer(Role.MEAN)
        np.testing.assert_array_equal(layer.data, maps.mean)
        assert layer.data[proposal.row, proposal.column] == pytest.approx(
            proposal.mean, rel=1e-5
        )
        assert bar.label.text() == f"Step {step} of 40"


def test_a_stored_run_is_gone_through_step_by_step(
    cockpit, qtbot, tmp_path, monkeypatch
):
    record, half_way = stored_run(tmp_path)
    bar, session = cockpit.monitor.rewind, cockpit.session
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(record))
    qtbot.mouseClick(bar.open, LEFT)
    until(qtbot, bar.slider.isEnabled)
    stored = open_run(record)
    assert bar.label.text() == "Step 24"
    assert session.settings == stored.settings
    layers = session.layers
    assert list(layers.measured_layer.features["target"]) == [
        m.target for m in stored.measurements
    ]
    maps = {each.known: each for each in stored.maps()}
    assert len(maps) >= 3
    np.testing.assert_array_equal(
        layers.map_layer(Role.MEAN).data, stored.latest_maps().mean
    )
    drag_to(bar.slider, 16)
    held = max(
        known for known in maps if known <= stored.measurements[16].proposal.known
    )
    assert held < 15
    np.testing.assert_array_equal(layers.map_layer(Role.MEAN).data, maps[held].mean)
    assert bar.label.text() == f"Step 16 of 24, maps after {held}"
    show(cockpit, "Learning")
    highest = np.fmax.accumulate(half_way[:16])
    until(qtbot, lambda: np.array_equal(best_curve(cockpit), highest))
    # Band and goal were changed later.
    assert list(layers.measured_layer.features["target"]) == half_way[:16]
    assert half_way[:16] != [m.target for m in stored.measurements[:16]]
    assert cockpit.monitor.spectra.judging.discard.isEnabled() is False


def test_what_is_no_record_is_told_in_words(cockpit, qtbot, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    qtbot.mouseClick(cockpit.monitor.rewind.open, LEFT)
    problem = cockpit.experiment.controls.problem
    until(qtbot, lambda: "is no record" in problem.text())
    assert not cockpit.monitor.rewind.slider.isEnabled()


def test_a_record_is_opened_only_without_a_microscope(connected):
    assert not connected.monitor.rewind.open.isVisible()


def stored_run(folder):
    """A run whose band and goal were changed after step 20; its targets before that."""
    settings = ExperimentSettings(
        budget=Budget(steps=20), loop=LoopSettings(maps_every=6)
    )
    kind = SimulatedSettings()
    instrument = guarded("simulated", kind)
    instrument.connect()

    record = Record.create(
        folder / "run",
        instrument="simulated",
        instrument_settings=kind,
        settings=settings,
    )
    first = Runner(instrument, record, settings)
    first.start()
    first.wait()
    targets = [m.target for m in first.measurements]
    past = open_run(record.path)
    band = past.settings.scalarizer.with_band(0.6, 0.9)
    new = past.settings.model_copy(
        update={
            "budget": Budget(steps=24),
            "scalarizer": band,
            "goal": Goal(direction="minimise"),
        }
    )
    reopened = Record.reopen(past)
    second = Runner(instrument, reopened, new, past=past)
    second.start()
    second.wait()
    instrument.disconnect()
    return record.path, targets


def test_a_held_view_goes_when_another_run_starts(connected, qtbot):
    session, bar = connected.session, connected.monitor.rewind
    start(connected, qtbot, steps=12)
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        pass
    drag_to(bar.slider, 5)
    start(connected, qtbot, steps=12)
    assert session.live.shown_step is None
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        pass
    assert len(session.layers.measured_layer.data) == 12


def test_the_dose_map_sums_up_to_the_dose_of_the_spectra(connected, qtbot):
    session = connected.session
    start(connected, qtbot, steps=12)
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        pass
    layer = session.layers.map_layer(Role.DOSE)
    pixel_area_nm2 = np.prod(session.layers.frame.pixel_nm)
    current_pa = session.connection.settings.current_pa
    exposed_s = sum(m.spectrum.exposure_s for m in session.live.measurements)
    expected = dose_electrons(current_pa, exposed_s)
    assert layer.data.sum() * pixel_area_nm2 == pytest.approx(expected, rel=1e-5)
    names = [each.name for each in connected.viewer.layers]
    assert names.index("Dose") == names.index("Standard deviation") - 1
    assert not layer.visible
    assert tuple(layer.scale) == pytest.approx(session.layers.frame.pixel_nm)


def open_by_button(cockpit, qtbot, monkeypatch, record):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(record))
    bar = cockpit.monitor.rewind
    qtbot.mouseClick(bar.open, LEFT)
    until(qtbot, lambda: cockpit.session.record_path == record)
    until(qtbot, lambda: bar.label.text() == "Step 24")


def press_connect(cockpit, qtbot):
    button = cockpit.microscope.connect_button
    until(qtbot, button.isEnabled)
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(button, LEFT)


def test_going_back_is_in_the_record_that_is_shown(
    connected, qtbot, tmp_path, monkeypatch
):
    session, back = connected.session, connected.experiment.back
    assert not back.button.isEnabled()
    assert "no run yet" in back.button.toolTip()
    start(connected, qtbot, steps=12)
    with qtbot.waitSignal(session.finished, timeout=TIMEOUT_MS):
        pass
    of_session = session.record_path
    assert back.button.isEnabled()
    press_connect(connected, qtbot)
    assert not back.button.isEnabled()
    assert "Connect the microscope of this run first" in back.button.toolTip()
    opened, _ = stored_run(tmp_path / "earlier")
    open_by_button(connected, qtbot, monkeypatch, opened)
    assert not back.button.isEnabled()
    press_connect(connected, qtbot)
    show_section(connected.experiment, "Record", back.button, qtbot)
    assert back.button.isEnabled()
    assert (back.step.minimum(), back.step.maximum()) == (1, 24)
    back.step.setValue(5)
    connected.experiment.reason.setText("the band was better")
    qtbot.mouseClick(back.button, LEFT)
    until(
        qtbot,
        lambda: session.record_path != opened and session.state is RunPhase.PAUSED,
    )
    assert session.record_path != of_session
    assert connected.experiment.reason.text() == ""
    branched, stored = open_run(session.record_path), open_run(opened)
    (event,) = [x for x in branched.journal if isinstance(x, BranchEvent)]
    assert (event.of, event.step) == (str(opened), 5)
    assert event.why == "the band was better"
    until(qtbot, lambda: len(session.live.measurements) == 5)
    for one, other in zip(session.live.measurements, stored.measurements, strict=False):
        np.testing.assert_array_equal(one.spectrum.counts, other.spectrum.counts)
    np.testing.assert_array_equal(session.survey.data, stored.survey.data)


def test_nobody_goes_back_in_what_another_microscope_measured(
    cockpit, qtbot, tmp_path, monkeypatch
):
    session, back = cockpit.session, cockpit.experiment.back
    opened, _ = stored_run(tmp_path)
    journal = opened / "journal.jsonl"
    first, rest = journal.read_text().split("\n", 1)
    other = first.replace('"instrument": "simulated"', '"instrument": "elsewhere"')
    assert other != first
    journal.write_text(f"{other}\n{rest}")
    open_by_button(cockpit, qtbot, monkeypatch, opened)
    assert "first: elsewhere" in back.button.toolTip()
    press_connect(cockpit, qtbot)
    assert not back.button.isEnabled()
    # What another microscope measured is shown no more.
    told = "There is no run yet to go back in."
    assert back.button.toolTip() == told
    cockpit.experiment.reason.setText("to be kept")
    refused: list[str] = []
    session.failed.connect(lambda _, why: refused.append(why))
    session.successors.go_back(5)
    assert refused == [told]
    assert session.reason == "to be kept"
    assert session.record_path is None
    assert (opened / "journal.jsonl").read_text() == f"{other}\n{rest}"
