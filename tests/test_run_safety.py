"""What the gate refuses, and what breaks, ends or goes on in words; nothing is lost."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from lab import TIMEOUT_S, Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.experiment.choice import Choice
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.journal_events import BookedEvent
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import Budget, DriftSettings, SurveySettings
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.base import AcquisitionTimeout, InstrumentError
from napari_hae.regions.regions import Regions
from napari_hae.types import WHOLE_FIELD, ProbePosition, dose_electrons
from older import as_format_2
from recording import TRUE_PA, RecordingInstrument

ONE_E = dose_electrons(TRUE_PA, 0.1)


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path, RecordingInstrument())


def failing(lab: Lab, moment: str, error: BaseException, *, spectra: int = 3) -> None:
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
        runner.configure(budget=longer)

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
            new = Budget(steps=12, dose_e=1e9)
            with pytest.raises(ValueError, match="needs the beam current") as caught:
                runner.configure(budget=new)
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


class Misstating(RecordingInstrument):
    """States another dose, exposure and place of its spectra than were delivered."""

    def __init__(self, factor: float, *, says_current: bool) -> None:
        super().__init__(says_current=says_current)
        self.factor = factor

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        return replace(
            spectrum,
            dose_e=self.factor * ONE_E,
            exposure_s=exposure_s * max(self.factor, 0.1),
            position=ProbePosition(0.5, 0.5),
        )


@pytest.mark.parametrize("says_current", [True, False])
@pytest.mark.parametrize("factor", [0.0, 3.0])
def test_what_the_gate_booked_decides_what_a_resumed_run_may_take(
    tmp_path, factor, says_current
):
    def lab() -> Lab:
        return Lab(tmp_path, Misstating(factor, says_current=says_current))

    scan_e = dose_electrons(TRUE_PA, 64e-5)
    first_lab = lab()
    budget = Budget(steps=4, dose_e=scan_e + 6.5 * ONE_E, current_pa=TRUE_PA)
    first = run(first_lab.runner(experiment(budget=budget)))
    assert len(first.measurements) == 4
    second = lab()
    resumed = run(second.resumed(first, 12))
    assert "dose budget" in resumed.finish_text
    assert len(second.bare.beam.exposed) == 2
    delivered_e = sum(
        each.dose_e for x in (first_lab, second) for each in x.bare.delivered
    )
    assert delivered_e <= budget.dose_e
    booked = open_run(first.record.path).exposures
    exposed = [*first_lab.bare.beam.exposed, *second.bare.beam.exposed]
    assert [each.where for each in booked] == exposed
    assert [each.dose_e for each in booked] == pytest.approx([ONE_E] * 6)


def with_ended_exposures(lab: Lab, budget: Budget, *which: int):
    """A run in which these exposures, counted from 1, are ended by new zones."""
    runner = lab.runner(experiment(budget=budget))
    closed: list[int] = []

    def close(position) -> None:
        if len(lab.bare.beam.exposed) in which:
            closed.append(int(position.x * 8))
            runner.set_regions(Regions(forbidden=(column_region("now", *closed),)))

    lab.bare.during_exposure = close
    run(runner)
    lab.bare.during_exposure = None
    return runner


@pytest.mark.parametrize("is_same_gate", [True, False])
@pytest.mark.parametrize("says_current", [True, False])
def test_a_resumed_run_counts_what_was_booked_and_came_to_nothing(
    tmp_path, is_same_gate, says_current
):
    lab = Lab(tmp_path, RecordingInstrument(says_current=says_current))
    budget = Budget(steps=2, dose_e=6.5 * ONE_E, current_pa=TRUE_PA)
    first = with_ended_exposures(lab, budget, 1, 3)
    assert len(first.measurements) == 2
    assert len(lab.bare.beam.exposed) == 4
    before = 4
    if not is_same_gate:
        lab, before = Lab(tmp_path, RecordingInstrument(says_current=says_current)), 0
    resumed = run(lab.resumed(first, 12))
    assert resumed.finish_reason is FinishReason.COMPLETED
    assert "dose budget" in resumed.finish_text
    assert len(lab.bare.beam.exposed) - before == 2
    stored = open_run(first.record.path)
    assert [each.beam_on_s for each in stored.exposures] == [0.1] * 6


def test_the_place_of_what_came_to_nothing_has_taken_it(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument())
    budget = Budget(steps=2, point_dose_e=1.5 * ONE_E)
    first = with_ended_exposures(lab, budget, 2)
    lost = lab.bare.beam.exposed[1]
    lab = Lab(tmp_path, RecordingInstrument())
    resumed = lab.resumed(first, 70)
    resumed.set_regions(Regions())
    run(resumed)
    assert resumed.finish_reason is FinishReason.EXHAUSTED
    assert lost not in lab.bare.beam.exposed
    assert len(resumed.measurements) == 63


def test_a_scan_that_a_zone_ended_counts_when_the_run_is_resumed(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument())
    scan_e = dose_electrons(TRUE_PA, 64e-3)
    settings = experiment(
        budget=Budget(steps=2, dose_e=2 * scan_e + 4.5 * ONE_E),
        drift=DriftSettings(every=1, follow=False),
        survey=SurveySettings(dwell_time_s=1e-3),
    )
    runner = lab.runner(settings)

    def close(which: str) -> None:
        if which == "acquire_survey" and lab.bare.moments[which] == 2:
            runner.set_regions(Regions(forbidden=(column_region("now", 3),)))

    lab.bare.at = close
    run(runner)
    assert len(runner.measurements) == 2
    stored = open_run(runner.record.path)
    (scan,) = [each for each in stored.exposures if each.where == WHOLE_FIELD]
    assert scan.dose_e == pytest.approx(scan_e)
    told = [sentence(x) for x in stored.journal if isinstance(x, BookedEvent)]
    assert "A scan of 0.064 s" in told[0]
    assert "came to nothing; its dose counts, because: " in told[0]
    lab = Lab(tmp_path, RecordingInstrument())
    resumed = run(lab.resumed(runner, 12))
    assert "dose budget" in resumed.finish_text
    assert len(resumed.measurements) == 4


def test_an_aborted_exposure_counts_when_the_run_is_resumed(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument())
    runner = lab.runner(experiment(budget=Budget(steps=12, dose_e=6.5 * ONE_E)))

    def abort(_: object) -> None:
        if len(lab.bare.beam.exposed) == 3:
            runner.abort()

    lab.bare.during_exposure = abort
    run(runner)
    assert len(runner.measurements) == 2
    lab = Lab(tmp_path, RecordingInstrument())
    resumed = run(lab.resumed(runner, 12))
    assert len(lab.bare.beam.exposed) == 3
    assert len(resumed.measurements) == 5


def test_an_exposure_that_nobody_waited_for_is_in_the_journal(lab, monkeypatch):
    """The disk is full while the next place is exposed already."""
    monkeypatch.setattr(Choice, "is_known", lambda *_: True)
    runner = lab.runner(experiment())
    write, seventh = runner.record.measurement, threading.Event()

    def look(_: object) -> None:
        if len(lab.bare.beam.exposed) == 7:
            seventh.set()

    def fail(measurement, **more) -> None:
        if measurement.step == 5:
            assert seventh.wait(TIMEOUT_S)
            raise OSError("no space left")
        write(measurement, **more)

    lab.bare.during_exposure = look
    monkeypatch.setattr(runner.record, "measurement", fail)
    run(runner)
    assert "no space left" in runner.finish_text
    # All but the one that could not be written.
    exposed = lab.bare.beam.exposed
    places = [each.where for each in open_run(runner.record.path).exposures]
    assert places == [*exposed[:5], exposed[6]]


def test_a_record_of_before_that_tells_of_no_lost_dose_is_gone_on_with(tmp_path):
    lab = Lab(tmp_path, RecordingInstrument())
    budget = Budget(steps=4, dose_e=6.5 * ONE_E)
    first = with_ended_exposures(lab, budget, 2)
    journal = first.record.path / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    # Nor did its lines have numbers.
    kept = [as_format_2(each) for each in entries if each["event"] != "booked"]
    assert len(kept) == len(entries) - 1
    journal.write_text("".join(json.dumps(each) + "\n" for each in kept))
    lab = Lab(tmp_path, RecordingInstrument())
    resumed = run(lab.resumed(first, 12))
    assert len(resumed.measurements) == 6


def test_the_limits_hold_until_the_last_exposure_has_ended(lab, monkeypatch):
    runner = lab.runner(experiment(budget=Budget(steps=12, dose_e=100 * ONE_E)))
    limit, beams = lab.gate.limit_dose, []

    def look(limits) -> None:
        if limits.is_open:
            names = [each.name for each in threading.enumerate()]
            beams.append([name for name in names if "napari-hae-beam" in name])
        limit(limits)

    monkeypatch.setattr(lab.gate, "limit_dose", look)
    run(runner)
    assert beams == [[]]


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
    assert runner.finish_reason is FinishReason.ABORTED
    assert lab.bare.delivered == []


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("moment", ["acquire_spectrum", "unblank", "place_beam"])
def test_what_would_end_a_thread_ends_the_run_in_words(lab, moment, error):
    failing(lab, moment, error)
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert type(error).__name__ in runner.finish_text
    assert not lab.bare.beam.on
    stored = open_run(runner.record.path)
    assert stored.finish_reason is FinishReason.FAILED
    assert len(stored.measurements) >= 2


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_blanking_that_would_end_the_thread_is_refused_in_words(lab, error):
    failing(lab, "blank", error)
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert type(error).__name__ in runner.finish_text
    assert "blank it by hand" in runner.finish_text
    # The other way.
    assert not lab.bare.beam.on
    assert open_run(runner.record.path).finish_reason is FinishReason.FAILED
