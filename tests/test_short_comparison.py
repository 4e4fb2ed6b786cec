"""The short form of the comparison: quality, never time."""

from __future__ import annotations

import numpy as np
import pytest

import short


@pytest.fixture(scope="module")
def outcomes():
    set_ = short.problem()
    pairs = [short.run(set_, seed) for seed in range(short.SEEDS)]
    return [agent for agent, _ in pairs], [chance for _, chance in pairs]


def mean(outcomes, name):
    return np.mean([getattr(outcome, name) for outcome in outcomes])


def median(outcomes, name):
    return np.median([getattr(outcome, name) for outcome in outcomes])


def test_the_agent_comes_closer_to_the_best_than_chance(outcomes):
    agent, chance = outcomes
    assert mean(agent, "regret") < 0.5 * mean(chance, "regret")


def test_the_agent_finds_many_of_the_best(outcomes):
    agent, chance = outcomes
    assert mean(agent, "top_share") > 5 * mean(chance, "top_share")


def test_what_is_not_measured_is_predicted_with_honest_intervals(outcomes):
    agent, chance = outcomes
    # Right after something much better is found, one run of three may be far off.
    assert median(agent, "rmse") < 0.9 * median(chance, "rmse")
    assert 0.9 <= mean(agent, "coverage") <= 0.99
