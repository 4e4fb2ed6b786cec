"""What a run knows of itself is in its record, and read back as it was."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.agent.scalarizers import BandMaximum
from napari_hae.experiment.insight import (
    WINDOW,
    best_so_far,
    curves,
    half_width,
    inside,
    time_curves,
)
from napari_hae.experiment.settings import Budget, LoopSettings
from napari_hae.experiment.stored import open_run
from test_runner import Lab, experiment, path_of, run

NAN = float("nan")


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def watched(**sections):
    """An experiment with an agent that looks at a model."""
    return experiment(
        acquisition=LogExpectedImprovement(),
        model=ModelSettings(network="none"),
        initial=InitialDesign(points=5),
        **sections,
    )


def knowledge(measurements):
    return [(m.proposal.insight, m.outcome) for m in measurements]


def test_insight_outcomes_and_times_are_read_back_as_they_were(lab):
    runner = run(lab.runner(watched()))
    stored = open_run(runner.record.path).measurements
    assert knowledge(stored) == knowledge(runner.measurements)
    assert [m.proposal.insight is None for m in stored] == [True] * 5 + [False] * 7
    for ours, theirs in zip(runner.measurements, stored, strict=True):
        assert theirs.times.to_json() == ours.times.to_json()


def test_a_resumed_run_knows_of_itself_what_the_uninterrupted_one_does(lab):
    whole = run(lab.runner(watched(budget=Budget(steps=16))))
    part = run(lab.runner(watched(budget=Budget(steps=9))))
    resumed = run(lab.resumed(part, 16))
    assert path_of(resumed.measurements) == path_of(whole.measurements)
    assert knowledge(resumed.measurements) == knowledge(whole.measurements)


def test_an_outcome_is_the_measurement_against_what_was_predicted_before(lab):
    runner = run(lab.runner(watched()))
    for m in runner.measurements[5:]:
        noise = m.proposal.insight.fitted_noise_std
        error = 0.0 if np.isnan(m.error) else m.error
        std = np.sqrt(m.proposal.std**2 + noise**2 + error**2)
        assert m.outcome.missed == m.target - m.proposal.mean
        assert m.outcome.deviations == pytest.approx(m.outcome.missed / std)
    assert [m.outcome for m in runner.measurements[:5]] == [None] * 5


def test_other_targets_later_change_no_outcome(lab):
    runner = lab.runner(watched())
    before = {}

    def look(measurement):
        before[measurement.step] = measurement.outcome
        if measurement.step == 8:
            scalarizer = BandMaximum(low_ev=0.3, high_ev=0.6)
            runner.configure(scalarizer=scalarizer)

    runner.events.measured.connect(look)
    run(runner)
    assert any(before[step] for step in range(5, 9))
    for m in (*runner.measurements, *open_run(runner.record.path).measurements):
        assert m.outcome == before[m.step]


def test_a_prediction_has_not_seen_what_it_is_compared_with(lab):
    """The same run up to a measurement, of which only the value differs."""

    def last_before(factor):
        measure = type(lab.bare).acquire_spectrum

        def acquire(self, detector, exposure_s):
            spectrum = measure(self, detector, exposure_s)
            if len(self.beam.exposed) == 8:
                spectrum.counts[:] *= factor
            return spectrum

        lab.bare.beam.exposed.clear()
        lab.bare.acquire_spectrum = acquire.__get__(lab.bare)
        return run(lab.runner(watched(budget=Budget(steps=8)))).measurements[-1]

    one, other = last_before(1.0), last_before(5.0)
    assert one.target != other.target
    assert one.proposal == other.proposal


@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_times_of_a_step_add_up_to_the_time_it_took(lab, lookahead):
    stamps = []
    lab.bare.during_exposure = lambda _: stamps.append(perf_counter())
    settings = watched(loop=LoopSettings(lookahead=lookahead))
    runner = run(lab.runner(settings))
    times = [m.times for m in runner.measurements]
    whole = [t.instrument_s + t.waiting_s + t.human_s for t in times]
    off = sum(whole[1:]) - (stamps[-1] - stamps[0])
    assert -times[0].instrument_s <= off <= times[-1].instrument_s
    assert all(min(t.to_json().values()) >= 0 for t in times)
    assert all(t.agent_s > 0 and t.disk_s > 0 for t in times)


def test_a_pause_is_the_humans_and_not_the_beams_waiting(lab):
    runner = lab.runner(watched(budget=Budget(steps=4)))
    pauses = []

    def pause(state):
        if state == "paused":
            began = perf_counter()
            while perf_counter() - began < 0.3:
                pass
            pauses.append(perf_counter() - began)
            runner.resume()

    runner.events.measured.connect(lambda m: m.step == 1 and runner.pause())
    runner.events.state_changed.connect(pause)
    run(runner)
    assert len(pauses) == 1
    human = [m.times.human_s for m in runner.measurements]
    assert max(human[1:]) >= pauses[0]
    assert sum(each > 0.1 for each in human[1:]) == 1


def test_shares_count_what_lay_inside(lab):
    measurements = run(lab.runner(watched(budget=Budget(steps=30)))).measurements
    deviations = [abs(m.outcome.deviations) for m in measurements if m.outcome]
    for share in (0.5, 0.9):
        limit = half_width(share)
        hits = sum(each <= limit for each in deviations)
        assert inside(measurements, share) == (hits, len(deviations))
    assert half_width(0.9) == pytest.approx(1.6449, abs=1e-4)
    shown = curves(measurements, Goal())
    assert len(deviations) <= WINDOW
    assert shown.shares[1][-1] == inside(measurements, 0.9)[0] / len(deviations)
    assert np.isnan(shown.shares[1][:5]).all()
    assert shown.running_error[-1] == pytest.approx(np.nanmean(np.abs(shown.missed)))


@pytest.mark.parametrize(
    ("goal", "best"),
    [
        (Goal(), [NAN, 2, 2, 5, 5, 5]),
        (Goal(direction="minimise"), [NAN, 2, 1, 1, 1, 0]),
        (Goal(direction="reach", value=3), [NAN, 2, 2, 2, 2, 2]),
    ],
)
def test_the_best_so_far_follows_the_goal(goal, best):
    targets = np.array([NAN, 2, 1, 5, NAN, 0])
    np.testing.assert_array_equal(best_so_far(targets, goal), best)
    for count in range(1, len(targets) + 1):
        assert goal.best(targets[:count]) == pytest.approx(best[count - 1], nan_ok=True)


def test_predictions_of_another_target_are_left_out_of_the_curves(lab):
    runner = lab.runner(watched())

    def change(measurement):
        if measurement.step == 8:
            scalarizer = BandMaximum(low_ev=0.3, high_ev=0.6)
            runner.configure(scalarizer=scalarizer)

    runner.events.measured.connect(change)
    run(runner)
    for measurements in (
        runner.measurements,
        open_run(runner.record.path).measurements,
    ):
        shown = curves(measurements, Goal())
        assert np.isfinite(shown.target).all()
        for name in ("mean", "std", "missed", "running_error", "mean_std"):
            known = np.flatnonzero(np.isfinite(getattr(shown, name)))
            assert list(known) == [9, 10, 11], name
        assert shown.running_error[9] == abs(shown.missed[9])
        # Shares have no unit.
        assert np.isfinite(shown.shares[0][5:]).all()


def test_a_discarded_measurement_leaves_the_curves_of_the_others(lab):
    runner = lab.runner(watched())

    def change(measurement):
        if measurement.step == 8:
            runner.discard(8, is_discarded=True)

    runner.events.measured.connect(change)
    run(runner)
    shown = curves(runner.measurements, Goal())
    assert np.isnan(shown.target[8])
    assert np.isfinite(shown.mean[5:]).all()


def test_where_no_target_is_left_no_prediction_is_of_it(lab):
    measurements = run(lab.runner(watched())).measurements
    none = [replace(m, target=NAN) for m in measurements]
    shown = curves(none, Goal())
    for values in (shown.mean, shown.std, shown.mean_std, shown.running_error):
        assert np.isnan(values).all()


def test_without_measurements_there_are_empty_curves():
    assert len(curves([], Goal()).best) == 0
    assert np.isnan(time_curves([]).beam_share)
