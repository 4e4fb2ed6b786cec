"""A change of the settings is of its fields alone, whatever is ordered beside it."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lab import TIMEOUT_S, Lab, column_region, experiment, run
from napari_hae.agent.acquisition import RandomChoice, UpperConfidenceBound
from napari_hae.agent.goal import Goal
from napari_hae.agent.scalarizers import BandIntegral, PeakEnergy
from napari_hae.experiment import runner as running
from napari_hae.experiment import watch
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.ordered_settings import OrderedSettings
from napari_hae.experiment.settings import Budget, LoopSettings
from napari_hae.experiment.settings_patch import SettingsPatch
from napari_hae.regions.regions import Regions

SUGGESTED = (0.3, 0.6)
"""What the fake instrument suggests."""


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def held(monkeypatch):
    """Holds a run where its loop is made: set `goes_on` when `is_there` is set."""

    class Held:
        is_there, goes_on = threading.Event(), threading.Event()

    def make(*args, **more):
        Held.is_there.set()
        assert Held.goes_on.wait(TIMEOUT_S)
        return loop(*args, **more)

    loop = running.Loop
    monkeypatch.setattr(running, "Loop", make)
    return Held


def changes(runner, who):
    """The changes that somebody made, in order, as the journal has them."""
    lines = (runner.record.path / "journal.jsonl").read_text().splitlines()
    told = [entry for entry in map(json.loads, lines) if entry["event"] == "settings"]
    return [entry["changes"] for entry in told if entry["who"] == who]


def test_a_goal_ordered_before_the_loop_is_there_leaves_the_suggested_band(lab, held):
    runner = lab.runner(experiment(scalarizer=BandIntegral()))
    wanted = []
    runner.events.settings_changed.connect(
        lambda *_: wanted.append(runner.wanted_settings)
    )
    runner.start()
    assert held.is_there.wait(TIMEOUT_S)
    runner.configure(goal={"direction": "minimise"})
    runner.configure(budget={"steps": 9})
    assert runner.settings.goal == Goal()
    assert runner.wanted_settings.goal == Goal(direction="minimise")
    held.goes_on.set()
    assert runner.wait(TIMEOUT_S)
    assert runner.settings.scalarizer.band_ev == SUGGESTED
    assert runner.settings.goal == Goal(direction="minimise")
    assert len(runner.measurements) == 9
    assert [list(each) for each in changes(runner, "instrument")] == [["scalarizer"]]
    assert [list(each) for each in changes(runner, "human")] == [["goal", "budget"]]
    # Whoever hears of the band hears of what was ordered, too.
    assert [each.scalarizer.band_ev for each in wanted] == [SUGGESTED, SUGGESTED]
    assert {each.goal.direction for each in wanted} == {"minimise"}


def test_what_cannot_be_used_is_refused_alone_when_the_run_is_prepared(lab):
    runner = lab.runner(experiment())
    told = []
    runner.events.warned.connect(told.append)
    # Before the energy axis of the spectra is known.
    runner.configure(scalarizer=PeakEnergy(low_ev=90, high_ev=91), why="a guess")
    runner.configure(budget={"steps": 9}, why="no time")
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(runner.measurements) == 9
    assert runner.settings.scalarizer == runner.wanted_settings.scalarizer
    assert isinstance(runner.settings.scalarizer, BandIntegral)
    (refusal,) = [text for text in told if "cannot be used" in text]
    assert "holds no channel" in refusal


def test_a_change_that_does_not_go_with_what_was_ordered_is_refused(lab):
    runner = lab.runner(experiment(scalarizer=BandIntegral(low_ev=0.3, high_ev=0.6)))
    runner.configure(scalarizer={"low_ev": 0.5})
    with pytest.raises(ValueError, match="its lower end must be below"):
        runner.configure(scalarizer={"high_ev": 0.4})
    assert runner.wanted_settings.scalarizer.band_ev == (0.5, 0.6)
    run(runner)
    assert runner.settings.scalarizer.band_ev == (0.5, 0.6)


def test_what_is_ordered_counts_until_it_is_in_force():
    ordered = OrderedSettings(experiment())
    ordered.order(SettingsPatch({"budget": {"steps": 9}}))
    (taken,) = ordered.take()
    assert ordered.wanted.budget.steps == 9
    ordered.order(SettingsPatch({"budget": {"time_s": 60.0}}))
    assert ordered.wanted.budget == Budget(steps=9, time_s=60)
    ordered.settle(taken.change.applied_to(ordered.in_force))
    assert ordered.in_force.budget == Budget(steps=9)
    assert ordered.wanted.budget == Budget(steps=9, time_s=60)


VALUES = {
    ("goal", "direction"): st.sampled_from(["maximise", "minimise"]),
    ("scalarizer", "low_ev"): st.sampled_from([0.1, 0.2, 0.3]),
    ("scalarizer", "high_ev"): st.sampled_from([0.6, 0.7, 0.8]),
    ("budget", "time_s"): st.sampled_from([None, 600.0, 700.0]),
    ("budget", "steps"): st.integers(10, 14),
    ("moves", "travel_cost"): st.sampled_from([0.0, 1.0, 2.0]),
    ("loop", "maps_every"): st.integers(1, 9),
}
IN_PREPARATION = -1
ORDERS = st.lists(
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda field: st.tuples(
            st.integers(IN_PREPARATION, 9), st.just(field), VALUES[field]
        )
    ),
    max_size=8,
)


@given(ORDERS, st.booleans())
@examples(max_examples=60)
def test_every_field_ends_with_the_last_value_that_was_ordered_for_it(
    tmp_path_factory, orders, is_automatic
):
    """Whenever each was ordered, beside others and a band that the run chooses."""
    lab = Lab(tmp_path_factory.mktemp("run"))
    band = () if is_automatic else (0.4, 0.5)
    scalarizer = BandIntegral().with_band(*band) if band else BandIntegral()
    runner = lab.runner(experiment(scalarizer=scalarizer, acquisition=RandomChoice()))
    expected = {
        ("scalarizer", "low_ev"): (band or SUGGESTED)[0],
        ("scalarizer", "high_ev"): (band or SUGGESTED)[1],
    }
    of_people = {}

    def order(when):
        for at, (section, name), value in orders:
            if at != when:
                continue
            # One end of a band alone is no change where there is none yet.
            if section == "scalarizer" and when == IN_PREPARATION and is_automatic:
                runner.configure(scalarizer={"low_ev": 0.2, "high_ev": 0.6})
                of_people.update({(section, "low_ev"): 0.2, (section, "high_ev"): 0.6})
            runner.configure(**{section: {name: value}})
            of_people[section, name] = value

    def on_changed(*_):
        for (section, name), value in of_people.items():
            assert getattr(getattr(runner.wanted_settings, section), name) == value

    runner.events.survey_acquired.connect(lambda _: order(IN_PREPARATION))
    runner.events.measured.connect(lambda measurement: order(measurement.step))
    heard = []
    runner.events.settings_changed.connect(lambda *_: heard.append(on_changed()))
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    for (section, name), value in (expected | of_people).items():
        assert getattr(getattr(runner.settings, section), name) == value
    by_people = {section for each in changes(runner, "human") for section in each}
    assert by_people <= {section for section, _ in of_people}


@given(st.permutations(["goal", "band", "budget", "kind"]), st.integers(0, 4))
def test_changes_of_one_boundary_come_to_the_same_as_of_many(order, cut):
    made = {
        "goal": SettingsPatch({"goal": {"direction": "minimise"}}),
        "band": SettingsPatch({"scalarizer": {"low_ev": 0.2, "high_ev": 0.6}}),
        "budget": SettingsPatch({"budget": {"dose_e": 5.0}}),
        "kind": SettingsPatch({"acquisition": UpperConfidenceBound(beta=3.0)}),
    }
    parts = [made[name] for name in order]
    one_by_one = experiment()
    for each in parts:
        one_by_one = each.applied_to(one_by_one)
    early, late = SettingsPatch(), SettingsPatch()
    for each in parts[:cut]:
        early = early.then(each)
    for each in parts[cut:]:
        late = late.then(each)
    at_two = late.applied_to(early.applied_to(experiment()))
    assert at_two == early.then(late).applied_to(experiment()) == one_by_one
    whole = SettingsPatch.between(experiment(), one_by_one)
    assert whole.applied_to(experiment()) == one_by_one
    assert whole.sections["goal"] == {"direction": "minimise"}


@pytest.mark.parametrize(
    "change",
    [
        lambda runner: runner.configure(goal={"direction": "minimise"}),
        lambda runner: runner.configure(acquisition=UpperConfidenceBound()),
        lambda runner: runner.set_regions(Regions(interest=(column_region("a", 3),))),
    ],
)
def test_what_was_warned_of_a_search_is_over_when_it_is_another_one(
    lab, monkeypatch, change
):
    def sign(measurements, settings):
        return "nothing is left" if len(measurements) > 4 else ""

    monkeypatch.setattr(watch, "SIGNS", (sign,))
    monkeypatch.setattr(watch, "OF_SEARCH", (sign,))
    settings = experiment(loop=LoopSettings(lookahead=0))
    runner = lab.runner(settings, attended=True)
    paused, changed = threading.Event(), threading.Event()
    # While it waits, before anything is measured by the change.
    runner.events.state_changed.connect(
        lambda state: paused.set() if state is RunPhase.PAUSED else None
    )
    runner.events.measured.connect(lambda m: runner.pause() if m.step == 5 else None)
    over = []
    runner.events.warning_over.connect(over.append)
    runner.events.warning_over.connect(lambda _: changed.set())
    runner.start()
    assert paused.wait(TIMEOUT_S)
    assert over == []
    runner.configure(budget={"steps": 9})
    change(runner)
    assert changed.wait(TIMEOUT_S)
    assert over == ["nothing is left"]
    measured = len(runner.measurements)
    runner.stop()
    assert runner.wait(TIMEOUT_S)
    lines = (runner.record.path / "journal.jsonl").read_text().splitlines()
    told = [entry for entry in map(json.loads, lines) if "warning" in entry["event"]]
    assert [each["event"] for each in told] == ["warning", "warning_over"]
    assert told[1]["step"] == told[1]["since"] == measured
