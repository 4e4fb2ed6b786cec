"""What the gate refuses, and what breaks, ends or goes on in words; nothing is lost."""

from __future__ import annotations

import threading

import pytest

from lab import TIMEOUT_S, Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.base import AcquisitionTimeout, InstrumentError
from napari_hae.regions.regions import Regions
from napari_hae.types import dose_electrons
from recording import TRUE_PA, RecordingInstrument

ONE_E = dose_electrons(TRUE_PA, 0.1)


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path, RecordingInstrument())


def failing(lab: Lab, moment: str, error: Exception, *, spectra: int = 3) -> None:
    """Let a moment fail once so many spectra are under way."""

    def fail(which: str) -> None:
        if which == moment and lab.bare.moments["acquire_spectrum"] >= spectra:
            raise error

    lab.bare.at = fail


@pytest.mark.parametrize(
    ("moment", "error"),
    [
        ("acquire_spectrum", InstrumentError("the camera is gone")),
        ("acquire_spectrum", AcquisitionTimeout("no answer within 3 s")),
        ("place_beam", InstrumentError("the scan unit says no")),
        ("unblank", InstrumentError("the blanker is stuck")),
        ("acquire_spectrum", RuntimeError("a bug of a driver")),
    ],
)
def test_an_error_ends_the_run_in_words_with_the_beam_blanked(lab, moment, error):
    failing(lab, moment, error)
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert str(error) in runner.finish_text
    assert not lab.bare.beam.on
    stored = open_run(runner.record.path)
    assert stored.finish_reason is FinishReason.FAILED
    delivered = len(lab.bare.delivered) - 1
    # What was delivered before is on disk; the one that failed is not.
    assert len(stored.measurements) in (delivered, delivered - 1)
    assert len(stored.measurements) >= 2


def test_a_refused_blanking_ends_the_run_and_says_to_blank_by_hand(lab):
    failing(lab, "blank", InstrumentError("the blanker says no"))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert "blank it by hand" in runner.finish_text
    assert runner.finish_text.count("by hand") == 1
    assert len(open_run(runner.record.path).measurements) == 2


def test_a_blanker_that_ignores_silently_ends_the_run_where_it_can_be_read(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument())

    def ignore(which: str) -> None:
        if which == "acquire_spectrum" and lab.bare.moments[which] == 3:
            lab.bare.ignores = {"blank", "abort"}

    lab.bare.at = ignore
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert "still reads as on: blank it by hand" in runner.finish_text
    assert lab.bare.moments["acquire_spectrum"] == 3
    assert len(open_run(runner.record.path).measurements) == 2


def test_a_point_that_took_its_dose_is_left_and_the_run_goes_on(lab):
    """A second run over the same field: what the first one measured is left out."""
    budget = Budget(steps=12, point_dose_e=1.5 * ONE_E)
    first = run(lab.runner(experiment(budget=budget)))
    second = lab.runner(experiment(budget=budget, acquisition=UpperConfidenceBound()))
    refused = []
    second.events.refused.connect(lambda _, reason: refused.append(reason))
    run(second)
    assert second.finish_reason is FinishReason.COMPLETED
    assert len(second.measurements) == 12
    both = path_of(first.measurements) + path_of(second.measurements)
    assert len(set(both)) == 24
    assert all("at one point: the limit is" in reason for reason in refused)
    assert lab.bare.violations == []


def test_an_exposure_longer_than_any_point_may_take_fails_in_words(lab):
    budget = Budget(steps=12, point_dose_e=0.5 * ONE_E)
    runner = run(lab.runner(experiment(budget=budget)))
    assert runner.finish_reason is FinishReason.FAILED
    assert "any place would take" in runner.finish_text


def test_the_local_dose_keeps_neighbours_apart(lab):
    # Pixels are 10 nm apart: two neighbours would share a disc.
    limits = {"local_dose_e_per_nm2": 1.5 * ONE_E / 380, "dose_radius_nm": 11.0}
    runner = run(lab.runner(experiment(budget=Budget(steps=12, **limits))))
    pixels = path_of(runner.measurements)
    assert len(pixels) >= 4
    apart = [
        abs(a[0] - b[0]) + abs(a[1] - b[1]) for a in pixels for b in pixels if a != b
    ]
    assert min(apart) > 1


@pytest.mark.parametrize("says_current", [True, False])
def test_the_budget_holds_over_a_change_of_settings(tmp_path, says_current):
    """What was delivered and discarded counts, though no measurement tells of it."""
    lab = Lab(tmp_path, RecordingInstrument(says_current=says_current))
    budget = Budget(steps=12, dose_e=6.5 * ONE_E, current_pa=TRUE_PA)
    runner = lab.runner(experiment(budget=budget))
    lab.bare.law.limits = budget.dose_limits
    lab.bare.run_from = len(lab.bare.delivered)

    def close_and_change(position) -> None:
        if len(lab.bare.beam.exposed) != 3:
            return
        lab.bare.during_exposure = None
        column = int(position.x * 8)
        runner.set_regions(Regions(forbidden=(column_region("now", column),)))
        longer = budget.model_copy(update={"steps": 13})
        runner.configure(runner.settings.replaced(budget=longer))

    lab.bare.during_exposure = close_and_change
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "dose budget" in runner.finish_text
    assert len(lab.bare.beam.exposed) == 6
    assert len(runner.measurements) == 5
    assert lab.bare.violations == []


def test_an_entered_current_lets_the_dose_be_limited_and_recorded(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument(says_current=False))
    budget = Budget(steps=12, dose_e=5.5 * ONE_E, current_pa=TRUE_PA)
    runner = run(lab.runner(experiment(budget=budget)))
    assert runner.finish_reason is FinishReason.COMPLETED
    stored = open_run(runner.record.path).measurements
    assert [m.spectrum.dose_e for m in stored] == pytest.approx([ONE_E] * 5)


def test_a_limit_without_a_current_is_refused_in_mid_run_and_the_run_goes_on(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument(says_current=False))
    runner = lab.runner(experiment())
    told = []

    def limit(_: object) -> None:
        if not told:
            new = runner.settings.replaced(budget=Budget(steps=12, dose_e=1e9))
            with pytest.raises(ValueError, match="needs the beam current") as caught:
                runner.configure(new)
            told.append(str(caught.value))

    runner.events.measured.connect(limit)
    run(runner)
    assert told
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(runner.measurements) == 12


@pytest.mark.parametrize("is_same_gate", [True, False])
def test_a_resumed_run_goes_on_with_the_dose_it_has_taken(tmp_path, is_same_gate):
    lab = Lab(tmp_path, RecordingInstrument())
    budget = Budget(steps=4, dose_e=6.5 * ONE_E)
    first = run(lab.runner(experiment(budget=budget)))
    assert len(first.measurements) == 4
    if not is_same_gate:
        lab = Lab(tmp_path, RecordingInstrument())
    resumed = run(lab.resumed(first, 12))
    assert resumed.finish_reason is FinishReason.COMPLETED
    assert len(resumed.measurements) == 6


def test_a_run_takes_no_survey_image_of_what_its_regions_close(lab):
    regions = Regions(forbidden=(column_region("fragile", 3),))
    runner = run(lab.runner(experiment(), regions=regions, survey=None))
    assert runner.finish_reason is FinishReason.FAILED
    assert "would expose what regions close to the beam" in runner.finish_text
    assert lab.bare.delivered == []


def test_an_abort_between_the_order_to_start_and_the_start_holds(lab, monkeypatch):
    """The run's thread comes late: it must not lift what was aborted meanwhile."""
    runner = lab.runner(experiment())
    aborted = threading.Event()
    prepare = runner._prepare

    def late() -> object:
        assert aborted.wait(TIMEOUT_S)
        return prepare()

    monkeypatch.setattr(runner, "_prepare", late)
    runner.start()
    runner.abort()
    aborted.set()
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.STOPPED
    assert lab.bare.delivered == []
