"""A person changes the policy and the model of a run in a real window."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt

from by_hand import choose, enter, pick, show_section
from napari_hae.agent.acquisition import UpperConfidenceBound
from steered import add_labels, entries, proposals, step, until
from tuning import seeded_path

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


def test_exploration_follows_a_schedule_from_the_step_it_was_set(
    paused, tmp_path, qtbot
):
    session, form = paused.session, paused.experiment.forms["acquisition"]
    show_section(paused.experiment, "Policy", form.choice, qtbot)
    pick(form.choice, "Upper confidence bound", qtbot)
    controls = form.form.controls
    assert not controls["until"].native.isVisible()
    enter(controls["beta"], "9", qtbot)
    paused.experiment.reason.setText("first wide, then narrow")
    choose(controls["schedule"], "linear", qtbot)
    until(qtbot, controls["until"].native.isVisible)
    enter(controls["until"], "1", qtbot)
    enter(controls["over"], "4", qtbot)
    step(paused, qtbot, 6)
    measured = session.live.measurements[12:]
    insights = [m.proposal.insight for m in measured]
    for insight, value in zip(insights, (9, 7, 5, 3, 1, 1), strict=True):
        # Where a trap is left, no function is asked.
        assert insight.trapped or insight.parameter == value
    assert not all(insight.trapped for insight in insights)
    assert session.settings.acquisition.since == 12
    constant = UpperConfidenceBound(beta=9)
    without = seeded_path(tmp_path / "constant", 18, acquisition=constant)
    assert proposals(paused, 0)[:12] == without[:12]
    assert proposals(paused, 12) != without[12:]
    new = entries(paused, "settings")[-1]["changes"]["acquisition"]["new"]
    assert (new["schedule"], new["beta"], new["until"]) == ("linear", 9.0, 1.0)
    assert (new["over"], new["since"]) == (4, 12)
    whys = [entry["why"] for entry in entries(paused, "settings")]
    assert [why for why in whys if why] == ["first wide, then narrow"]
    monitor = paused.monitor
    monitor.tabs.setCurrentWidget(monitor.reasons)
    if not insights[-1].trapped:
        until(qtbot, lambda: "Exploration parameter 1." in monitor.reasons.text.text())
    monitor.tabs.setCurrentWidget(monitor.story)
    told = 'let "Exploration β" go from 9 to 1 over 4 steps from step 13 on'
    until(qtbot, lambda: told in monitor.story.text.toPlainText())


def test_a_change_is_not_taken_back_by_the_one_before(paused, qtbot, monkeypatch):
    session, runner = paused.session, paused.session.runner
    take, goes_on = runner._controls.take_changes, threading.Event()
    goes_on.set()

    def taking():
        assert goes_on.wait(60)
        return take()

    monkeypatch.setattr(runner._controls, "take_changes", taking)
    in_force = threading.Event()
    runner.events.settings_changed.connect(lambda *_: in_force.set())
    session.configure(acquisition=UpperConfidenceBound(beta=9))
    # The window does not hear of it before the next change is ordered.
    assert in_force.wait(60)
    goes_on.clear()
    wider = session.settings.moves.model_copy(update={"patience": 11})
    session.configure(moves=wider)
    shown = []
    session.settings_changed.connect(lambda settings: shown.append(settings.moves))
    with qtbot.waitSignal(session.settings_in_force, timeout=60_000):
        pass
    assert session.settings.moves == wider
    with qtbot.waitSignal(session.settings_in_force, timeout=60_000):
        goes_on.set()
    assert session.settings.moves == wider
    assert session.settings.acquisition.beta == 9
    assert shown in ([], [wider])


def test_a_schedule_that_cannot_be_is_told_and_hidden_with_its_fields(paused, qtbot):
    form = paused.experiment.forms["acquisition"]
    show_section(paused.experiment, "Policy", form.choice, qtbot)
    controls = form.form.controls
    choose(controls["schedule"], "geometric", qtbot)
    assert "needs values above 0" in form.form.problems[""]
    assert paused.session.settings.acquisition.schedule == "linear"
    enter(controls["until"], "many", qtbot)
    choose(controls["schedule"], "constant", qtbot)
    assert form.form.problems == {}
    assert not controls["until"].native.isVisible()


def test_objects_are_measured_in_the_order_that_was_chosen(paused, qtbot):
    session, plan = paused.session, paused.experiment.plan
    labels = np.zeros(session.layers.frame.shape, int)
    places = [(10, 10), (50, 50), (14, 12), (40, 50)]
    for number, (row, column) in enumerate(places, start=1):
        labels[row : row + number, column] = number
    layer = add_labels(paused, labels)
    plan.layer.setCurrentText("particles")
    show_section(paused.experiment, "Policy", plan, qtbot)
    plan.form.choice.setCurrentIndex(plan.form.choice.findData("objects"))
    layer.features = {"index": [1, 2, 3, 4], "contrast": [0.1, 0.4, 0.2, 0.3]}
    pick(plan.order, "area in pixels, largest first", qtbot)
    step(paused, qtbot)
    pick(plan.order, "contrast, smallest first", qtbot)
    step(paused, qtbot)
    pick(plan.order, "nearest next", qtbot)
    step(paused, qtbot, 2)
    rows = [row for row, _ in proposals(paused, 12)]
    columns = [column for _, column in proposals(paused, 12)]
    assert columns == [50, 10, 12, 50]
    assert rows[:2] == [41, 10]
    assert rows[3] == 50
    changes = [entry["changes"] for entry in entries(paused, "settings")]
    plans = [each["plan"]["new"]["order"] for each in changes if "plan" in each]
    assert plans == [
        "as listed",
        "area in pixels, largest first",
        "contrast, smallest first",
        "nearest next",
    ]
    paused.monitor.tabs.setCurrentWidget(paused.monitor.story)
    story = paused.monitor.story.text
    told = "you changed the plan to 4 objects, nearest next."
    until(qtbot, lambda: told in story.toPlainText())


def test_the_learning_rate_is_there_for_fitted_networks_and_rebuilds_them(
    paused, qtbot
):
    session, form = paused.session, paused.experiment.forms["model"]
    show_section(paused.experiment, "Model", form, qtbot)
    controls = form.controls
    rate = controls["learning_rate"]
    assert not rate.native.isVisible()
    choose(controls["network"], "classic", qtbot)
    until(qtbot, rate.native.isVisible)
    step(paused, qtbot)
    before = session.live.measurements[-1].proposal
    session.successors.go_back(12)
    until(
        qtbot,
        lambda: len(session.live.measurements) == 12 and session.runner is not None,
    )
    choose(controls["network"], "classic", qtbot)
    enter(rate, "0.3", qtbot)
    step(paused, qtbot)
    after = session.live.measurements[-1].proposal
    assert (before.known, after.known) == (12, 12)
    assert (before.mean, before.std) != (after.mean, after.std)
    change = entries(paused, "settings")[-1]["changes"]["model"]
    assert (change["old"]["learning_rate"], change["new"]["learning_rate"]) == (
        None,
        0.3,
    )
    monitor = paused.monitor
    monitor.tabs.setCurrentWidget(monitor.story)
    told = 'changed "Learning rate" from none to 0.3'
    until(qtbot, lambda: told in monitor.story.text.toPlainText())
    choose(controls["network"], "none", qtbot)
    assert not rate.native.isVisible()


def add_pixels(cockpit, name, *places):
    """A layer with one labelled pixel at each place."""
    labels = np.zeros(cockpit.session.layers.frame.shape, int)
    for number, place in enumerate(places, start=1):
        labels[place] = number
    return add_labels(cockpit, labels, name)


def plan_objects(cockpit, name, qtbot):
    """Choose the objects of a layer as the plan."""
    plan = cockpit.experiment.plan
    plan.layer.setCurrentText(name)
    show_section(cockpit.experiment, "Policy", plan, qtbot)
    plan.form.choice.setCurrentIndex(plan.form.choice.findData("objects"))
    return plan


def changes_of_plan(cockpit):
    changes = [entry["changes"] for entry in entries(cockpit, "settings")]
    return [each["plan"]["new"] for each in changes if "plan" in each]


def test_layers_that_come_and_go_change_no_plan_and_take_no_reason(paused, qtbot):
    session = paused.session
    add_pixels(paused, "particles", (50, 50), (10, 10), (14, 12), (40, 50))
    plan = plan_objects(paused, "particles", qtbot)
    pick(plan.order, "nearest next", qtbot)
    step(paused, qtbot, 2)
    before, known = session.settings.plan, changes_of_plan(paused)
    changed: list[object] = []
    plan.changed.connect(changed.append)
    paused.experiment.reason.setText("for what comes next")
    session.layers.show_runner_up((20, 20))
    other = add_pixels(paused, "other", (30, 30))
    other.name = "renamed"
    paused.viewer.layers.remove(other)
    session.layers.show_runner_up(None)
    assert changed == []
    assert session.settings.plan == before
    assert paused.experiment.reason.text() == "for what comes next"
    step(paused, qtbot)
    assert changes_of_plan(paused) == known
    assert plan.layer.layer.name == "particles"
    assert not plan.missing.isVisible()


def test_the_plan_keeps_its_places_when_its_layer_is_gone(paused, qtbot):
    session, viewer = paused.session, paused.viewer
    places = [(50, 50), (10, 10), (14, 12)]
    first = add_pixels(paused, "first", (5, 5))
    layer = add_pixels(paused, "particles", *places)
    plan = plan_objects(paused, "particles", qtbot)
    step(paused, qtbot)
    before = session.settings.plan
    assert list(before.pixels) == places
    paused.experiment.reason.setText("for what comes next")
    viewer.layers.remove(layer)
    assert plan.layer.layer is None
    until(qtbot, plan.missing.isVisible)
    told = "The layer 'particles' is gone. The plan keeps its places"
    assert plan.missing.text().startswith(told)
    add_pixels(paused, "later", (60, 60))
    assert plan.layer.layer is None
    assert plan.value == session.settings.plan == before
    assert paused.experiment.reason.text() == "for what comes next"
    step(paused, qtbot, 2)
    assert proposals(paused, 12) == places
    assert len(changes_of_plan(paused)) == 1
    # A person may choose another one, whose places then hold.
    pick(plan.layer, "first", qtbot)
    assert plan.layer.layer is first
    assert not plan.missing.isVisible()
    step(paused, qtbot)
    assert proposals(paused, 15) == [(5, 5)]
    assert changes_of_plan(paused)[-1]["pixels"] == [[5, 5]]


def test_a_plan_without_a_layer_says_so(paused, qtbot):
    plan = plan_objects(paused, "", qtbot)
    until(qtbot, plan.missing.isVisible)
    assert plan.missing.text().startswith("No layer is chosen. The plan has no places")
    qtbot.keyClick(plan.form.choice, Qt.Key.Key_Up)
    assert not plan.missing.isVisible()
