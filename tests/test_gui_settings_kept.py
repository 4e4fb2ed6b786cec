"""What a person changes while a run is being begun is neither lost nor loses else."""

from __future__ import annotations

import threading

import pytest

from by_hand import pick, show_section
from napari_hae.agent.goal import Goal
from napari_hae.experiment import runner as running
from napari_hae.experiment.record import Record
from napari_hae.experiment.settings import Budget
from steered import LEFT, entries, stop, until

pytestmark = pytest.mark.gui
BAND_EV = (0.3, 0.4)
"""What the simulated microscope suggests."""


def changed_by(cockpit, who):
    told = entries(cockpit, "settings")
    return [entry["changes"] for entry in told if entry["who"] == who]


def press_start(cockpit, qtbot):
    cockpit.show_experiment()
    qtbot.mouseClick(cockpit.experiment.controls.start, LEFT)


def test_a_goal_chosen_before_the_first_step_leaves_the_suggested_band(
    connected, qtbot, monkeypatch
):
    is_there, goes_on = threading.Event(), threading.Event()

    def make(*args, **more):
        is_there.set()
        assert goes_on.wait(60)
        return loop(*args, **more)

    loop = running.Loop
    monkeypatch.setattr(running, "Loop", make)
    session, forms = connected.session, connected.experiment.forms
    session.configure(budget=Budget(steps=40))
    press_start(connected, qtbot)
    until(qtbot, is_there.is_set)
    direction = forms["goal"].controls["direction"]
    show_section(connected.experiment, "Goal", direction.native, qtbot)
    pick(direction, "minimise", qtbot)
    goes_on.set()
    until(qtbot, lambda: len(session.live.measurements) >= 3)
    for settings in (session.settings, session.runner.settings):
        assert settings.goal == Goal(direction="minimise")
        assert settings.scalarizer.band_ev == BAND_EV
    band = forms["scalarizer"].form.controls
    assert (band["low_ev"].value, band["high_ev"].value) == ("0.3", "0.4")
    assert connected.monitor.spectra.plot.band.getRegion() == BAND_EV
    stop(connected, qtbot)
    assert [list(each) for each in changed_by(connected, "human")] == [["goal"]]


def test_what_is_changed_while_the_record_is_made_is_in_it(
    connected, qtbot, monkeypatch
):
    is_there, goes_on = threading.Event(), threading.Event()

    def create(*args, **more):
        is_there.set()
        assert goes_on.wait(60)
        return usual(*args, **more)

    usual = Record.create
    monkeypatch.setattr(Record, "create", create)
    session, dock = connected.session, connected.experiment
    session.configure(budget=Budget(steps=40))
    press_start(connected, qtbot)
    until(qtbot, is_there.is_set)
    assert not dock.seed.native.isEnabled()
    dock.reason.setText("they are dark")
    direction = dock.forms["goal"].controls["direction"]
    show_section(dock, "Goal", direction.native, qtbot)
    pick(direction, "minimise", qtbot)
    goes_on.set()
    until(qtbot, lambda: len(session.live.measurements) >= 3)
    assert session.runner.settings.goal == Goal(direction="minimise")
    stop(connected, qtbot)
    (started,) = entries(connected, "start")
    assert started["settings"]["goal"]["direction"] == "maximise"
    (change,) = [x for x in entries(connected, "settings") if x["who"] == "human"]
    assert change["changes"]["goal"]["new"]["direction"] == "minimise"
    assert change["why"] == "they are dark"
    assert dock.reason.text() == ""


def test_news_of_the_run_leave_what_is_being_typed(connected, qtbot):
    session, dock = connected.session, connected.experiment
    connected.show_experiment()
    low = dock.forms["scalarizer"].form.controls["low_ev"].native
    steps = dock.forms["budget"].controls["steps"].native
    for field, text in ((low, "0.35"), (steps, "77")):
        show_section(dock, "Goal" if field is low else "Budget", field, qtbot)
        field.setFocus()
        field.selectAll()
        qtbot.keyClicks(field, text)
        session.configure(
            scalarizer=session.settings.scalarizer.with_band(0.3, 0.5),
            budget=Budget(steps=50, time_s=600),
        )
        assert field.text() == text
        session.configure(budget=Budget(steps=40))
    high = dock.forms["scalarizer"].form.controls["high_ev"]
    assert high.value == "0.5"
