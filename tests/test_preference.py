"""Soft regions: how they move the agent, and that they exclude nothing."""

from __future__ import annotations

import numpy as np
import pytest

import blobs
from fakes import FakeInstrument
from napari_hae.agent.acquisition import (
    ExpectedImprovement,
    LogExpectedImprovement,
    RandomChoice,
    Raster,
    UpperConfidenceBound,
)
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Exhausted, Policy
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.agent.preference import with_preference
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings, LoopSettings
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.regions.regions import (
    AdjustedRegion,
    PolygonRegion,
    Regions,
    SoftRegion,
)

TIMEOUT_S = 60
CHANGED_AT = 6
TRUTH = blobs.truth()
LEFT = np.array([[-1.0, -1.0], [-1.0, 40.0], [81.0, 40.0], [81.0, -1.0]])
"""The left half of the fake's field of 80 nm."""


def policy(acquisition=None) -> Policy:
    return Policy(
        blobs.image(),
        model=ModelSettings(),
        acquisition=acquisition or LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(points=5),
        seed=4,
    )


def path_with(preference, acquisition=None, steps: int = 20) -> list[tuple[int, int]]:
    """What is chosen with a preference, of the shape of the field."""
    agent, places = policy(acquisition), []
    for step in range(steps):
        place = agent.ask(step, blobs.ANYWHERE, 0, preference)
        places.append((place.row, place.column))
        agent.tell(*places[-1], TRUTH[places[-1]])
    return places


def path(weight: float, acquisition=None, steps: int = 20) -> list[tuple[int, int]]:
    """What is chosen when the left half of the field has a weight."""
    preference = np.zeros(TRUTH.shape)
    preference[:, : TRUTH.shape[1] // 2] = weight
    return path_with(preference, acquisition, steps)


def share_left(places, width: int) -> float:
    return float(np.mean([column < width // 2 for _, column in places]))


@pytest.mark.parametrize(
    "acquisition", [LogExpectedImprovement(), UpperConfidenceBound(), RandomChoice()]
)
def test_the_agent_goes_where_it_is_told_to_prefer(acquisition):
    width = blobs.image().shape[1]
    first = 5 if acquisition.needs_model else 0
    to, neither, away = (
        share_left(path(weight, acquisition)[first:], width) for weight in (3, 0, -3)
    )
    assert to > neither > away or (to, away) == (1.0, 0.0)
    assert to > 0.5 > away


def test_a_raster_begins_with_what_is_preferred():
    width = blobs.image().shape[1]
    preferred = path(3.0, Raster(), steps=6)
    assert preferred[0] == (0, 0)
    assert share_left(preferred, width) == 1.0


def test_nothing_is_excluded():
    agent = policy(RandomChoice())
    shape = blobs.image().shape
    allowed = np.zeros(shape, bool)
    allowed[:3, :2] = True
    avoided = np.full(shape, -3.0)
    avoided[:3, 0] = 3.0
    places = [agent.ask(step, allowed, 0, avoided) for step in range(6)]
    assert {(p.row, p.column) for p in places} == set(np.ndindex(3, 2))
    with pytest.raises(Exhausted):
        agent.ask(6, allowed, 0, avoided)


def test_no_preference_and_one_that_is_zero_give_the_same_path():
    agent, shape = policy(), blobs.image().shape
    plain = []
    for step in range(12):
        place = agent.ask(step, np.ones(shape, bool))
        plain.append((place.row, place.column))
        agent.tell(*plain[-1], TRUTH[plain[-1]])
    assert path(0.0, steps=12) == plain


def test_a_weight_counts_in_units_of_the_values():
    values = np.array([1.0, 3.0, -np.inf, np.nan, 2.0])
    preference = np.array([1.0, 0.0, 3.0, 1.0, -2.0])
    found = with_preference(values, preference, 0.5)
    assert np.allclose(found, [1.5, 3, -np.inf, np.nan, 1.0], equal_nan=True)
    assert with_preference(values, None, 0.5) is values


def test_where_all_is_equal_the_preference_decides():
    assert np.argmax(with_preference(np.zeros(3), np.array([0.0, 2.0, -1.0]), 0)) == 1


@pytest.mark.parametrize(
    "acquisition", [LogExpectedImprovement(), ExpectedImprovement()]
)
def test_a_small_weight_where_nothing_is_does_not_decide(acquisition):
    # What is measured already is worth the most to the expected improvement, and says
    # nothing of how those differ that are left.
    empty = np.argwhere(TRUTH < np.quantile(TRUTH, 0.2))
    preference = np.zeros(TRUTH.shape)
    preference[tuple(empty.T)] = 0.1
    found = path_with(preference, acquisition, 40)[5:]
    assert np.mean([preference[place] > 0 for place in found]) < 0.3


def test_a_little_avoided_is_not_excluded():
    preference = np.where(np.quantile(TRUTH, 0.97) < TRUTH, -0.3, 0.0)
    found = path_with(preference, steps=40)[5:]
    assert np.mean([preference[place] < 0 for place in found]) > 0.1


def test_a_preference_of_another_shape_is_refused_in_words():
    agent, shape = policy(RandomChoice()), blobs.image().shape
    with pytest.raises(ValueError, match=r"the preference has shape \(2, 2\)"):
        agent.ask(0, np.ones(shape, bool), 0, np.zeros((2, 2)))


class Lab:
    """Runs on a fake microscope, in which a soft region comes at a step."""

    def __init__(self, folder) -> None:
        self.folder, self.runs = folder, 0
        self.bare = FakeInstrument()
        self.gate = GuardedInstrument(self.bare)
        self.gate.connect()

    def run(self, settings, weight: float | None, stop_at: int = 10**6) -> Runner:
        self.runs += 1
        record = Record.create(
            self.folder / f"run{self.runs}",
            instrument="fake",
            instrument_settings=self.bare.settings,
            settings=settings,
        )
        runner = Runner(self.gate, record, settings)

        def steer(measurement) -> None:
            if measurement.step + 1 == stop_at:
                runner.stop()

        def change() -> None:
            # While a certain step is measured, which is the same moment in every run.
            exposed = len(self.bare.beam.exposed)
            if weight is not None and exposed == CHANGED_AT + 1:
                runner.set_regions(left_preferred(weight))

        runner.events.measured.connect(steer)
        self.bare.beam.exposed.clear()
        self.bare.during_exposure = lambda _: change()
        runner.start()
        assert runner.wait(TIMEOUT_S)
        self.bare.during_exposure = None
        return runner

    def resume(self, runner: Runner, steps: int) -> Runner:
        past = open_run(runner.record.path)
        new = past.settings.replaced(budget=Budget(steps=steps))
        record = Record.reopen(past)
        resumed = Runner(self.gate, record, new, past=past)
        resumed.start()
        assert resumed.wait(TIMEOUT_S)
        return resumed


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def left_preferred(weight: float) -> Regions:
    drawn = PolygonRegion("left", (LEFT,))
    edges = AdjustedRegion(drawn, grow_nm=1.0)
    return Regions(soft=(SoftRegion(edges, weight),))


def settings_of(lookahead: int, batch: int = 1) -> ExperimentSettings:
    return ExperimentSettings(
        acquisition=UpperConfidenceBound(),
        initial=InitialDesign(points=4),
        loop=LoopSettings(lookahead=lookahead, batch=batch),
        budget=Budget(steps=14),
        seed=3,
    )


def pixels(runner: Runner) -> list[tuple[int, int]]:
    return [(m.proposal.row, m.proposal.column) for m in runner.measurements]


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_soft_region_moves_the_very_next_proposals(lab, lookahead):
    settings = settings_of(lookahead)
    plain = pixels(lab.run(settings, None))
    steered = pixels(lab.run(settings, 3.0))
    away = pixels(lab.run(settings, -3.0))
    known = CHANGED_AT + 1
    assert steered[:known] == plain[:known] == away[:known]
    assert all(column < 4 for _, column in steered[known : known + 2])
    assert all(column >= 4 for _, column in away[known : known + 3])


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("stop_at", [5, 7, 8, 9, 12])
def test_a_run_with_a_soft_region_resumes_as_it_would_have_gone_on(
    lab, lookahead, batch, stop_at
):
    settings = settings_of(lookahead, batch)
    whole = lab.run(settings, 2.0)
    assert open_run(whole.record.path).regions.to_json() == (
        left_preferred(2.0).to_json()
    )
    cut = lab.run(settings, 2.0, stop_at)
    if not open_run(cut.record.path).regions.soft:
        # It ended before the change was obeyed: nothing to go on with.
        assert pixels(cut) == pixels(whole)[: len(cut.measurements)]
        return
    resumed = lab.resume(cut, 14)
    assert pixels(resumed) == pixels(whole)
    means, wanted = (
        [m.proposal.mean for m in run.measurements] for run in (resumed, whole)
    )
    assert np.array_equal(means, wanted, equal_nan=True)


def test_a_soft_region_that_is_there_from_the_start_is_in_the_journal(lab):
    settings = settings_of(1)
    record = Record.create(
        lab.folder / "first",
        instrument="fake",
        instrument_settings=lab.bare.settings,
        settings=settings,
    )
    runner = Runner(lab.gate, record, settings, regions=left_preferred(-1.0))
    runner.start()
    assert runner.wait(TIMEOUT_S)
    (soft,) = open_run(record.path).regions.soft
    assert (soft.name, soft.weight, soft.region.grow_nm) == ("left", -1.0, 1.0)


def test_the_same_seed_gives_the_same_path(lab):
    settings = settings_of(1)
    assert pixels(lab.run(settings, 1.5)) == pixels(lab.run(settings, 1.5))
