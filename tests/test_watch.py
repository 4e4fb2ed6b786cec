"""Each warning comes in its situation, once, and in no other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_hae.diagnostics import Insight, Outcome, StepTimes
from napari_hae.experiment import watch
from napari_hae.experiment.journal_events import (
    Change,
    RegionsEvent,
    RegionsValues,
    SettingsEvent,
)
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.experiment.watch import Watch
from napari_hae.types import (
    ChosenBy,
    EnergyAxis,
    Measurement,
    ProbePosition,
    Proposal,
    Spectrum,
)

SETTINGS = ExperimentSettings()
STUCK = SETTINGS.replaced(
    moves=SETTINGS.moves.model_copy(update={"leave_traps": False})
)
FINE = Insight(gain=1.0, noise_std=1.0)
ENERGY = EnergyAxis(0.0, 0.1, 4)
RNG = np.random.default_rng(0)


def measured(insight=FINE, *, deviations=math.nan, agent_s=0.01, exposure_s=0.1):
    """What the warnings look at of one measurement."""
    place = ProbePosition(0.5, 0.5)
    proposal = Proposal(0, 0, 0, place, 0.0, 1.0, 0.0, 0.0, ChosenBy.AGENT, 0, insight)
    spectrum = Spectrum(np.ones(4, np.float32), ENERGY, "EELS", place, exposure_s, 1.0)
    outcome = Outcome(deviations, deviations) if math.isfinite(deviations) else None
    times = StepTimes(exposure_s, 0.0, 0.0, agent_s, 0.0)
    return Measurement(proposal, spectrum, 0.0, 0.0, 0.0, outcome=outcome, times=times)


def changed(*sections: str) -> SettingsEvent:
    changes = {name: Change(old=None, new=None) for name in sections}
    return SettingsEvent(step=watch.IN_A_ROW, changes=changes)


def warnings(measurements, settings=SETTINGS) -> dict[int, list[str]]:
    """What is warned of after how many measurements."""
    watching, found = Watch(), {}
    for count in range(1, len(measurements) + 1):
        if texts := watching.look(measurements[:count], settings):
            found[count] = texts
    return found


def test_nothing_is_warned_of_where_all_is_well():
    fine = [measured(deviations=each) for each in RNG.standard_normal(200)]
    assert warnings(fine) == {}


def test_a_trap_is_told_with_what_the_agent_does_or_you_could_do():
    trapped = [measured(), measured(Insight(trapped=True))]
    (text,) = warnings(trapped)[2]
    assert "nothing better" in text
    assert "least certain" in text
    (text,) = warnings(trapped, STUCK)[2]
    assert 'Switch on "Leave traps"' in text


def test_a_warning_comes_once_until_it_is_over_and_comes_again():
    trapped, fine = measured(Insight(trapped=True)), measured()
    run = [fine, *[trapped] * 30, *[fine] * watch.REST, trapped]
    run += [fine] * (watch.REST - 1) + [trapped]
    assert list(warnings(run)) == [2, 32 + watch.REST]


def test_what_was_warned_of_is_over_once_and_says_since_when():
    trapped, fine = measured(Insight(trapped=True)), measured()
    run = [fine, *[trapped] * 30, *[fine] * (watch.REST - 1), trapped]
    run += [fine] * (watch.REST + 5)
    watching, told, over = Watch(), [], {}
    for count in range(1, len(run) + 1):
        told += watching.look(run[:count], SETTINGS)
        if watching.over:
            over[count] = watching.over
    # The last one that was trapped is step 50, counted from 0.
    assert over == {51 + watch.REST: [(*told, 51)]}


@pytest.mark.parametrize(("wider", "said"), [(3.0, "too sure"), (0.2, "less sure")])
def test_intervals_that_are_clearly_off_are_told(wider, said):
    off = [measured(deviations=wider * each) for each in RNG.standard_normal(60)]
    found = warnings(off)
    assert min(found) >= watch.ENOUGH
    assert said in found[min(found)][0]


def test_intervals_a_little_off_or_few_of_them_are_not_told():
    draws = RNG.standard_normal(100)
    assert warnings([measured(deviations=1.2 * each) for each in draws]) == {}
    assert warnings([measured(deviations=0.8 * each) for each in draws]) == {}
    assert warnings([measured(deviations=9.0)] * (watch.ENOUGH - 1)) == {}


def test_no_gain_is_told_after_some_in_a_row():
    nothing = measured(Insight(gain=1e-4, noise_std=1.0))
    fine = [measured()] * 3
    assert warnings([*fine, *[nothing] * (watch.IN_A_ROW - 1)]) == {}
    found = warnings([*fine, *[nothing] * watch.IN_A_ROW])
    assert list(found) == [3 + watch.IN_A_ROW]
    assert "0.01 % of the noise" in found[3 + watch.IN_A_ROW][0]


def test_who_looks_for_no_gain_is_not_told_that_there_is_none():
    mapping = measured(Insight(gain=math.nan, noise_std=1.0))
    assert warnings([mapping] * (watch.IN_A_ROW + 20)) == {}


NOTHING = measured(Insight(gain=1e-4, noise_std=1.0, trapped=True))


def test_what_was_said_of_a_search_is_over_when_it_is_another_one():
    run = [NOTHING] * watch.IN_A_ROW
    watching, told = Watch(), []
    for count in range(1, len(run) + 1):
        told += watching.look(run[:count], SETTINGS)
    assert sorted(watching.search_anew(len(run))) == sorted(told)
    assert len(told) == 2
    # What was chosen for the search before, one place ahead, says nothing of this one.
    assert watching.look([*run, NOTHING], SETTINGS) == []
    assert watching.over == []
    came = {}
    for more in range(2, watch.IN_A_ROW + 2):
        for text in watching.look([*run, *[NOTHING] * more], SETTINGS):
            came[more - 1] = text
    assert "nothing better" in came.pop(1)
    assert "left to gain" in came.pop(watch.IN_A_ROW)
    assert came == {}


@pytest.mark.parametrize(
    "change",
    [
        RegionsEvent(
            step=watch.IN_A_ROW, regions=RegionsValues(interest=(), forbidden=())
        ),
        changed("goal"),
        changed("budget", "acquisition"),
    ],
)
def test_a_resumed_run_knows_when_its_search_became_another_one(change):
    past = [NOTHING] * (watch.IN_A_ROW + 5)
    watching = Watch()
    watching.catch_up(past, SETTINGS, [change])
    assert len(watching.search_anew(len(past))) == 1
    unchanged = Watch()
    unchanged.catch_up(past, SETTINGS, [changed("budget")])
    assert len(unchanged.search_anew(len(past))) == 2


def test_a_failed_fit_is_told():
    (text,) = warnings([measured(), measured(Insight(fit_failed=True))])[2]
    assert "could not be fitted" in text


def test_an_agent_slower_than_the_exposure_is_told_but_not_one_slow_step():
    slow = measured(agent_s=0.3)
    assert warnings([*[measured()] * 20, slow, *[measured()] * 20]) == {}
    found = warnings([slow] * watch.STEPS_TIMED)
    (text,) = found[watch.STEPS_TIMED]
    assert "300 ms" in text
    assert "100 ms" in text


def test_a_resumed_run_does_not_warn_again():
    past = [measured(Insight(trapped=True))] * 3
    watching = Watch()
    watching.catch_up(past, SETTINGS)
    assert watching.look([*past, past[0]], SETTINGS) == []
