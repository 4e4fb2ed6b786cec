"""The scripted operator steers by what the product offers, and leaves it on record."""

from __future__ import annotations

import json

import pytest

from operator_samples import SAMPLES
from operator_study import run, settings_of
from scripted_operator import EDGES, HABITS, LOOKS, PAINTS, VOTES

SEED = 101
"""One with which the operator comes to do all of it in 20 steps."""


def entries(path, event):
    lines = (path / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == event]


@pytest.fixture(scope="module")
def steered(tmp_path_factory):
    path = tmp_path_factory.mktemp("steered") / "run.hae"
    return run(SAMPLES["decoy"](SEED), settings_of(SEED, 20), HABITS, path), path


def test_the_operator_does_on_the_decoy_what_a_person_would(steered):
    ending, _ = steered
    assert {what for _, what in ending.acts} >= {LOOKS, PAINTS, EDGES, VOTES}


def test_what_it_did_is_in_the_journal(steered):
    _, path = steered
    painted = entries(path, "regions")[-1]["regions"]
    assert [zone["name"] for zone in painted["forbidden"]] == ["artefact"]
    assert painted["interest"][0]["edges_nm"] > 0
    assert {vote["vote"] for vote in entries(path, "vote")} == {"good", "bad"}
    assert all(e["why"] == "artefact" for e in entries(path, "discard"))
    assert entries(path, "discard")


def test_it_paints_over_the_decoy_and_not_over_the_goal(steered):
    ending, path = steered
    sample = SAMPLES["decoy"](SEED)
    since = next(known for known, what in ending.acts if what == PAINTS)
    later = [e for e in entries(path, "proposal") if e["step"] >= since]
    assert later
    assert all(sample.contamination[e["row"], e["column"]] < 0.1 for e in later)


def test_the_same_seed_gives_the_same_run(steered, tmp_path):
    ending, _ = steered
    again = run(
        SAMPLES["decoy"](SEED), settings_of(SEED, 20), HABITS, tmp_path / "run.hae"
    )
    assert again == ending


def test_without_habits_nothing_is_steered(tmp_path):
    path = tmp_path / "run.hae"
    ending = run(SAMPLES["decoy"](SEED), settings_of(SEED, 14), (), path)
    assert not ending.acts
    assert not any(entries(path, e) for e in ("regions", "vote", "discard", "queue"))
