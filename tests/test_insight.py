"""What the agent says of itself, against brute force over all candidates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

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
from napari_hae.agent.insight import APART
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Policy
from napari_hae.agent.policy_settings import InitialDesign, MoveSettings
from napari_hae.agent.posterior import Posterior
from napari_hae.agent.surrogate import Surrogate
from napari_hae.diagnostics import Insight, leaning
from napari_hae.types import ChosenBy

TRUTH = blobs.truth()
LEFT_HALF = np.arange(TRUTH.size).reshape(TRUTH.shape) % blobs.SIDE < 12


def told(acquisition=None, *, points=8, goal=None, moves=None) -> Policy:
    """A policy that knows its initial design."""
    policy = Policy(
        blobs.image(),
        model=ModelSettings(network="none"),
        acquisition=acquisition or LogExpectedImprovement(),
        goal=goal or Goal(),
        initial=InitialDesign(points=points),
        seed=0,
        moves=moves,
    )
    for step in range(points):
        place = policy.ask(step, blobs.ANYWHERE)
        policy.tell(place.row, place.column, float(TRUTH[place.row, place.column]))
    return policy


def field(means, stds) -> Posterior:
    """A posterior of given numbers, which draws its mean."""
    mean, std = np.array(means, float), np.array(stds, float)
    return Posterior(mean, std, sample=lambda rng: mean)


def test_uncertainty_is_summed_over_what_is_open_and_nothing_else():
    policy = told()
    proposal = policy.ask(8, LEFT_HALF)
    maps = policy.maps(LEFT_HALF)
    open_ = np.isfinite(maps.acquisition)
    # Its own pixel is pending by now.
    open_[proposal.row, proposal.column] = True
    std = maps.std[open_]
    insight = proposal.insight
    assert insight.mean_std == pytest.approx(std.mean(), rel=1e-5)
    assert insight.spread_std == pytest.approx(std.std(), rel=1e-3)
    assert insight.largest_std == pytest.approx(std.max(), rel=1e-5)
    assert open_.sum() == LEFT_HALF.sum() - sum(
        LEFT_HALF[divmod(index, blobs.SIDE)] for index in policy._data.measured
    )


def test_runners_up_are_the_best_of_all_other_places():
    policy = told()
    proposal = policy.ask(8, LEFT_HALF)
    left = policy.maps(LEFT_HALF).acquisition.astype(float)
    apart = max(1, max(left.shape) // APART)
    rows, columns = np.indices(left.shape)
    place = (proposal.row, proposal.column)
    for runner_up in proposal.insight.runners_up:
        near = np.maximum(abs(rows - place[0]), abs(columns - place[1])) <= apart
        left[near] = np.nan
        place = np.unravel_index(np.nanargmax(left), left.shape)
        assert (runner_up.row, runner_up.column) == place
        assert LEFT_HALF[place]
        assert runner_up.value == pytest.approx(left[place], rel=1e-5)
        maps = policy.maps(LEFT_HALF)
        assert runner_up.mean == pytest.approx(maps.mean[place], rel=1e-5)
        assert runner_up.std == pytest.approx(maps.std[place], rel=1e-5)
    values = [each.value for each in proposal.insight.runners_up]
    assert len(values) == MoveSettings().places - 1
    assert values == sorted(values, reverse=True)
    assert values[0] <= proposal.value


@pytest.mark.parametrize("places", [1, 3, 12])
def test_so_many_places_are_proposed_as_are_wanted(places):
    usual = told().ask(8, blobs.ANYWHERE)
    proposal = told(moves=MoveSettings(places=places)).ask(8, blobs.ANYWHERE)
    insight = proposal.insight
    assert len(insight.runners_up) == places - 1
    assert insight.runners_up[:5] == usual.insight.runners_up[: places - 1]
    # How many are shown changes nothing else.
    assert (proposal.row, proposal.column) == (usual.row, usual.column)
    assert replace(insight, runners_up=()) == replace(usual.insight, runners_up=())


def test_a_runner_up_explores_as_much_as_if_it_were_chosen():
    ucb = UpperConfidenceBound(beta=2.0)
    policy = told(ucb)
    proposal = policy.ask(8, blobs.ANYWHERE)
    predicted = policy._posterior
    utility = Goal().utility(predicted)
    for each in proposal.insight.runners_up:
        index = each.row * blobs.SIDE + each.column
        expected = ucb.exploring(utility, proposal.best, index)
        assert each.exploring == pytest.approx(expected, nan_ok=True)
    shares = [each.exploring for each in proposal.insight.runners_up]
    assert np.isfinite(shares).any()


def test_the_agent_says_what_it_thinks_of_a_persons_place():
    agent, policy = told(), told()
    own = agent.ask(8, LEFT_HALF)
    values = agent.maps(LEFT_HALF).acquisition
    values[own.row, own.column] = own.value
    theirs = policy.choose(8, 3, 5, ChosenBy.HUMAN, LEFT_HALF)
    assert theirs.value == pytest.approx(values[3, 5], rel=1e-5)
    assert own.insight.rank == 1
    assert theirs.insight.rank == 1 + np.count_nonzero(values > values[3, 5]) > 1
    first = theirs.insight.runners_up[0]
    assert (first.row, first.column) == (own.row, own.column)
    assert f"number {theirs.insight.rank:.0f} by" in theirs.reason
    planned = policy.choose(9, 4, 5, ChosenBy.PLAN)
    assert np.isnan(planned.value)
    assert planned.insight is None


def test_in_a_small_region_there_are_fewer_runners_up():
    allowed = np.zeros(TRUTH.shape, bool)
    allowed[0, [0, 7, 14]] = True
    policy = told(points=4)
    insight = policy.ask(8, allowed).insight
    assert len(insight.runners_up) == 2
    assert policy.ask(9, allowed).insight.runners_up != ()
    assert policy.ask(10, allowed).insight.runners_up == ()


def test_the_likelihood_is_that_of_the_targets_however_it_was_reached():
    rng = np.random.default_rng(3)
    places = rng.choice(TRUTH.size, 14, replace=False)
    targets = TRUTH.ravel()[places]
    surrogate = Surrogate(blobs.image().data, ModelSettings(network="none"), seed=0)
    surrogate.fit(places[:12], targets[:12])
    surrogate._refits.due = 20
    surrogate.fit(places, targets)
    covariance = surrogate._covariance()
    scaled = surrogate._scaled()[places]
    kernel = covariance(scaled, scaled).numpy() + covariance.noise * np.eye(14)
    standard = surrogate._standard.scaled(targets)
    expected = multivariate_normal(cov=kernel).logpdf(standard) / 14
    assert surrogate.log_likelihood == pytest.approx(expected, rel=1e-6)
    before = surrogate.log_likelihood
    surrogate.posterior([1, 2])
    assert surrogate.log_likelihood == before


@pytest.mark.parametrize("direction", ["maximise", "minimise"])
def test_the_gain_is_the_largest_expected_improvement_of_all(direction):
    goal = Goal(direction=direction)
    policy = told(UpperConfidenceBound(), goal=goal)
    policy.refresh()
    posterior = goal.utility(policy._surrogate.posterior())
    best = posterior.mean[policy._data.measured].max()
    values = ExpectedImprovement()(posterior, best, np.random.default_rng(0))
    values[policy._data.measured] = 0
    insight = policy.ask(8, blobs.ANYWHERE).insight
    assert insight.gain == pytest.approx(values.max(), rel=1e-6)


def test_who_only_wants_to_learn_has_no_gain():
    assert np.isnan(told(MaximumUncertainty()).ask(8, blobs.ANYWHERE).insight.gain)


def test_without_a_model_there_is_no_insight():
    policy = told(RandomChoice())
    assert policy.ask(8, blobs.ANYWHERE).insight is None
    first = Policy(
        blobs.image(),
        model=ModelSettings(network="none"),
        acquisition=LogExpectedImprovement(),
        goal=Goal(),
        initial=InitialDesign(points=3),
        seed=0,
    )
    assert first.ask(0, blobs.ANYWHERE).insight is None


USUAL = [0.0] * 20


@pytest.mark.parametrize(
    "acquisition",
    [
        LogExpectedImprovement(),
        ExpectedImprovement(),
        UpperConfidenceBound(),
        ThompsonSampling(),
    ],
)
def test_a_better_mean_is_exploiting_and_a_larger_uncertainty_exploring(acquisition):
    posterior = field([1.0, 0.0, 0.7, *USUAL], [0.5, 1.5, 1.0, *[0.5] * 20])
    exploiting, exploring, both = (
        acquisition.exploring(posterior, 2.0, each) for each in range(3)
    )
    assert exploiting == 0
    assert exploring == 1
    assert 0 < both < 1
    assert np.isnan(acquisition.exploring(posterior, 2.0, 5))


def test_the_two_parts_of_an_upper_confidence_bound_are_those_of_its_sum():
    posterior = field([3.0, *USUAL], [2.0, *[0.5] * 20])
    share = UpperConfidenceBound(beta=2).exploring(posterior, 9.0, 0)
    assert share == pytest.approx(2 * 1.5 / (3 + 2 * 1.5))
    assert UpperConfidenceBound(beta=0).exploring(posterior, 9.0, 0) == 0
    assert MaximumUncertainty().exploring(posterior, 9.0, 0) == 1


def test_the_two_parts_of_the_improvement_are_averaged_over_both_orders():
    def log_ei(mean, std):
        z = (mean - 2.0) / std
        return np.log(std * (norm.pdf(z) + z * norm.cdf(z)))

    posterior = field([1.0, *USUAL], [0.8, *[0.5] * 20])
    both, usual = log_ei(1.0, 0.8), log_ei(0.0, 0.5)
    by_mean, by_std = log_ei(1.0, 0.5), log_ei(0.0, 0.8)
    explored = (by_std - usual + both - by_mean) / 2
    for acquisition in (LogExpectedImprovement(), ExpectedImprovement()):
        share = acquisition.exploring(posterior, 2.0, 0)
        assert share == pytest.approx(explored / (both - usual), rel=1e-9)


def test_a_trap_is_told_whether_or_not_it_is_left():
    insights = []
    for leaves in (True, False):
        moves = MoveSettings(leave_traps=leaves, patience=3)
        policy = told(moves=moves)
        best = int(np.argmax(TRUTH))
        for near in (0, 1, -1, blobs.SIDE):
            policy.tell(*divmod(best + near, blobs.SIDE), 0.9)
        policy.refresh()
        assert policy.is_trapped
        insights.append(policy.ask(12, blobs.ANYWHERE).insight)
    assert insights[0].trapped
    assert insights[0].exploring == 1
    assert insights[1].trapped
    assert not told().ask(8, blobs.ANYWHERE).insight.trapped


def test_a_failed_fit_is_told(monkeypatch):
    policy = told()
    assert not policy.ask(8, blobs.ANYWHERE).insight.fit_failed
    monkeypatch.setattr("napari_hae.agent.surrogate.fit", lambda *_: None)
    policy = told()
    proposal = policy.ask(8, blobs.ANYWHERE)
    assert proposal.insight.fit_failed
    assert np.isfinite(proposal.mean)


def test_no_prediction_at_all_is_told_as_a_failed_fit(monkeypatch):
    def fail(*_):
        raise np.linalg.LinAlgError("no factor")

    monkeypatch.setattr(Surrogate, "fit", fail)
    insight = told().ask(8, blobs.ANYWHERE).insight
    assert insight.fit_failed
    assert np.isnan(insight.mean_std)


def test_the_reason_says_which_way_a_proposal_leans():
    proposal = told().ask(8, blobs.ANYWHERE)
    assert proposal.reason.endswith(leaning(proposal.insight.exploring))
    words = [leaning(share) for share in (0.1, 0.5, 0.9, np.nan)]
    assert words == [
        "mostly exploiting",
        "exploiting and exploring",
        "mostly exploring",
        "",
    ]


def test_what_is_read_back_is_what_was_written():
    insight = told().ask(8, blobs.ANYWHERE).insight
    assert Insight.from_json(insight.to_json()) == insight
    stored = {**insight.to_json(), "gain": None, "of_a_later_version": 1}
    assert np.isnan(Insight.from_json(stored).gain)
