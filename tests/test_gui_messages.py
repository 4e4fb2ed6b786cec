"""Messages tell of what holds now, and the docks of the connected microscope's run."""

from __future__ import annotations

import threading

import pytest

from fakes import FakeInstrument, FakeSettings
from mouse import LEFT
from napari_hae.agent.acquisition import LogExpectedImprovement, RandomChoice
from napari_hae.agent.policy import LOADING, Policy
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import (
    Budget,
    LoopSettings,
    MeasurementSettings,
)
from napari_hae.experiment.votes import Vote
from napari_hae.gui import connection
from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.gate import GuardedInstrument
from steered import TIMEOUT_MS, entries, until

pytestmark = pytest.mark.gui
STEPS = 6


@pytest.fixture
def lab(cockpit, qtbot, monkeypatch):
    """The cockpit with a fake microscope that measures at once."""
    cockpit.bare = []

    def guarded(name, settings):
        cockpit.bare.append(FakeInstrument(settings))
        return GuardedInstrument(cockpit.bare[-1])

    monkeypatch.setattr(connection, "guarded", guarded)
    connect(cockpit, qtbot, "fake")
    return cockpit


def connect(cockpit, qtbot, name, settings=None):
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        cockpit.session.connection.open(name, settings or FakeSettings())


def disconnect(cockpit, qtbot):
    with qtbot.waitSignal(cockpit.session.connection.changed, timeout=TIMEOUT_MS):
        cockpit.session.connection.close()


def begin(cockpit, qtbot, **sections):
    session = cockpit.session
    wanted = {
        "budget": Budget(steps=STEPS),
        "acquisition": RandomChoice(),
        "initial": InitialDesign(points=2),
    }
    session.configure(**{**wanted, **sections})
    cockpit.show_experiment()
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        qtbot.mouseClick(cockpit.experiment.controls.start, LEFT)


def finish(cockpit, qtbot):
    until(qtbot, lambda: not cockpit.session.is_running)


def test_a_vote_while_a_proposal_waits_is_no_failure(lab, qtbot):
    session, said = lab.session, []
    session.said.connect(said.append)
    begin(lab, qtbot, loop=LoopSettings(approve=True, lookahead=0))
    until(qtbot, lambda: session.state is RunPhase.WAITING)
    waits = session.runner.latest_proposal
    session.vote(0, Vote.GOOD)
    until(
        qtbot,
        lambda: (
            session.state is RunPhase.WAITING
            and session.runner.latest_proposal is not waits
        ),
    )
    session.veto()
    until(qtbot, lambda: len(entries(lab, "refusal")) == 2)
    until(qtbot, lambda: session.state is RunPhase.WAITING)
    assert [text for text in said if "Not measured" in text] == []
    assert lab.experiment.controls.message.text() == ""
    assert lab.experiment.controls.problem.text() == ""
    session.abort()
    finish(lab, qtbot)


def test_a_failure_is_told_until_it_is_done(lab, qtbot):
    session, problem = lab.session, lab.experiment.controls.problem
    begin(lab, qtbot, budget=Budget(steps=60))
    session.pause()
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    refused = session.configure(measurement=MeasurementSettings(exposure_s=1e6))
    assert refused and problem.text() == f"This cannot be used here: {refused}"
    session.failed.emit("Not measured", "the place lies outside")
    assert problem.text() == "Not measured: the place lies outside"
    session.mended.emit("Not measured")
    # What failed before and still does is seen again.
    assert problem.text() == f"This cannot be used here: {refused}"
    assert session.configure(measurement=MeasurementSettings(exposure_s=0.2)) == ""
    assert problem.text() == ""
    session.abort()
    finish(lab, qtbot)


def test_what_cannot_be_measured_is_told_before_there_is_a_record(lab, qtbot):
    session, controls = lab.session, lab.experiment.controls
    too_long = MeasurementSettings(exposure_s=1e6)
    session.configure(measurement=too_long)
    lab.show_experiment()
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS):
        qtbot.mouseClick(controls.start, LEFT)
    assert "an exposure of 1e+06 s" in controls.problem.text()
    until(qtbot, controls.start.isEnabled)
    assert list(session.record_folder.iterdir()) == []
    assert lab.bare[-1].beam.exposed == []
    begin(lab, qtbot, measurement=MeasurementSettings(exposure_s=0.2))
    assert controls.problem.text() == ""
    finish(lab, qtbot)
    assert session.ending.reason == "completed"


def test_a_microscope_that_could_not_be_connected_is_told_until_one_is(
    cockpit, qtbot, monkeypatch
):
    session, problem = cockpit.session, cockpit.microscope.problem

    def no(name, settings):
        raise InstrumentError("it is switched off")

    monkeypatch.setattr(connection, "guarded", no)
    with qtbot.waitSignal(session.failed, timeout=TIMEOUT_MS):
        session.connection.open("fake", FakeSettings())
    assert problem.text() == "Connecting to fake failed: it is switched off"
    monkeypatch.setattr(
        connection,
        "guarded",
        lambda _, settings: GuardedInstrument(FakeInstrument(settings)),
    )
    connect(cockpit, qtbot, "other")
    assert problem.text() == ""
    assert cockpit.experiment.controls.problem.text() == ""


def test_a_sentence_goes_with_the_signal_that_ends_it(cockpit, qtbot):
    session, message = cockpit.session, cockpit.experiment.controls.message
    changed = session.connection.changed
    session.say("No survey image was taken.", until=changed)
    assert message.text() == "No survey image was taken."
    changed.emit()
    assert message.text() == ""
    session.say("Something else.", until=session.started)
    changed.emit()
    assert message.text() == "Something else."


def test_after_a_run_its_bar_stays_as_it_was_whatever_is_set_for_the_next(lab, qtbot):
    session, controls = lab.session, lab.experiment.controls
    begin(lab, qtbot)
    finish(lab, qtbot)
    bar = controls.progress
    assert (bar.value(), bar.maximum()) == (STEPS, STEPS)
    session.configure(budget=Budget(steps=20 * STEPS))
    assert (bar.value(), bar.maximum()) == (STEPS, STEPS)
    begin(lab, qtbot, budget=Budget(steps=2 * STEPS))
    finish(lab, qtbot)
    assert (bar.value(), bar.maximum()) == (2 * STEPS, 2 * STEPS)


def shown(cockpit):
    """What the docks tell of a run."""
    controls, monitor = cockpit.experiment.controls, cockpit.monitor
    layers = cockpit.session.layers
    return {
        "record": controls.record.isVisible(),
        "message": controls.message.text(),
        "bar": controls.progress.value(),
        "points": layers.measured_layer is not None,
        "spectrum": not monitor.spectra.plot.is_empty,
        "journal": bool(monitor.story.text.toPlainText()),
        "rewind": monitor.rewind.label.text(),
        "back": cockpit.experiment.back.isEnabled(),
        "queue": cockpit.experiment.queue.list.count(),
    }


NOTHING = {
    "record": False,
    "message": "",
    "bar": 0,
    "points": False,
    "spectrum": False,
    "journal": False,
    "rewind": "",
    "back": False,
    "queue": 0,
}


def test_the_run_of_another_microscope_is_not_shown_as_that_of_this_one(lab, qtbot):
    session, story = lab.session, lab.monitor.story
    lab.monitor.tabs.setCurrentWidget(story)
    begin(lab, qtbot)
    finish(lab, qtbot)
    until(qtbot, lambda: story.text.toPlainText())
    before = shown(lab)
    assert before["record"] and before["points"] and before["bar"] == STEPS
    disconnect(lab, qtbot)
    connect(lab, qtbot, "fake")
    # It is the same one: nothing is forgotten.
    assert shown(lab)["points"] and shown(lab)["bar"] == STEPS
    disconnect(lab, qtbot)
    connect(lab, qtbot, "fake", FakeSettings(shape=(16, 16)))
    assert shown(lab) == NOTHING
    assert session.record_path is None
    assert lab.experiment.controls.progress.maximum() == STEPS
    begin(lab, qtbot)
    finish(lab, qtbot)
    disconnect(lab, qtbot)
    connect(lab, qtbot, "other", FakeSettings(shape=(16, 16)))
    assert shown(lab) == NOTHING


def test_what_a_run_waits_for_stands_beside_its_state(lab, qtbot, monkeypatch):
    loads, goes_on = threading.Event(), threading.Event()
    usual = Policy._new_surrogate

    def load(policy):
        policy.doing = LOADING
        loads.set()
        assert goes_on.wait(60)
        return usual(policy)

    monkeypatch.setattr(Policy, "_new_surrogate", load)
    state = lab.experiment.controls.state
    begin(lab, qtbot, acquisition=LogExpectedImprovement())
    until(qtbot, lambda: state.text().endswith(f"of {STEPS}   {LOADING} …"))
    goes_on.set()
    finish(lab, qtbot)
    assert LOADING not in state.text()
