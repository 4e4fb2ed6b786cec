"""The agent keeps the interface of the comparison."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import blobs
from bench_adapter import ACQUISITION_FUNCTIONS, Agent

ROWS, COLUMNS = np.indices((blobs.SIDE - 7, blobs.SIDE - 7)).reshape(2, -1) + 4
COORDS = np.stack([ROWS, COLUMNS], axis=1)
TARGETS = blobs.truth()[ROWS, COLUMNS]


@pytest.fixture(scope="module")
def agent():
    agent = Agent(seed=1)
    patches = np.empty((len(COORDS), 64), np.float32)
    agent.setup(blobs.image().data[0], COORDS, patches)
    return agent


@pytest.mark.parametrize("acquisition", ACQUISITION_FUNCTIONS)
def test_a_step_gives_a_new_candidate_and_predicts_all(agent, acquisition):
    known = list(np.random.default_rng(2).choice(len(COORDS), 12, replace=False))
    for _ in range(3):
        answer = agent.step(np.array(known), TARGETS[known], acquisition)
        assert answer["next"] not in known
        known.append(answer["next"])
    mean, std, noise = answer["mean"], answer["std"], answer["noise"]
    assert mean.shape == std.shape == (len(COORDS),)
    assert (std >= 0).all()
    assert 0 < noise < TARGETS.std()


def test_what_was_not_measured_is_predicted(agent):
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        known = rng.choice(len(COORDS), 15, replace=False)
        mean = agent.step(known, TARGETS[known], "EI")["mean"]
        rest = np.setdiff1d(np.arange(len(COORDS)), known)
        found.append(np.corrcoef(mean[rest], TARGETS[rest])[0, 1])
    assert np.mean(found) > 0.7


@pytest.mark.parametrize(
    ("values", "mean", "std"),
    [([], 0.0, 1.0), ([0.3], 0.3, 1.0), ([np.nan, 0.3, np.nan], 0.3, 1.0)],
    ids=["nothing", "one target", "one of three"],
)
def test_too_few_targets_for_a_model_are_predicted_everywhere(agent, values, mean, std):
    known = np.arange(len(values)) + 10 * len(values)
    answer = agent.step(known, np.array(values), "EI")
    assert answer["next"] not in known
    assert 0 <= answer["next"] < len(COORDS)
    np.testing.assert_array_equal(answer["mean"], np.full(len(COORDS), mean))
    np.testing.assert_array_equal(answer["std"], np.full(len(COORDS), std))
    assert answer["noise"] == 0


def test_an_agent_calculates_on_one_thread_whatever_was_set_before():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        Agent().setup(blobs.image().data[0], COORDS, np.empty((len(COORDS), 64)))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_best_are_found_sooner_than_by_chance(agent):
    known = list(np.random.default_rng(3).choice(len(COORDS), 10, replace=False))
    for _ in range(15):
        known.append(agent.step(np.array(known), TARGETS[known], "EI")["next"])
    best = set(np.argsort(-TARGETS)[:10])
    assert len(best & set(known[10:])) >= 4
