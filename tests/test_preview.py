"""The maps under changed settings are drawn before anybody asks for a proposal."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import blobs
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Exhausted, Policy
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.settings import Budget, ExperimentSettings
from napari_hae.types import EnergyAxis, Measurement, Spectrum

STEPS, POINTS = 8, 4
TRUTH, SURVEY = blobs.truth(), blobs.image()
SETTINGS = ExperimentSettings(
    model=ModelSettings(network="none"),
    initial=InitialDesign(points=POINTS),
    budget=Budget(steps=2 * STEPS),
)
CHANGED = SETTINGS.replaced(
    model=ModelSettings(network="none", kernel="rbf"),
    acquisition=UpperConfidenceBound(beta=9),
)


@pytest.fixture
def make_advisor():
    """Makes agents, and ends their threads."""
    made = []

    def make():
        made.append(Advisor(SURVEY, SETTINGS))
        return made[-1]

    yield make
    for advisor in made:
        advisor.close()


def measured(proposal):
    target = float(TRUTH[proposal.row, proposal.column])
    energy = EnergyAxis(0.0, 0.1, 4)
    counts = np.full(4, target, np.float32)
    spectrum = Spectrum(counts, energy, "EELS", proposal.position, 0.1, 1.0)
    y_nm, x_nm = FieldFrame.of(SURVEY).nm(proposal.position)
    return Measurement(proposal, spectrum, target, x_nm, y_nm, error=math.nan)


def walk(advisor, steps):
    """Take steps, and give their proposals."""
    proposals = []
    for step in steps:
        proposals.append(advisor.ask(step, blobs.ANYWHERE, 0))
        advisor.learn(measured(proposals[-1]))
    return proposals


def change(advisor, settings):
    advisor.drop_ahead()
    advisor.configure(settings)


def look(advisor):
    """Wait until the maps are drawn."""
    advisor.preview(STEPS, blobs.ANYWHERE, 0)
    advisor._preview.result()
    return advisor.maps


def test_a_look_shows_the_maps_that_the_next_proposal_rests_on(make_advisor):
    advisor = make_advisor()
    walk(advisor, range(STEPS))
    before = advisor.maps
    change(advisor, CHANGED)
    seen = look(advisor)
    assert seen.known == STEPS
    assert not np.array_equal(seen.mean, before.mean)
    (proposal,) = walk(advisor, [STEPS])
    assert seen.mean[proposal.row, proposal.column] == pytest.approx(proposal.mean)
    np.testing.assert_array_equal(advisor.maps.acquisition, seen.acquisition)


def test_a_look_leaves_the_path_as_if_nobody_had_looked(make_advisor):
    looked, blind = make_advisor(), make_advisor()
    for advisor in (looked, blind):
        walk(advisor, range(STEPS))
    for settings in (CHANGED, SETTINGS, CHANGED):
        change(looked, settings)
        look(looked)
        change(blind, settings)
    later = range(STEPS, STEPS + 4)
    for one, other in zip(walk(looked, later), walk(blind, later), strict=True):
        assert (one.row, one.column, one.mean) == (other.row, other.column, other.mean)


def test_before_there_are_maps_nobody_looks(make_advisor):
    advisor = make_advisor()
    walk(advisor, range(POINTS - 1))
    change(advisor, CHANGED)
    advisor.preview(POINTS - 1, blobs.ANYWHERE, 0)
    assert advisor._preview is None
    assert advisor.maps is None


def test_what_cannot_be_copied_gives_no_maps_and_the_run_goes_on(
    make_advisor, monkeypatch, caplog
):
    advisor = make_advisor()
    walk(advisor, range(STEPS))
    maps = advisor.maps

    def refuse(*_):
        raise TypeError("cannot pickle a lock")

    monkeypatch.setattr(Policy, "__deepcopy__", refuse, raising=False)
    advisor.configure(CHANGED)
    advisor.preview(STEPS, blobs.ANYWHERE, 0)
    advisor._preview.result()
    advisor.retarget([1.0] * STEPS, [0.1] * STEPS)
    assert advisor.ask(STEPS, blobs.ANYWHERE, 0)
    assert "no maps of what changed settings would choose" in caplog.text
    assert advisor.maps is not maps


def test_nothing_changes_while_a_preview_copies(make_advisor, monkeypatch):
    advisor = make_advisor()
    walk(advisor, range(STEPS))
    happened, begun, may_end = [], threading.Event(), threading.Event()
    configure, wait = Policy.configure, advisor._is_copied.wait

    def slow(policy, memo):
        """Copies until somebody waits for it, or has changed what is copied."""
        begun.set()
        may_end.wait()
        happened.append("copied")
        raise Exhausted

    def change(policy, **sections):
        happened.append("changed")
        may_end.set()
        configure(policy, **sections)

    def wait_for_the_copy():
        may_end.set()
        return wait()

    monkeypatch.setattr(Policy, "__deepcopy__", slow, raising=False)
    monkeypatch.setattr(Policy, "configure", change)
    monkeypatch.setattr(advisor._is_copied, "wait", wait_for_the_copy)
    advisor.preview(STEPS, blobs.ANYWHERE, 0)
    look = advisor._preview
    begun.wait()
    advisor.configure(CHANGED)
    look.result()
    assert happened == ["copied", "changed"]
    assert advisor._preview is None
