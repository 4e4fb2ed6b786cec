from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import integrate, stats

from napari_hae.agent.goal import Goal
from napari_hae.agent.posterior import Posterior

TARGETS = np.array([3.0, np.nan, 1.0, 2.2])


@pytest.mark.parametrize(
    ("goal", "best"),
    [
        (Goal(), 3.0),
        (Goal(direction="minimise"), 1.0),
        (Goal(direction="reach", value=2.0), 2.2),
    ],
)
def test_the_best_target_is_that_of_the_largest_utility(goal, best):
    assert goal.best(TARGETS) == best
    utilities = goal.utility_of(TARGETS)
    assert np.isnan(utilities[1])
    assert goal.utility_of(best) == np.nanmax(utilities)


def test_without_any_number_there_is_no_best():
    assert np.isnan(Goal().best([]))
    assert np.isnan(Goal().best([float("nan")]))


def test_reaching_needs_a_value():
    with pytest.raises(ValidationError, match="'reach' needs a value"):
        Goal(direction="reach")


def posterior(mean, std):
    mean, std = np.array(mean, dtype=float), np.array(std, dtype=float)
    return Posterior(
        mean=mean, std=std, sample=lambda rng: mean + std * rng.standard_normal()
    )


def test_minimising_turns_the_posterior_round():
    utility = Goal(direction="minimise").utility(posterior([1.0, 2.0], [0.1, 0.2]))
    assert utility.mean.tolist() == [-1.0, -2.0]
    assert utility.std.tolist() == [0.1, 0.2]
    assert utility.sample(np.random.default_rng(0))[0] < 0


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (2.3, 0.4), (-1.0, 3.0)])
def test_the_utility_of_reaching_has_the_moments_of_the_integral(mean, std):
    value = 1.5
    utility = Goal(direction="reach", value=value).utility(posterior([mean], [std]))

    def moment(power):
        def integrand(t):
            return (-abs(t - value)) ** power * stats.norm.pdf(t, mean, std)

        low, high = mean - 12 * std, mean + 12 * std
        return integrate.quad(integrand, low, high, points=[value])[0]

    assert utility.mean[0] == pytest.approx(moment(1))
    assert utility.std[0] == pytest.approx(np.sqrt(moment(2) - moment(1) ** 2))


def test_far_from_the_value_reaching_is_approaching():
    utility = Goal(direction="reach", value=0.0).utility(posterior([1e6], [1e-3]))
    assert utility.mean[0] == pytest.approx(-1e6)
    assert utility.std[0] <= 1.0


def test_a_sample_of_the_utility_is_the_utility_of_a_sample():
    prior = posterior([1.0, 5.0], [0.5, 0.5])
    goal = Goal(direction="reach", value=2.0)
    sample = goal.utility(prior).sample(np.random.default_rng(3))
    expected = goal.utility_of(prior.sample(np.random.default_rng(3)))
    np.testing.assert_array_equal(sample, expected)
