"""A run that waits for its model says for what."""

from __future__ import annotations

import threading

import pytest

from lab import TIMEOUT_S, Lab, experiment
from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.policy import FITTING, LOADING, Policy
from napari_hae.agent.surrogate import Surrogate
from napari_hae.experiment import advisor
from napari_hae.experiment import runner as running
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.settings import LoopSettings


class Held:
    """Holds a function where it is called first: set `goes_on` when it `is_there`."""

    def __init__(self, monkeypatch, of, name, before=lambda _: None) -> None:
        self.is_there, self.goes_on = threading.Event(), threading.Event()
        usual = getattr(of, name)

        def held(first, *args, **more):
            before(first)
            self.is_there.set()
            assert self.goes_on.wait(TIMEOUT_S)
            return usual(first, *args, **more)

        monkeypatch.setattr(of, name, held)


@pytest.fixture(autouse=True)
def is_told_at_once(monkeypatch):
    monkeypatch.setattr(advisor, "LONG_S", 0.0)


def test_loading_and_fitting_of_the_model_are_named(tmp_path, monkeypatch):
    def loading(policy):
        policy.doing = LOADING

    loads = Held(monkeypatch, Policy, "_new_surrogate", loading)
    fits = Held(monkeypatch, Surrogate, "fit")
    settings = experiment(
        acquisition=LogExpectedImprovement(), loop=LoopSettings(lookahead=0)
    )
    runner = Lab(tmp_path).runner(settings)
    assert runner.waits_for == ""
    runner.start()
    assert loads.is_there.wait(TIMEOUT_S)
    assert runner.waits_for == LOADING
    loads.goes_on.set()
    assert fits.is_there.wait(TIMEOUT_S)
    assert runner.waits_for == FITTING
    fits.goes_on.set()
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert runner.waits_for == ""


def test_what_comes_before_the_first_step_is_named(tmp_path, monkeypatch):
    surveys = Held(monkeypatch, running, "acquire_survey")
    lab = Lab(tmp_path)
    runner = lab.runner(experiment())
    runner.start()
    assert surveys.is_there.wait(TIMEOUT_S)
    assert runner.waits_for == "taking the survey image"
    surveys.goes_on.set()
    assert runner.wait(TIMEOUT_S)
    taken_up = Held(monkeypatch, running.Loop, "take_up")
    resumed = lab.resumed(runner, 14)
    resumed.start()
    assert taken_up.is_there.wait(TIMEOUT_S)
    assert resumed.waits_for == "leading the agent through the 12 steps so far"
    taken_up.goes_on.set()
    assert resumed.wait(TIMEOUT_S)
    assert len(resumed.measurements) == 14
