from __future__ import annotations

import numpy as np
import pytest

from napari_hae.agent.acquisition import (
    ExpectedImprovement,
    LogExpectedImprovement,
    MaximumUncertainty,
)
from napari_hae.agent.exposure_cost import expected_exposure_s

RATES = np.linspace(10, 1000, 200)
VALUES, COST = np.array([0.5, 2.0, 1.0]), np.array([1.0, 4.0, 1.5])


def test_exposures_that_follow_counting_statistics_are_expected_again():
    rng = np.random.default_rng(0)
    measured = rng.permutation(RATES)[:80]
    mean = np.array([100.0, 300.0, 900.0])
    expected = expected_exposure_s(mean, measured, 50 / measured)
    np.testing.assert_allclose(expected, 50 / mean, rtol=0.1)


def test_beyond_what_was_measured_exposures_are_as_at_the_end():
    expected = expected_exposure_s(np.array([-5.0, 1e9]), RATES, 50 / RATES)
    assert expected[0] == expected_exposure_s(RATES[:1], RATES, 50 / RATES)[0]
    assert 50 / 1000 <= expected[1] < 50 / 950


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_few_measurements_suffice(count):
    expected = expected_exposure_s(RATES, RATES[:count], np.full(count, 0.3))
    np.testing.assert_allclose(expected, 0.3)


def test_improvements_are_divided_by_their_cost_also_in_logarithms():
    per_cost = ExpectedImprovement().per_cost(VALUES, COST)
    np.testing.assert_allclose(per_cost, VALUES / COST)
    logs = LogExpectedImprovement().per_cost(np.log(VALUES), COST)
    np.testing.assert_allclose(logs, np.log(per_cost))


def test_what_is_no_gain_is_not_divided():
    assert MaximumUncertainty().per_cost(VALUES, COST) is VALUES
