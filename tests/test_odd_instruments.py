"""Runs with instruments that deliver what they should not, or change in mid-run."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from drifting import DriftLab, drift_experiment, drifting
from lab import Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.agent.scalarizers import BandIntegral, BandMaximum
from napari_hae.cli import main
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.branch import branch
from napari_hae.experiment.common_axis import CommonAxis
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.feasible import preflight
from napari_hae.experiment.plans import AgentPlan, RasterPlan
from napari_hae.experiment.progress import OTHER_AXES, REFUSALS
from napari_hae.experiment.record import JOURNAL, Record
from napari_hae.experiment.registration import NotRegistered, register
from napari_hae.experiment.report import write_report
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, LoopSettings, MeasurementSettings
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.survey import acquire_survey
from napari_hae.experiment.votes import Vote, target_spectrum
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.base import FieldChanged, InstrumentError, Interval
from napari_hae.instruments.gate import GuardedInstrument, Unconstrained
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.regions.regions import Regions
from napari_hae.types import BeamState, EnergyAxis, ProbePosition
from odd_instruments import (
    Magnified,
    OddImages,
    OddSpectra,
    WithoutBand,
    of_length,
    shifted,
    with_data,
    with_field,
)

NAN = math.nan
HALF = ProbePosition(0.5, 0.5)


def events_of(runner, *kinds: str) -> list[dict]:
    lines = (runner.record.path / JOURNAL).read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if entry["event"] in kinds]


def warnings_of(runner) -> list[str]:
    return [entry["text"] for entry in events_of(runner, "warning")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_field(NAN, 0.0), "field of view of nan × 0 nm"),
        (with_field(-80.0, 80.0), "field of view of -80 × 80 nm"),
        (with_field(math.inf, 80.0), "field of view of inf × 80 nm"),
        (with_field(1e15, 80.0), "field of view of 1e\\+15 × 80 nm"),
        (with_field(40.0, 40.0), "shows 40 × 40 nm, and by the field"),
        (lambda image: with_data(image, NAN), "by HAADF has no pixel that is a finite"),
        (lambda image: replace(image, data=image.data[:, :4]), "4 × 8 pixels"),
        (lambda image: replace(image, data=image.data[:, :0, :0]), "0 × 0 pixels"),
        (lambda image: replace(image, data=image.data[0]), "shape \\(8, 8\\)"),
        (lambda image: replace(image, detectors=("BF",)), "8 × 8 pixels by BF"),
        (lambda image: replace(image, data=image.data * 1j), "complex"),
        (lambda image: replace(image, dwell_time_s=NAN), "dwell time of nan s"),
    ],
)
def test_an_image_that_no_run_can_rest_on_is_refused_in_words(tmp_path, change, says):
    lab = Lab(tmp_path, OddImages(change))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(runner.finish_text)
    assert not lab.bare.beam.exposed
    assert lab.gate.status().beam is BeamState.BLANKED
    assert not events_of(runner, "survey", "proposal")


def test_an_image_of_a_record_that_is_none_is_refused_too(tmp_path):
    lab = Lab(tmp_path)
    survey = acquire_survey(lab.gate, experiment().survey)
    runner = run(lab.runner(experiment(), survey=replace(survey, fov_nm=(NAN, 0.0))))
    assert "field of view of nan × 0 nm" in runner.finish_text
    assert not events_of(runner, "proposal")


def test_images_of_any_number_type_are_taken_as_float32(tmp_path):
    lab = Lab(tmp_path, OddImages(lambda i: replace(i, data=i.data.astype(np.uint16))))
    survey = acquire_survey(lab.gate, experiment().survey)
    assert survey.data.dtype == np.float32


def test_a_flat_image_is_told_of_with_its_detector_and_the_run_goes_on(tmp_path):
    lab = Lab(tmp_path, OddImages(lambda image: with_data(image, 7.0)))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    (text,) = warnings_of(runner)
    assert "by HAADF shows nothing: all its pixels are 7" in text
    assert "survey.detectors" in text


def test_missing_pixels_are_told_of_once_also_when_the_run_is_resumed(tmp_path):
    def without_one(image):
        data = image.data.copy()
        data[0, 2, 3] = NAN
        return replace(image, data=data)

    lab = Lab(tmp_path, OddImages(without_one))
    runner = run(lab.runner(experiment()))
    (text,) = warnings_of(runner)
    assert "1 of 64 pixels" in text
    assert np.isnan(open_run(runner.record.path).survey.data[0, 2, 3])
    resumed = run(lab.resumed(runner, 14))
    assert len(warnings_of(resumed)) == 1


class RefusesAll(Regions):
    """The mask is open, and the gate refuses every place all the same."""

    def allows(self, y_nm, x_nm):
        return "is not to be measured"


@pytest.mark.parametrize("plan", [AgentPlan(), RasterPlan()])
def test_proposals_that_are_refused_again_and_again_end_a_run_in_words(tmp_path, plan):
    lab = Lab(tmp_path)
    runner = run(lab.runner(experiment(plan=plan), regions=RefusesAll()))
    assert runner.finish_reason is FinishReason.FAILED
    assert f"{REFUSALS} proposals in a row were refused" in runner.finish_text
    assert "is not to be measured" in runner.finish_text
    assert len(events_of(runner, "refusal")) == REFUSALS
    assert not lab.bare.beam.exposed


def test_proposals_that_are_refused_again_and_again_pause_an_attended_run(tmp_path):
    lab = Lab(tmp_path)
    runner = lab.runner(experiment(), regions=RefusesAll(), attended=True)
    warned = []
    runner.events.warned.connect(warned.append)

    def open_all(state: RunPhase) -> None:
        if state is RunPhase.PAUSED:
            runner.set_regions(Regions())
            runner.resume()

    runner.events.state_changed.connect(open_all)
    over = []
    runner.events.warning_over.connect(over.append)
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    (text,) = warned
    assert text.startswith("The run is paused:")
    assert over == [text]
    assert len(runner.measurements) == 12


def short(*steps: int):
    """Spectra of one channel at some steps."""
    return lambda number, seen: of_length(seen, 1) if number in steps else seen


@pytest.mark.parametrize("lookahead", [0, 1])
def test_spectra_of_another_length_are_set_aside_and_kept(tmp_path, lookahead):
    settings = experiment(loop=LoopSettings(lookahead=lookahead))
    lab = Lab(tmp_path, OddSpectra(short(2, 6, 8)))
    runner = run(lab.runner(settings))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert [m.step for m in runner.measurements if not m.usable] == [2, 6, 8]
    past = open_run(runner.record.path)
    for here, there in zip(runner.measurements, past.measurements, strict=True):
        assert np.array_equal(here.spectrum.counts, there.spectrum.counts)
        assert here.spectrum.energy == there.spectrum.energy
    said = warnings_of(runner)
    assert len(said) == 3
    assert said[1].startswith("Step 7 is set aside: its spectrum has 1 channel from")
    assert "those of the run have 16 channels" in said[1]


def test_a_run_with_odd_spectra_is_gone_on_with_as_if_it_had_not_been_left(tmp_path):
    settings = experiment(acquisition=UpperConfidenceBound())
    whole = run(Lab(tmp_path / "one", OddSpectra(short(2, 6))).runner(settings))
    lab = Lab(tmp_path / "two", OddSpectra(short(2, 6)))
    half = run(lab.runner(settings.replaced(budget=Budget(steps=8))))
    resumed = run(lab.resumed(half, 12))
    assert path_of(resumed.measurements) == path_of(whole.measurements)
    targets = [m.target for m in whole.measurements]
    assert np.array_equal(
        [m.target for m in resumed.measurements], targets, equal_nan=True
    )


def test_another_scalarizer_and_an_automatic_band_leave_odd_spectra_out(tmp_path):
    lab = Lab(tmp_path, OddSpectra(short(1, 6)))
    settings = experiment(scalarizer=BandMaximum(low_ev=0.2, high_ev=0.5))
    runner = lab.runner(settings)

    def change(measurement) -> None:
        if measurement.step == 7:
            runner.configure(settings.replaced(scalarizer=BandIntegral()))

    runner.events.measured.connect(change)
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert runner.settings.scalarizer.band_ev is not None
    assert [m.step for m in runner.measurements if not m.usable] == [1, 6]


def test_an_axis_that_is_off_by_less_than_half_a_channel_belongs_to_the_run(tmp_path):
    def change(number, seen):
        return shifted(seen, {3: 0.04, 5: 0.06}.get(number, 0.0))

    runner = run(Lab(tmp_path, OddSpectra(change)).runner(experiment()))
    assert [m.step for m in runner.measurements if not m.usable] == [5]


@pytest.mark.parametrize("since", [1, 5])
def test_a_run_of_nothing_but_odd_spectra_ends_in_words(tmp_path, since):
    lab = Lab(tmp_path, OddSpectra(short(*range(since, 99))))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert f"{OTHER_AXES} spectra in a row were set aside" in runner.finish_text
    assert len(open_run(runner.record.path).measurements) == since + OTHER_AXES
    assert lab.gate.status().beam is BeamState.BLANKED


def test_a_run_of_nothing_but_odd_spectra_pauses_where_somebody_is_there(tmp_path):
    lab = Lab(tmp_path, OddSpectra(short(*range(4, 99))))
    runner = lab.runner(experiment(), attended=True)
    states = []

    def mend(state: RunPhase) -> None:
        states.append(state)
        if state is RunPhase.PAUSED:
            assert not lab.bare.beam.on
            lab.bare.change = short()
            runner.resume()

    runner.events.state_changed.connect(mend)
    over = []
    runner.events.warning_over.connect(over.append)
    run(runner)
    assert states.count(RunPhase.PAUSED) == 1
    assert runner.finish_reason is FinishReason.COMPLETED
    assert [m.step for m in runner.measurements if not m.usable] == list(range(4, 9))
    assert over[0].startswith("The run is paused:")


def dead(*steps: int):
    """Spectra without a number at some steps."""

    def change(number, seen):
        counts = np.full_like(seen.counts, NAN)
        return replace(seen, counts=counts) if number in steps else seen

    return change


@pytest.mark.parametrize(
    "scalarizer", [BandIntegral(), BandMaximum(low_ev=0.2, high_ev=1)]
)
def test_spectra_without_a_number_are_a_fault_of_the_detector(tmp_path, scalarizer):
    lab = Lab(tmp_path, OddSpectra(dead(*range(99))))
    runner = run(lab.runner(experiment(scalarizer=scalarizer)))
    assert runner.finish_reason is FinishReason.FAILED
    assert "none of its channels holds a number" in runner.finish_text
    assert "Look at the detector" in runner.finish_text
    assert len(warnings_of(runner)) == len(runner.measurements) == OTHER_AXES


def test_one_spectrum_without_a_number_is_set_aside(tmp_path):
    runner = run(Lab(tmp_path, OddSpectra(dead(0, 6))).runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert [m.step for m in runner.measurements if not m.usable] == [0, 6]


class Stating(OddSpectra):
    """Says of itself what a test wants."""

    def __init__(self, **stated) -> None:
        super().__init__(lambda number, seen: seen)
        self.stated = stated

    def capabilities(self):
        able = super().capabilities()
        if "energy" not in self.stated:
            return replace(able, **self.stated)
        (detector,) = able.spectrum_detectors
        return replace(able, spectrum_detectors=(replace(detector, **self.stated),))


@pytest.mark.parametrize(
    ("stated", "says"),
    [
        ({"fov_nm": (math.inf, 80.0)}, "a field of view of inf"),
        ({"fov_nm": (80.0, NAN)}, "a field of view of 80 × nan"),
        ({"dwell_time_s": Interval(NAN, NAN)}, "a dwell time"),
        ({"exposure_s": Interval(math.inf, math.inf)}, "an exposure"),
        ({"energy": EnergyAxis(1e300, 0.1, 16)}, r"its energy axis begins at 1e\+300"),
        ({"energy": EnergyAxis(0.0, 0.0, 16)}, "cannot be told apart"),
        ({"energy": EnergyAxis(1e8, 1e-12, 16)}, "cannot be told apart"),
        ({"energy": EnergyAxis(NAN, 0.1, 16)}, "its energy axis begins at nan eV"),
    ],
)
def test_what_an_instrument_says_and_cannot_be_is_refused_before_a_record(stated, says):
    gate = GuardedInstrument(Stating(**stated))
    gate.connect()
    with pytest.raises((InstrumentError, ValueError), match=says):
        preflight(experiment(), gate)


def test_counts_that_do_not_fill_their_own_axis_are_set_aside_too(tmp_path):
    def change(number, seen):
        return replace(seen, counts=seen.counts[:3]) if number == 5 else seen

    runner = run(Lab(tmp_path, OddSpectra(change)).runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(open_run(runner.record.path).measurements[5].spectrum.counts) == 3


def test_an_odd_exposure_among_others_of_its_place_is_left_out_and_booked(tmp_path):
    settings = experiment(
        measurement=MeasurementSettings(
            exposure_s=0.1, relative_error=1e-6, longest_exposure_s=0.4
        )
    )
    # Three exposures tell the error of a place; the second one of step 2 is short.
    lab = Lab(tmp_path, OddSpectra(short(4)))
    runner = run(lab.runner(settings.replaced(budget=Budget(steps=4))))
    assert runner.finish_reason is FinishReason.COMPLETED
    exposed = [m.spectrum.exposure_s for m in runner.measurements]
    assert exposed == pytest.approx([0.3, 0.1, 0.3, 0.3])
    (entry,) = events_of(runner, "booked")
    assert entry["reason"] == "other_axis"
    assert len(lab.bare.beam.exposed) == 3 + 2 + 3 + 3


def test_a_branch_keeps_the_odd_spectra_of_its_steps(tmp_path):
    lab = Lab(tmp_path, OddSpectra(short(2, 6)))
    runner = run(lab.runner(experiment()))
    path = branch(runner.record.path, 5, tmp_path / "branch")
    lab.bare.change = short()
    past = open_run(path)
    assert [len(m.spectrum.counts) for m in past.measurements] == [16, 16, 1, 16, 16]
    record = Record.reopen(past)
    run(Runner(lab.gate, record, past.settings, past=past))
    lengths = [len(m.spectrum.counts) for m in open_run(path).measurements]
    assert lengths == [16, 16, 1] + [16] * 9


def test_a_field_of_view_that_changes_in_mid_run_ends_it_in_words(tmp_path):
    bare = Magnified()
    lab = Lab(tmp_path, bare)
    runner = lab.runner(experiment())

    def magnify(measurement) -> None:
        if measurement.step == 5:
            bare.fov_nm = (40.0, 40.0)

    runner.events.measured.connect(magnify)
    run(runner)
    assert runner.finish_reason is FinishReason.FAILED
    assert "is 40 × 40 nm now and was 80 × 80 nm" in runner.finish_text
    assert lab.gate.status().beam is BeamState.BLANKED
    # With look-ahead the next place may have been under way already.
    assert 6 <= len(bare.beam.exposed) <= 7
    (end,) = events_of(runner, "end")
    assert end["text"] == runner.finish_text


def test_a_field_that_has_changed_since_the_survey_image_is_found_at_the_start(
    tmp_path,
):
    bare = Magnified()
    lab = Lab(tmp_path, bare)
    survey = acquire_survey(lab.gate, experiment().survey)
    bare.fov_nm = (80.0, 120.0)
    runner = run(lab.runner(experiment(), survey=survey))
    assert "is 80 × 120 nm now" in runner.finish_text
    assert not bare.beam.exposed


def test_a_run_is_not_gone_on_with_in_another_field(tmp_path):
    bare = Magnified()
    lab = Lab(tmp_path, bare)
    runner = run(lab.runner(experiment()))
    exposed = len(bare.beam.exposed)
    bare.fov_nm = (160.0, 160.0)
    resumed = run(lab.resumed(runner, 20))
    assert "is 160 × 160 nm now" in resumed.finish_text
    assert len(bare.beam.exposed) == exposed
    bare.fov_nm = (80.0, 80.0)
    assert run(lab.resumed(resumed, 20)).finish_reason is FinishReason.COMPLETED


def test_the_gate_scans_no_other_field_than_the_regions_were_drawn_on():
    bare = Magnified()
    gate = GuardedInstrument(bare)
    gate.connect()
    survey = acquire_survey(gate, experiment().survey)
    zone = Regions(forbidden=(column_region("zone", 2),))
    gate.set_constraint(AllowedField(FieldFrame.of(survey), zone))
    bare.fov_nm = (80.1, 80.0)
    with pytest.raises(FieldChanged):
        acquire_survey(gate, experiment().survey)
    gate.place_beam(HALF)
    with pytest.raises(FieldChanged):
        gate.acquire_spectrum("EELS", 0.1)
    assert not bare.beam.exposed
    gate.set_constraint(Unconstrained())
    assert acquire_survey(gate, experiment().survey).fov_nm == (80.1, 80.0)


@pytest.mark.parametrize("fov_nm", [(NAN, 80.0), (0.0, 0.0)])
def test_an_instrument_with_a_field_that_cannot_be_exposes_nothing(fov_nm):
    bare = Magnified()
    gate = GuardedInstrument(bare)
    gate.connect()
    bare.fov_nm = fov_nm
    with pytest.raises(InstrumentError, match="Fake says a field of view of"):
        acquire_survey(gate, experiment().survey)


def test_a_spectrum_from_elsewhere_is_recorded_as_stated_and_told_of(tmp_path):
    def change(number, seen):
        x = seen.position.x
        wrong = replace(seen.position, x=x - 0.25 if x > 0.5 else x + 0.25)
        return replace(seen, position=wrong) if number in (5, 6) else seen

    lab = Lab(tmp_path, OddSpectra(change))
    runner = lab.runner(experiment())
    over = []
    runner.events.warning_over.connect(over.append)
    run(runner)
    (text,) = warnings_of(runner)
    assert text.startswith("The beam was sent to x = ")
    assert over == [text]
    stated = [m.spectrum.position for m in open_run(runner.record.path).measurements]
    assert stated == [m.spectrum.position for m in runner.measurements]
    meant = [m.proposal.position for m in runner.measurements]
    off = [n for n in range(12) if stated[n] != meant[n]]
    assert off == [5, 6]


def test_a_position_that_is_none_is_replaced_by_where_the_beam_was_sent(tmp_path):
    nowhere = ProbePosition(NAN, NAN)
    lab = Lab(tmp_path, OddSpectra(lambda _, seen: replace(seen, position=nowhere)))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "which is no place in the field" in warnings_of(runner)[0]
    assert all(
        m.spectrum.position == m.proposal.position
        for m in open_run(runner.record.path).measurements
    )


def unchanged(number, seen):
    return seen


def few_places(tmp_path) -> Lab:
    return Lab(tmp_path, WithoutBand(unchanged, shape=(3, 3)))


def has_targets(runner) -> bool:
    past = open_run(runner.record.path)
    stored = [m.target for m in past.measurements]
    assert stored == [m.target for m in runner.measurements]
    assert past.settings.scalarizer.band_ev is not None
    return all(m.usable for m in past.measurements)


def test_a_band_is_chosen_from_fewer_spectra_than_the_initial_design_has(tmp_path):
    few = experiment(initial=InitialDesign(points=10))
    runner = run(few_places(tmp_path).runner(few))
    assert runner.finish_reason is FinishReason.EXHAUSTED
    assert runner.finish_text == "every allowed position is measured (9 spectra)"
    assert has_targets(runner)


def test_a_band_is_chosen_where_the_budget_ends_in_the_initial_design(tmp_path):
    short_budget = experiment(initial=InitialDesign(points=10), budget=Budget(steps=3))
    runner = run(few_places(tmp_path).runner(short_budget))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert has_targets(runner)


def test_a_band_is_chosen_before_a_person_is_asked_for_wider_regions(tmp_path):
    lab = few_places(tmp_path)
    interest = Regions(interest=(column_region("left", 0, size=3),))
    settings = experiment(initial=InitialDesign(points=10))
    runner = lab.runner(settings, regions=interest, attended=True)

    def stop(state: RunPhase) -> None:
        if state is RunPhase.PAUSED:
            runner.stop()

    runner.events.state_changed.connect(stop)
    run(runner)
    assert len(runner.measurements) == 3
    assert has_targets(runner)


def test_a_sample_that_drifts_out_of_the_field_ends_the_run_with_true_words(tmp_path):
    lab = DriftLab(tmp_path, drifting(2, 2.0, side=48))
    runner = run(lab.runner(drift_experiment(300, every=2)))
    assert runner.finish_reason is FinishReason.EXHAUSTED
    measured = len(runner.measurements)
    assert measured < 300
    assert f"no allowed position is left: {measured} are measured" in runner.finish_text
    assert f"{48 * 48 - measured} have left the field of view" in runner.finish_text


def test_drift_is_found_though_a_pixel_of_the_survey_image_is_missing():
    image = np.random.default_rng(3).random((64, 64)).astype(np.float32)
    image = gaussian_filter(image, 2)
    moved = np.roll(image, (2, -3), axis=(0, 1))
    for each in (image, moved):
        each[5, 7] = NAN
    found = register(image, moved, farthest_px=6)
    assert found.shift_px == pytest.approx((2, -3), abs=0.1)


def test_a_flat_image_is_not_called_unlike():
    image = np.random.default_rng(3).random((64, 64)).astype(np.float32)
    with pytest.raises(NotRegistered, match="which shows nothing: all its pixels"):
        register(image, np.full_like(image, 3.0), farthest_px=6)


def test_a_changed_axis_is_exported_resampled_and_as_measured(tmp_path, capsys):
    def change(number, seen):
        counts = np.arange(16, dtype=np.float32)
        seen = replace(seen, counts=counts)
        return shifted(seen, 0.2) if number in (3, 7) else seen

    runner = run(Lab(tmp_path, OddSpectra(change)).runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    out = tmp_path / "out.hspy"
    assert main(["export", str(runner.record.path), str(out)]) == 0
    assert "2 of 12 spectra (step 4, 8) have another energy axis" in (
        capsys.readouterr().out
    )
    signal = hyperspy().load(out)
    assert "step 4, 8" in signal.metadata.General.notes
    assert signal.axes_manager["Energy"].offset == 0.0
    assert np.array_equal(signal.data[2], np.arange(16))
    expected = np.concatenate([[NAN, NAN], np.arange(14)])
    assert np.allclose(signal.data[3], expected, equal_nan=True)
    held = signal.metadata.napari_hae
    assert np.array_equal(held.counts_as_measured.step_3, np.arange(16))
    assert held.energy_offset_ev[3] == pytest.approx(0.2)
    assert list(held.channels) == [16] * 12


def test_resampling_keeps_the_counts_where_channels_are_of_another_width(tmp_path):
    def change(number, seen):
        wide = EnergyAxis(0.05, 0.2, 8)
        counts = np.full(8, 6.0, np.float32)
        return replace(seen, counts=counts, energy=wide) if number == 4 else seen

    runner = run(Lab(tmp_path, OddSpectra(change)).runner(experiment()))
    common = CommonAxis.of(runner.measurements)
    assert np.allclose(common.counts[4], 3.0)
    write_report(open_run(runner.record.path), tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size


def test_a_vote_for_an_odd_spectrum_does_not_count(tmp_path):
    runner = run(Lab(tmp_path, OddSpectra(short(3))).runner(experiment()))
    votes = {2: Vote.GOOD, 3: Vote.GOOD}
    assert len(target_spectrum(votes, runner.measurements)) == 16
    assert target_spectrum({3: Vote.GOOD}, runner.measurements) is None


def with_axis(offset_ev, dispersion_ev):
    axis = EnergyAxis(offset_ev, dispersion_ev, 16)
    return {"energy": axis}


@pytest.mark.parametrize(
    "stated",
    [
        *({"exposure_s": value} for value in (NAN, -1.0, 0.0, 1e40, None)),
        *({"dose_e": value} for value in (1e40, -1.0, math.inf, "many")),
        *({"detector": value} for value in (None, 7)),
        {"position": None},
        *(with_axis(*values) for values in ((NAN, 0.1), (1e40, 0.1), (0.0, 0.0))),
    ],
)
def test_what_cannot_be_is_replaced_with_a_warning_and_the_record_is_read(
    tmp_path, stated
):
    lab = Lab(tmp_path, OddSpectra(lambda _, spectrum: replace(spectrum, **stated)))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    (text,) = warnings_of(runner)
    assert "cannot be" in text
    assert next(iter(stated)) in text
    stored = open_run(runner.record.path)
    assert len(stored.measurements) == 12
    for each in stored.measurements:
        spectrum, wanted = each.spectrum, experiment().measurement
        assert spectrum.exposure_s == wanted.exposure_s
        assert spectrum.detector == "EELS"
        assert spectrum.energy == EnergyAxis(0.0, 0.1, 16)
        assert 0 <= spectrum.dose_e < 1e10
        assert each.usable


def test_counts_beyond_all_measure_give_no_target_and_a_record_that_is_read(tmp_path):
    def burn(number, spectrum):
        return replace(spectrum, counts=spectrum.counts + np.float32(1e35))

    lab = Lab(tmp_path, OddSpectra(burn))
    runner = run(lab.runner(experiment()))
    stored = open_run(runner.record.path)
    assert len(stored.measurements) == 12
    assert not any(each.usable for each in stored.measurements)


def test_a_current_beyond_all_measure_counts_as_unknown(tmp_path):
    lab = Lab(tmp_path, OddSpectra(lambda _, spectrum: spectrum, current_pa=1e20))
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "1e+20 pA, which cannot be" in lab.gate.capabilities().notes[-1]
    assert len(open_run(runner.record.path).measurements) == 12
