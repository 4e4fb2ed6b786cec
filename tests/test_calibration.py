"""Variances that suit what cross-validation misses."""

import numpy as np
import pytest
import torch

from napari_hae.agent import calibration
from napari_hae.agent.calibration import LEAST, SPENT, variance_scale
from napari_hae.agent.covariance import Covariance, Part

PARTS = (Part("matern52", 2, 0.0, 0.0),)
LOGS = np.log([1.0, 1.5, 0.8, 0.05])


def drawn(covariance, inputs, seed=0):
    """Targets as the covariance has them."""
    dense = covariance(inputs, inputs).numpy() + covariance.noise * np.eye(len(inputs))
    rng = np.random.default_rng(seed)
    values = np.linalg.cholesky(dense) @ rng.standard_normal(len(inputs))
    return torch.from_numpy(values)


def places(count, seed=1, reach=3.0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-reach, reach, (count, 2)))


def left_out(covariance, inputs, targets, known_noise):
    """Squared errors of predictions from all others, in standard deviations."""
    squares = []
    for one in range(len(inputs)):
        others = [i for i in range(len(inputs)) if i != one]
        dense = covariance(inputs[others], inputs[others]).numpy()
        dense += np.diag(covariance.noise + known_noise[others].numpy())
        across = covariance(inputs[others], inputs[[one]]).numpy()[:, 0]
        weights = np.linalg.solve(dense, across)
        variance = covariance.prior_variance - weights @ across
        variance += covariance.noise + float(known_noise[one])
        missed = float(targets[one]) - weights @ targets[others].numpy()
        squares.append(missed**2 / variance)
    return np.array(squares)


def test_errors_are_those_of_leaving_out_each_measurement(monkeypatch):
    monkeypatch.setattr(calibration, "PRIOR_WEIGHT", 0.0)
    covariance, inputs = Covariance(PARTS, LOGS), places(25)
    targets = torch.from_numpy(np.random.default_rng(2).standard_normal(25))
    known = torch.from_numpy(np.random.default_rng(3).uniform(0, 0.2, 25))
    found = variance_scale(covariance, inputs, targets, known, inputs)
    expected = left_out(covariance, inputs, targets, known).mean()
    assert found == pytest.approx(expected * (1 + SPENT / 25))


@pytest.mark.parametrize("claimed_times", [0.1, 1.0])
def test_variances_become_those_that_the_targets_have(claimed_times):
    truth, inputs = Covariance(PARTS, LOGS), places(400, reach=10)
    targets, none = drawn(truth, inputs), torch.zeros(400).double()
    # All variances but that of the mean.
    others = np.r_[0, 0, 1, 1] * np.log(claimed_times)
    claimed = Covariance(PARTS, LOGS + others)
    found = variance_scale(claimed, inputs, targets, none, inputs)
    assert found * claimed_times == pytest.approx(1, rel=0.25)


def test_many_measurements_in_one_place_count_as_what_they_stand_for():
    covariance = Covariance(PARTS, LOGS)
    close, apart = places(30, reach=0.3), places(10, seed=4, reach=8)
    inputs, none = torch.cat([close, apart]), torch.zeros(40).double()
    # What was measured close together says that all is well, the rest that it is not.
    targets = torch.cat([torch.zeros(30), 4 * torch.tensor([1.0, -1.0] * 5)]).double()
    field = places(500, seed=5, reach=8)
    in_the_field = variance_scale(covariance, inputs, targets, none, field)
    of_measurements = variance_scale(covariance, inputs, targets, none, inputs)
    assert in_the_field > 2 * of_measurements


def test_one_measurement_leaves_wide_intervals():
    covariance, inputs = Covariance(PARTS, LOGS), places(1)
    zero = torch.zeros(1).double()
    found = variance_scale(covariance, inputs, zero, zero, places(50))
    assert np.isfinite(found)
    assert found > 4


def test_small_errors_narrow_the_intervals_only_a_little():
    covariance, inputs = Covariance(PARTS, LOGS), places(100)
    zeros = torch.zeros(100).double()
    assert variance_scale(covariance, inputs, zeros, zeros, inputs) == LEAST
