"""Traps and travel: how the agent moves on."""

import copy
import logging
from dataclasses import replace

import numpy as np
import pytest

import blobs
from napari_hae.agent.acquisition import (
    ExpectedImprovement,
    LogExpectedImprovement,
    MaximumUncertainty,
    RandomChoice,
    ThompsonSampling,
    UpperConfidenceBound,
)
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Policy
from napari_hae.agent.policy_settings import InitialDesign, MoveSettings
from napari_hae.agent.traps import is_trapped
from napari_hae.agent.travel import with_travel_cost
from napari_hae.types import ChosenBy, ScanImage
from trap_sample import SIDE, Sample

ALIKE, SPREAD = np.full((5, 3), 0.1), np.ones(3)
VARIED = np.random.default_rng(0).standard_normal((5, 3))


def test_nothing_better_in_like_places_is_a_trap():
    flat = np.r_[np.linspace(0, 1, 6), np.full(5, 0.9)]
    assert is_trapped(flat, ALIKE, SPREAD, 0.05)


@pytest.mark.parametrize(
    ("utilities", "seen"),
    [
        (np.r_[np.linspace(0, 1, 6), np.full(5, 1.2)], ALIKE),
        (np.r_[np.linspace(0, 1, 6), np.full(5, 0.9)], VARIED),
        (np.full(5, 0.9), ALIKE),
    ],
    ids=["something better", "elsewhere", "too early"],
)
def test_what_is_no_trap(utilities, seen):
    assert not is_trapped(utilities, seen, SPREAD, 0.05)


def test_a_field_without_contrast_traps_nobody():
    flat = np.r_[np.linspace(0, 1, 6), np.full(5, 0.9)]
    assert not is_trapped(flat, np.zeros((5, 3)), np.zeros(3), 0.05)


def steps_to_the_better_one(seed, leave_traps, steps=60):
    sample = Sample(seed)
    policy = Policy(
        ScanImage(sample.image[None], ("HAADF",), sample.image.shape, 1e-5),
        model=ModelSettings(),
        acquisition=LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(points=10),
        seed=seed,
        moves=MoveSettings(leave_traps=leave_traps),
    )
    allowed = np.ones((SIDE, SIDE), dtype=bool)
    for step in range(steps):
        proposal = policy.ask(step, allowed)
        pixel = proposal.row, proposal.column
        policy.tell(*pixel, float(sample.measured[pixel]))
        if sample.is_better[pixel]:
            return step + 1
    return steps


def test_a_trap_is_left_for_the_rare_better_one():
    seeds = range(7)
    left = [steps_to_the_better_one(seed, leave_traps=True) for seed in seeds]
    stayed = [steps_to_the_better_one(seed, leave_traps=False) for seed in seeds]
    assert np.median(stayed) >= 1.5 * np.median(left)


def trapped_share(image, target, region, before=0, steps=45):
    """In how many of the steps within a region the agent takes itself for trapped."""
    policy = Policy(
        ScanImage(image[None], ("HAADF",), image.shape, 1e-5),
        model=ModelSettings(),
        acquisition=LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(points=10),
        seed=0,
    )
    trapped = []
    for step in range(steps):
        allowed = region if step >= before else np.ones_like(region)
        proposal = policy.ask(step, allowed)
        policy.tell(
            proposal.row, proposal.column, float(target[proposal.row, proposal.column])
        )
        if proposal.insight is not None and step >= before:
            trapped.append(proposal.insight.trapped)
    return np.mean(trapped)


def particle(radius):
    rows, columns = np.indices((48, 48))
    return np.hypot(rows - 22, columns - 26) < radius


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("before", [0, 12])
def test_a_region_on_one_structure_is_no_trap(noise, before):
    rows, columns = np.indices((48, 48))
    rng = np.random.default_rng(0)
    image = particle(17) + noise * rng.standard_normal((48, 48))
    hill = np.exp(-((rows - 25) ** 2 + (columns - 22) ** 2) / 20)
    target = hill + 0.01 * rng.standard_normal((48, 48))
    share = trapped_share(image.astype(np.float32), target, particle(8), before)
    assert share < 0.15


def test_a_region_of_several_structures_has_its_traps():
    sample = Sample(0)
    region = np.ones((SIDE, SIDE), dtype=bool)
    region[:4] = region[-4:] = False
    inside = trapped_share(sample.image, sample.measured, region)
    assert inside > 0
    everywhere = trapped_share(
        sample.image, sample.measured, np.ones_like(region), steps=45
    )
    assert inside == pytest.approx(everywhere, abs=0.2)


def policy_with(**moves):
    return Policy(
        blobs.image(),
        model=ModelSettings(),
        acquisition=LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(points=5),
        seed=0,
        moves=MoveSettings(**moves),
    )


def trapped_policy():
    """A policy that found nothing better of late, and where it did not, as a pixel."""
    policy, truth = policy_with(patience=3), blobs.truth()
    for index in np.random.default_rng(0).permutation(truth.size)[:8]:
        policy.tell(*divmod(int(index), blobs.SIDE), float(truth.flat[index]))
    row, column = map(int, np.unravel_index(truth.argmax(), truth.shape))
    for right in (0, 1, 2, 3):
        policy.tell(row, column + right, 0.9)
    return policy, row, column


def few_places(row, column):
    """Those beside where nothing better was found."""
    few = np.zeros_like(blobs.ANYWHERE)
    few[row - 1, column : column + 4] = True
    return few


@pytest.mark.parametrize("reachable", [None, blobs.ANYWHERE])
def test_a_choice_among_few_places_is_made_as_one_among_all_that_is_in_reach(reachable):
    policy, row, column = trapped_policy()
    few = few_places(row, column)
    insight = policy.ask(12, few, reachable=reachable).insight
    assert insight.trapped == (reachable is not None)
    assert policy.is_trapped == insight.trapped


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_place_of_a_person_is_judged_by_what_is_in_reach_now(asked_before):
    policy, row, column = trapped_policy()
    few = few_places(row, column)
    if asked_before:
        place = policy.ask(12, blobs.ANYWHERE)
        policy.withdraw(place.row, place.column)
    human = ChosenBy.HUMAN
    assert not policy.choose(12, row - 1, column, human, few).insight.trapped
    policy.withdraw(row - 1, column)
    everywhere = policy.choose(12, row - 1, column, human, blobs.ANYWHERE)
    assert everywhere.insight.trapped


ACQUISITIONS = [
    UpperConfidenceBound(),
    ThompsonSampling(),
    ExpectedImprovement(),
    MaximumUncertainty(),
    LogExpectedImprovement(),
    RandomChoice(),
]


@pytest.mark.parametrize("acquisition", ACQUISITIONS, ids=lambda each: each.kind)
def test_costs_and_preferences_are_worth_as_much_among_few_places(acquisition):
    policy, truth = policy_with(travel_cost=0.5), blobs.truth()
    policy.configure(acquisition=acquisition)
    rng = np.random.default_rng(0)
    for index in rng.permutation(truth.size)[:12]:
        policy.tell(*divmod(int(index), blobs.SIDE), float(truth.flat[index]))
    preference = rng.standard_normal(truth.shape)
    for step in range(12, 18):
        few = np.zeros_like(blobs.ANYWHERE)
        few.flat[rng.permutation(truth.size)[:3]] = True
        again = copy.deepcopy(policy)
        chosen = policy.ask(step, blobs.ANYWHERE, 0, preference)
        few[chosen.row, chosen.column] = True
        among_few = again.ask(step, few, 0, preference, blobs.ANYWHERE)
        # As text NaN equals itself.
        plain = [repr(replace(each, insight=None)) for each in (among_few, chosen)]
        assert plain[0] == plain[1]


def test_which_of_equal_places_is_chosen_does_not_depend_on_the_others():
    """Of a model that says nothing, all places are equal."""

    class Indifferent(UpperConfidenceBound):
        def __call__(self, posterior, best, rng):
            return np.zeros_like(posterior.mean)

    policy, truth = policy_with(), blobs.truth()
    policy.configure(acquisition=Indifferent())
    for index in (3, 90, 400):
        policy.tell(*divmod(index, blobs.SIDE), float(truth.flat[index]))
    again = copy.deepcopy(policy)
    chosen = policy.ask(12, blobs.ANYWHERE)
    few = np.random.default_rng(0).random(truth.shape) < 0.1
    few[chosen.row, chosen.column] = True
    among_few = again.ask(12, few, reachable=blobs.ANYWHERE)
    assert (among_few.row, among_few.column) == (chosen.row, chosen.column)


def path_length(policy, steps=20):
    truth, path = blobs.truth(), []
    for step in range(steps):
        proposal = policy.ask(step, blobs.ANYWHERE)
        path.append((proposal.row, proposal.column))
        policy.tell(*path[-1], float(truth[path[-1]]))
    return float(np.hypot(*np.diff(np.array(path[5:]), axis=0).T).sum())


def test_a_travel_cost_shortens_the_path():
    free = path_length(policy_with(leave_traps=False))
    costly = path_length(policy_with(leave_traps=False, travel_cost=20.0))
    assert costly < 0.6 * free


def test_the_travel_cost_is_proportional_to_the_distance():
    values = np.array([1.0, 2.0, 3.0, np.nan, -np.inf, 1.0])
    costly = with_travel_cost(values, (2, 3), 0, 2.0)
    finite = [0, 1, 2, 5]
    unit = 2.0 / np.hypot(2, 3)
    paid = values[finite] - costly[finite]
    np.testing.assert_allclose(paid, unit * np.array([0, 1, 2, np.hypot(1, 2)]))
    assert np.isnan(costly[3])
    assert costly[4] == -np.inf
    assert with_travel_cost(values, (2, 3), 0, 0.0) is values


def mean_exposure_s(policy, steps=30):
    """Of the places that the agent chooses, where good ones take longer."""
    truth = blobs.truth()
    exposure_s, chosen = 0.1 * np.exp(8 * truth / truth.max()), []
    for step in range(steps):
        proposal = policy.ask(step, blobs.ANYWHERE)
        pixel = proposal.row, proposal.column
        policy.tell(*pixel, float(truth[pixel]), 0.01, float(exposure_s[pixel]))
        chosen.append(exposure_s[pixel])
    return float(np.mean(chosen[5:]))


def test_improvement_per_electron_prefers_places_that_take_less():
    free = mean_exposure_s(policy_with(leave_traps=False))
    thrifty = mean_exposure_s(policy_with(leave_traps=False, per_exposure=True))
    assert thrifty < free


def test_without_any_prediction_the_agent_goes_on_at_random(monkeypatch, caplog):
    from napari_hae.agent.surrogate import Surrogate

    def fail(*_):
        raise RuntimeError("no prediction")

    policy, truth = policy_with(), blobs.truth()
    monkeypatch.setattr(Surrogate, "posterior", fail)
    seen = set()
    with caplog.at_level(logging.WARNING):
        for step in range(9):
            proposal = policy.ask(step, blobs.ANYWHERE)
            seen.add((proposal.row, proposal.column))
            policy.tell(
                proposal.row,
                proposal.column,
                float(truth[proposal.row, proposal.column]),
            )
    assert len(seen) == 9
    assert "gives no prediction" in caplog.text
    assert "chosen at random" in caplog.text
