"""What a methods developer brings may fail or be sloppy: nothing measured is lost."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import zarr

from fakes import ENERGY, FakeInstrument
from lab import TIMEOUT_S, Lab, experiment, path_of, run
from napari_hae.agent.acquisition import AcquisitionFunction, LogExpectedImprovement
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.scalarizers import BandIntegral, Scalarizer
from napari_hae.agent.user_function import UserFunction
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.feasible import put_back
from napari_hae.experiment.record import ARRAYS
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    ExperimentSettings,
    LoopSettings,
    MeasurementSettings,
)
from napari_hae.experiment.stored import open_run


class Counted(Scalarizer):
    """A sum of counts that is done in a way of its own, and counts its calls."""

    title = "Counted"
    kind: Literal["counted"] = "counted"

    def __call__(self, spectrum):
        CALLS.append(spectrum)
        return self.value_of(spectrum)

    def value_of(self, spectrum):
        return spectrum.counts.sum()


class FailsAtSixth(Counted):
    def value_of(self, spectrum):
        if len(CALLS) == 6:
            raise KeyError("peak")
        return spectrum.counts.sum()


class Nothing(Counted):
    def value_of(self, spectrum):
        return None


class SaysNothingOnce(Counted):
    def error(self, spectrum):
        return np.inf if len(CALLS) == 8 else 0.1


CALLS: list = []


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def with_scalarizer(scalarizer, **sections) -> ExperimentSettings:
    """Settings with a scalarizer that no plugin names."""
    return experiment(**sections).model_copy(update={"scalarizer": scalarizer})


def entries(runner, event):
    lines = (runner.record.path / "journal.jsonl").read_text().splitlines()
    return [x for x in map(json.loads, lines) if x["event"] == event]


def at_a_pause(runner, step):
    """Start, and wait until so many steps are done."""
    paused = threading.Event()
    runner.events.measured.connect(lambda m: m.step == step - 1 and runner.pause())
    runner.events.state_changed.connect(
        lambda state: state is RunPhase.PAUSED and paused.set()
    )
    runner.start()
    assert paused.wait(TIMEOUT_S)


def test_numbers_of_numpy_are_numbers(lab):
    runner = run(lab.runner(with_scalarizer(Counted())))
    assert runner.finish_reason is FinishReason.COMPLETED
    sums = [float(m.spectrum.counts.sum()) for m in runner.measurements]
    assert [m.target for m in runner.measurements] == sums
    assert [each["target"] for each in entries(runner, "measurement")] == sums


@pytest.mark.parametrize("lookahead", [0, 1])
def test_spectra_are_kept_where_their_scalarizer_fails(lab, lookahead):
    loop = LoopSettings(lookahead=lookahead)
    runner = run(lab.runner(with_scalarizer(FailsAtSixth(), loop=loop)))
    assert runner.finish_reason is FinishReason.FAILED
    assert "'Counted' gave no number for the spectrum of step 6" in runner.finish_text
    assert "KeyError" in runner.finish_text
    # With look-ahead the next one may be exposed already.
    targets = [each["target"] for each in entries(runner, "measurement")]
    assert len(lab.bare.beam.exposed) == len(targets) <= 6 + lookahead
    assert None not in targets[:5]
    assert set(targets[5:]) == {None}
    kept = zarr.open_group(runner.record.path / ARRAYS, mode="r")["spectra"][5]
    np.testing.assert_array_equal(kept, CALLS[-1].counts)


def test_what_is_no_number_is_named(lab):
    runner = run(lab.runner(with_scalarizer(Nothing())))
    assert runner.finish_reason is FinishReason.FAILED
    assert "'Counted' gave no number for the spectrum of step 1" in runner.finish_text
    assert len(entries(runner, "measurement")) == len(lab.bare.beam.exposed)


def test_repeats_are_kept_where_the_scalarizer_fails_between_them(lab):
    settings = with_scalarizer(
        FailsAtSixth(),
        measurement=MeasurementSettings(relative_error=1e-6, longest_exposure_s=1),
    )
    runner = run(lab.runner(settings))
    assert runner.finish_reason is FinishReason.COMPLETED
    told = sum(each["exposure_s"] for each in entries(runner, "measurement"))
    exposure_s = settings.measurement.exposure_s
    assert told == pytest.approx(exposure_s * len(lab.bare.beam.exposed))


def test_an_error_without_end_leaves_its_spectrum_out(lab):
    settings = with_scalarizer(
        SaysNothingOnce(),
        acquisition=LogExpectedImprovement(),
        loop=LoopSettings(lookahead=0),
    )
    runner = run(lab.runner(settings))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert [m.step for m in runner.measurements if not m.usable] == [7]
    insights = [m.proposal.insight for m in runner.measurements[5:]]
    assert not any(insight.fit_failed for insight in insights)


def test_a_discard_scores_one_spectrum(lab):
    runner = lab.runner(with_scalarizer(Counted()))
    at_a_pause(runner, 6)
    CALLS.clear()
    left = 12 - len(runner.measurements)
    runner.discard(2)
    runner.discard(3)
    runner.discard(3, is_discarded=False)
    runner.step()
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    # The one that is taken in again, and those that are measured.
    assert len(CALLS) == 1 + left
    assert [m.step for m in runner.measurements if not m.usable] == [2]


def test_a_function_that_was_edited_counts_from_the_next_run_on(lab, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def value(signal):\n    return 1.0\n")
    settings = experiment(scalarizer=UserFunction(path=f"{file}:value"))
    runner = lab.runner(settings)
    at_a_pause(runner, 6)
    file.write_text("def value(signal):\n    return 22.0\n")
    # Not in its middle, whatever else is changed.
    runner.configure(budget=Budget(steps=10))
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert {m.target for m in runner.measurements} == {1.0}
    assert {m.target for m in run(lab.runner(settings)).measurements} == {22.0}


@pytest.mark.parametrize("lookahead", [0, 1])
def test_what_a_function_failed_on_has_a_value_when_it_is_mended(
    lab, tmp_path, lookahead
):
    file = tmp_path / "mine.py"
    broken = "COUNT = []\ndef value(signal):\n    COUNT.append(1)\n"
    file.write_text(f"{broken}    return 1.0 / (len(COUNT) != 6)\n")
    settings = experiment(
        scalarizer=UserFunction(path=f"{file}:value"),
        loop=LoopSettings(lookahead=lookahead),
    )
    runner = run(lab.runner(settings))
    assert "ZeroDivisionError" in runner.finish_text
    file.write_text("def value(signal):\n    return 1.0\n")
    resumed = run(lab.resumed(runner, 12))
    assert resumed.finish_reason is FinishReason.COMPLETED
    assert [m.target for m in resumed.measurements] == [1.0] * 12
    stored = open_run(resumed.record.path)
    assert [m.target for m in stored.measurements] == [1.0] * 12


def test_a_function_that_fails_on_what_was_measured_leaves_the_old_one_in_force(
    lab, tmp_path
):
    file = tmp_path / "mine.py"
    file.write_text("COUNT = []\ndef value(signal):\n    return COUNT[0]\n")
    settings = experiment()
    runner = lab.runner(settings)
    at_a_pause(runner, 6)
    mine = UserFunction(path=f"{file}:value")
    runner.configure(scalarizer=mine)
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.FAILED
    stored = open_run(runner.record.path)
    assert stored.settings.scalarizer.kind == "band_integral"
    assert all(m.usable for m in stored.measurements)


def test_a_file_with_a_dataclass_can_be_loaded(tmp_path):
    file = tmp_path / "modern.py"
    file.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Peak:\n    height: float\n"
        "def value(signal):\n    return Peak(3.0).height\n"
    )
    UserFunction(path=f"{file}:value").check(ENERGY)


class ReusesItsBuffer(FakeInstrument):
    """Hands over the same memory each time, as many detectors' libraries do."""

    buffer = np.zeros(ENERGY.size, np.float32)

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        self.buffer[:] = spectrum.counts
        return replace(spectrum, counts=self.buffer)


class WrongShape(FakeInstrument):
    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        return replace(spectrum, counts=spectrum.counts[None])


def test_an_instrument_may_use_the_memory_of_a_spectrum_again(tmp_path):
    plain, reusing = Lab(tmp_path / "a"), Lab(tmp_path / "b", ReusesItsBuffer())
    wanted, found = (
        open_run(run(lab.runner(experiment())).record.path) for lab in (plain, reusing)
    )
    assert path_of(found.measurements) == path_of(wanted.measurements)
    for one, other in zip(found.measurements, wanted.measurements, strict=True):
        np.testing.assert_array_equal(one.spectrum.counts, other.spectrum.counts)


def test_counts_of_another_shape_are_refused_in_words(tmp_path):
    lab = Lab(tmp_path, WrongShape())
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert "shape (1, 16) with an energy axis of 16 channels" in runner.finish_text
    # What was exposed is in the record's dose.
    assert len(entries(runner, "booked")) == len(lab.bare.beam.exposed) == 1


INFEASIBLE = [
    ({"measurement": MeasurementSettings(exposure_s=100)}, "an exposure of 100 s"),
    ({"measurement": MeasurementSettings(detector="EDX")}, "no spectrum detector"),
    ({"drift": DriftSettings(every=5, dwell_time_s=50)}, "a dwell time of 50 s"),
    ({"model": ModelSettings(weights=__file__)}, "holds no weights"),
]


@pytest.mark.parametrize(("sections", "words"), INFEASIBLE)
def test_what_the_instrument_cannot_do_is_refused_and_the_run_goes_on(
    lab, sections, words
):
    settings = experiment()
    runner = lab.runner(settings)
    at_a_pause(runner, 6)
    with pytest.raises(ValueError, match=words):
        runner.configure(**sections)
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.COMPLETED


@pytest.mark.parametrize(("sections", "words"), INFEASIBLE)
def test_what_it_cannot_do_ends_the_run_before_the_first_electron(lab, sections, words):
    runner = run(lab.runner(experiment(**sections)))
    assert runner.finish_reason is FinishReason.FAILED
    assert words in runner.finish_text
    assert lab.gate.dose_e == 0


@pytest.mark.parametrize("pixel", [(9, 3), (-1, 3), (3, 8)])
def test_places_outside_of_the_image_are_refused_and_the_run_goes_on(lab, pixel):
    runner = lab.runner(experiment())
    at_a_pause(runner, 6)
    for order in (
        lambda: runner.measure_next([pixel]),
        lambda: runner.keep_out(*pixel),
    ):
        with pytest.raises(ValueError, match="not in the survey image of 8 × 8"):
            order()
    assert runner.queue.pixels == ()
    places = [tuple(each) for each in np.argwhere(np.ones((8, 8)))]
    free = [each for each in places if each not in path_of(runner.measurements)]
    done = len(runner.measurements)
    runner.measure_next(free[:2])
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert path_of(runner.measurements)[done : done + 2] == free[:2]


class Column(AcquisitionFunction):
    title = "Column"
    kind: Literal["column"] = "column"

    def __call__(self, posterior, best, rng):
        return posterior.mean[:, None]


class ChangesTheMean(AcquisitionFunction):
    title = "In place"
    kind: Literal["in_place"] = "in_place"

    def __call__(self, posterior, best, rng):
        values = posterior.mean
        values -= best
        return values


@pytest.mark.parametrize(
    ("acquisition", "words"),
    [
        (Column(), r"'Column' gave values of shape (64, 1)"),
        (ChangesTheMean(), r"'In place' failed: ValueError: output array is read-only"),
    ],
)
def test_an_acquisition_function_that_is_no_such_is_named(lab, acquisition, words):
    settings = experiment().model_copy(update={"acquisition": acquisition})
    runner = run(lab.runner(settings))
    assert runner.finish_reason is FinishReason.FAILED
    assert words in runner.finish_text


def test_the_agent_has_one_thread_also_when_it_is_put_in_charge_later(lab):
    import torch

    torch.set_num_threads(2)
    settings = experiment(scalarizer=BandIntegral())
    runner = lab.runner(settings)
    at_a_pause(runner, 6)
    runner.configure(acquisition=LogExpectedImprovement())
    threads = []
    runner.events.proposed.connect(
        lambda _: threads.append(
            runner._loop._advisor._worker.submit(torch.get_num_threads).result()
        )
    )
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert set(threads) == {1}


def test_settings_of_another_instrument_that_this_one_cannot_have_are_put_back(lab):
    able = lab.gate.capabilities()
    low_s, high_s = able.exposure_s.low, able.exposure_s.high
    fine = experiment(scalarizer=BandIntegral(low_ev=0.3, high_ev=0.6))
    assert put_back(fine, able) == {}
    other = fine.replaced(
        measurement=MeasurementSettings(exposure_s=high_s * 100, detector="EDX"),
        scalarizer=BandIntegral(low_ev=700, high_ev=720),
    )
    back = put_back(other, able)
    assert back["measurement"].detector == ""
    assert low_s <= back["measurement"].exposure_s <= high_s
    assert back["scalarizer"].is_automatic
    assert put_back(other.replaced(**back), able) == {}
