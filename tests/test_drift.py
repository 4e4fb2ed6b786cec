"""The survey image is taken again, and the beam follows the sample."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import ndimage

from drifting import (
    EXPOSURE_S,
    FOV_NM,
    DriftLab,
    drift_experiment,
    drifting,
    placing_errors_px,
    rms,
)
from lab import TIMEOUT_S, Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment import following
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.drift import Drift
from napari_hae.experiment.event_values import image_again_of
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.forensics.analysis import analyse
from napari_hae.experiment.journal_events import (
    Actor,
    SurveyAgainEvent,
    WarningOverEvent,
)
from napari_hae.experiment.record import Record
from napari_hae.experiment.registration import NotRegistered, register
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    LoopSettings,
    MeasurementSettings,
)
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.survey import fiducial_scan
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.regions.regions import PolygonRegion, Regions
from napari_hae.types import Area, BeamState, ChosenBy, ProbePosition, dose_electrons

SHIFTS = [(0.0, 0.0), (3.3, -5.7), (-8.45, 2.2)]


def textured(seed: int, size: int = 160) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 100 * ndimage.gaussian_filter(rng.normal(size=(size, size)), 3)


def seen(sample: np.ndarray, shift, seed: int, noise: float = 2.0) -> np.ndarray:
    """What a detector sees of a sample that has moved."""
    moved = ndimage.shift(sample, shift, order=5)[16:-16, 16:-16]
    rng = np.random.default_rng(seed)
    return (moved + noise * rng.normal(size=moved.shape)).astype(np.float32)


@pytest.mark.parametrize("shift", SHIFTS)
def test_noisy_images_are_registered_to_a_tenth_of_a_pixel(shift):
    sample = textured(0)
    before, after = seen(sample, (0, 0), 1), seen(sample, shift, 2)
    found = register(before, after, farthest_px=12)
    assert np.abs(np.subtract(found.shift_px, shift)).max() < 0.1
    assert 0.7 < found.correlation <= 1


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_small_frame_is_found_in_the_whole_image(shift):
    sample = textured(0)
    before, after = seen(sample, (0, 0), 1), seen(sample, shift, 2)
    part = after[40:80, 30:78]
    found = register(before, part, origin=(40, 30), farthest_px=12)
    assert np.abs(np.subtract(found.shift_px, shift)).max() < 0.25


def test_another_dwell_time_and_offset_of_the_detector_do_not_matter():
    sample = textured(0)
    before, after = seen(sample, (0, 0), 1), seen(sample, (2.5, 1.2), 2)
    found = register(before, 0.05 * after + 300, farthest_px=12)
    assert np.abs(np.subtract(found.shift_px, (2.5, 1.2))).max() < 0.1


def test_a_blank_image_is_refused():
    before = seen(textured(0), (0, 0), 1)
    with pytest.raises(NotRegistered, match="nothing like it"):
        register(before, np.full_like(before, 3.0), farthest_px=12)


def test_a_large_shift_is_found_where_it_is_expected():
    sample = textured(3, 224)
    before, after = seen(sample, (0, 0), 1), seen(sample, (30.4, -41.3), 2)
    found = register(before, after, expected_px=(28.0, -40.0), farthest_px=6)
    assert np.abs(np.subtract(found.shift_px, (30.4, -41.3))).max() < 0.1
    with pytest.raises(NotRegistered):
        register(before, after, farthest_px=6)


@pytest.mark.parametrize("seed", range(5))
def test_an_image_of_something_else_is_refused(seed):
    before = seen(textured(0), (0, 0), 1)
    other = seen(textured(10 + seed), (0, 0), 2)
    with pytest.raises(NotRegistered, match="nothing like it"):
        register(before, other, farthest_px=12)


def test_a_jump_beyond_what_is_believable_is_refused():
    sample = textured(0)
    before, after = seen(sample, (0, 0), 1), seen(sample, (11.0, 0.0), 2)
    with pytest.raises(NotRegistered):
        register(before, after, farthest_px=6)


def test_a_periodic_sample_is_refused_unless_only_one_period_is_believable():
    rows, columns = np.indices((160, 160))
    lattice = 50 * np.cos(2 * np.pi * rows / 12) * np.cos(2 * np.pi * columns / 12)
    before, after = seen(lattice, (0, 0), 1), seen(lattice, (1.3, -0.8), 2)
    with pytest.raises(NotRegistered, match="periodic"):
        register(before, after, farthest_px=12)
    found = register(before, after, farthest_px=2)
    assert np.abs(np.subtract(found.shift_px, (1.3, -0.8))).max() < 0.1


def test_a_part_without_structure_is_refused():
    sample = textured(0)
    sample[40:110, 40:110] = 0
    before, after = seen(sample, (0, 0), 1, 0.1), seen(sample, (1, 1), 2, 0.1)
    with pytest.raises(NotRegistered, match="contrast"):
        register(before, after[40:72, 40:72], origin=(40, 40), farthest_px=4)


def test_the_drift_goes_on_as_fast_as_it_was_and_grows_less_sure():
    drift = Drift(survey_s=-0.1)
    assert drift.at(3.0) == (0.0, 0.0)
    assert drift.margin_nm(3.0, 1.0) == 0.0
    for at_s in (0.1, 1.1, 2.1):
        drift = drift.found(at_s, (2 * at_s + 0.2, -at_s - 0.1), is_anew=False)
    assert drift.at(4.0) == pytest.approx((8.2, -4.1))
    assert drift.speed_nm_per_s == pytest.approx((2.0, -1.0))
    assert drift.margin_nm(2.1, 1.0) == 1.0
    late = drift.found(3.1, (7.4, -3.2), is_anew=False)
    assert late.margin_nm(7.1, 1.0) > late.margin_nm(3.1, 1.0) == 1.0
    anew = drift.found(9.0, (50.0, 0.0), is_anew=True)
    assert anew.at(10.0) == (50.0, 0.0)


def test_while_a_person_is_waited_for_the_sample_may_stay_or_go_on():
    drift = Drift(survey_s=0.0)
    for at_s in (0.25, 0.5, 1.0, 2.0, 3.0):
        drift = drift.found(at_s, (2 * at_s, 0.0), is_anew=False)
    waited = drift.waited(10.0)
    assert waited.at(4.0) == drift.at(4.0)
    assert drift.margin_nm(4.0, 1.0) == 1.0
    assert waited.margin_nm(4.0, 1.0) == 21.0
    # Not found, it is as unsure as before; found, as sure as ever.
    assert waited.scanned(1.0).waited_s == 10.0
    found = waited.found(4.0, (8.0, 0.0), is_anew=False)
    assert found.margin_nm(4.0, 1.0) == 1.0
    # From now on it goes by 2 nm in a second of exposing and three of waiting.
    for at_s in (5.0, 6.0, 7.0):
        found = found.waited(3.0).found(at_s, (2 * at_s, 0.0), is_anew=False)
    assert found.waited(4.0).margin_nm(8.0, 1.0) == 3.0
    anew = drift.found(9.0, (50.0, 0.0), is_anew=True)
    assert anew.waited(4.0).margin_nm(9.0, 1.0) == 9.0


def test_what_the_mask_allows_the_gate_never_refuses_wherever_the_sample_is():
    frame = FieldFrame((40, 30), (80.0, 60.0))
    # Its edges run through centres of pixels.
    zone = PolygonRegion(
        "zone", (np.array([[11.0, 11.0], [11.0, 41.0], [51.0, 41.0], [51.0, 11.0]]),)
    )
    rng = np.random.default_rng(0)
    for kind in ("forbidden", "interest"):
        regions = Regions(**{kind: (zone,)})
        for _ in range(20):
            moved = tuple(rng.uniform(-30, 30, 2))
            field = AllowedField(frame, regions, moved)
            mask = field.mask()
            for row, column in np.ndindex(frame.shape):
                position = field.position(frame.position(row, column))
                refused = field.refusal(position)
                assert (refused is None) == mask[row, column]
                if not position.is_inside:
                    assert "drifted out" in refused


def test_a_fiducial_region_is_scanned_where_the_sample_is():
    frame = FieldFrame((100, 100), (200.0, 200.0))
    scan = fiducial_scan(frame, (0.2, 0.3, 0.5, 0.6), (4.4, -3.3), (32, 32))
    assert scan.origin == (34, 17)
    assert (scan.size, scan.fineness) == ((30, 30), 2)
    assert scan.shape == (60, 60)
    assert scan.area == Area(0.17, 0.34, 0.47, 0.64)
    assert scan.on_grid(np.ones((60, 60), np.float32)).shape == (30, 30)
    cut = fiducial_scan(frame, (0.6, 0.6, 0.9, 0.9), (20.0, 0.0), (1, 1))
    assert (cut.area.top, cut.area.bottom) == (0.8, 1.0)
    with pytest.raises(NotRegistered, match="fiducial"):
        fiducial_scan(frame, (0.6, 0.6, 0.9, 0.9), (30.0, 0.0), (1, 1))


def test_a_fiducial_region_that_is_none_is_refused_in_words():
    with pytest.raises(ValidationError, match="not inside the field"):
        DriftSettings(fiducial=(0.5, 0.0, 0.4, 1.0))


@pytest.mark.parametrize("seed", range(4))
def test_the_beam_stays_on_its_places_while_the_sample_drifts(tmp_path, seed):
    lab = DriftLab(tmp_path, drifting(seed, 0.5))
    runner = run(lab.runner(drift_experiment(100, seed, every=10)))
    assert runner.finish_reason is FinishReason.COMPLETED
    errors = placing_errors_px(runner, lab.bare)
    assert len(errors) == 100
    assert rms(errors) < 0.5
    assert np.abs(errors).max() < 1
    # What it would have been: half a pixel more with every step.
    moved_px = np.array([m.drift_nm for m in runner.measurements]) / (FOV_NM / 128)
    assert rms(moved_px) > 20
    images = open_run(runner.record.path).images_again
    assert [each.step for each in images][:8] == [0, 1, 2, 4, 8, 16, 26, 36]
    assert all(each.offset_nm is not None for each in images)


@pytest.mark.parametrize("follow", [True, False])
def test_without_following_nothing_follows(tmp_path, follow):
    lab = DriftLab(tmp_path, drifting(1, 0.5))
    runner = run(lab.runner(drift_experiment(30, every=10, follow=follow)))
    errors = placing_errors_px(runner, lab.bare)
    assert (rms(errors) < 1) is follow
    assert lab.bare.scans > 4
    images = open_run(runner.record.path).images_again
    assert all((each.offset_nm is not None) is follow for each in images)
    assert runner.measurements[-1].spectrum.position.is_inside
    if not follow:
        assert {m.drift_nm for m in runner.measurements} == {None}


def zone_nm() -> np.ndarray:
    return np.array([[60.0, 60.0], [60.0, 140.0], [140.0, 140.0], [140.0, 60.0]])


@pytest.mark.parametrize("walk_px", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_forbidden_zones_hold_on_the_sample_at_every_exposure(tmp_path, seed, walk_px):
    zone = PolygonRegion("crystal", (zone_nm(),))
    frame = (0.0, 0.0, 1.0, 0.25)
    lab = DriftLab(tmp_path, drifting(seed, 0.5, walk_px=walk_px))
    survey = lab.gate.acquire_survey(("HAADF", "BF"), (128, 128), 1e-5)
    settings = drift_experiment(100, seed, every=10, fiducial=frame)
    runner = lab.runner(settings, survey=survey, regions=Regions(forbidden=(zone,)))
    run(runner)
    assert len(lab.bare.exposed_nm) == 100
    inside = [zone.contains(*place).any() for place in lab.bare.exposed_nm]
    assert not any(inside)
    # It is the sample's zone: the beam was in the zone as it was drawn.
    beams = [m.spectrum.position for m in runner.measurements]
    drawn = [zone.contains(p.y * FOV_NM, p.x * FOV_NM).any() for p in beams]
    assert any(drawn)
    images = open_run(runner.record.path).images_again
    found = [each for each in images if each.offset_nm is not None]
    assert all(each.is_fiducial for each in images)
    assert len(found) > 0.6 * len(images)


class Clock:
    """Stands still unless a test lets time pass."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.is_now()

    def is_now(self) -> None:
        """Be right once: journals have the real time."""
        self.now_s = time.time()

    def time(self) -> float:
        return self.now_s

    monotonic = time


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(following, "time", clock)
    return clock


def keeping_waiting(runner, bare, clock, monkeypatch, passed_s: float) -> None:
    """Let a person take so long to go on the next time, while the sample drifts."""
    left_s = [passed_s]

    def late(answer):
        def wait(*timeout):
            waited_s = left_s.pop() if left_s else 0.0
            clock.now_s += waited_s
            bare._drift.pass_time(waited_s)
            runner.resume()
            runner.approve()
            return answer(*timeout)

        return wait

    for name in ("wait_for_order", "wait_for_verdict"):
        answer = getattr(runner._controls, name)
        monkeypatch.setattr(runner._controls, name, late(answer))


def beside_zone(lab, passed_s: float) -> tuple[int, int]:
    """The pixel near the zone which the zone reaches when the sample drifts on."""
    gone_nm = passed_s * lab.bare._drift._velocity
    place_nm = np.array([100.0, 100.0])
    axis = int(np.abs(gone_nm).argmax())
    pixel_nm = FOV_NM / 128
    place_nm[axis] += np.sign(gone_nm[axis]) * (40 + 3 * pixel_nm)
    assert np.abs(place_nm - gone_nm - 100).max() < 40 - pixel_nm
    row, column = (place_nm / pixel_nm).astype(int)
    return int(row), int(column)


def wanting(pixel, step: int, monkeypatch) -> None:
    """Let the agent want a pixel at a step, as long as it is allowed."""
    ask = Advisor.ask

    def wants(self, asked_for, allowed, *more):
        if asked_for == step and allowed[pixel]:
            return self.choose(step, pixel, ChosenBy.AGENT)
        return ask(self, asked_for, allowed, *more)

    monkeypatch.setattr(Advisor, "ask", wants)


ZONE = Regions(forbidden=(PolygonRegion("crystal", (zone_nm(),)),))
TOP = (0.0, 0.0, 1.0, 0.25)


def expect_outside_zone(bare) -> None:
    (zone,) = ZONE.forbidden
    assert not any(zone.contains(*place).any() for place in bare.exposed_nm)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("who", ["paused", "asked"])
def test_zones_hold_on_the_sample_after_a_person_was_waited_for(
    tmp_path, monkeypatch, clock, who, seed
):
    lab = DriftLab(tmp_path, drifting(seed, 0.03))
    survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
    settings = drift_experiment(12, seed, every=4, fiducial=TOP)
    loop = LoopSettings(lookahead=0, approve=who == "asked")
    runner = lab.runner(settings.replaced(loop=loop), survey=survey, regions=ZONE)
    pixel = beside_zone(lab, 25.0)
    wanting(pixel, 10, monkeypatch)
    refused = []
    runner.events.refused.connect(lambda _, reason: refused.append(reason))

    def on_measured(measurement) -> None:
        # The image before was taken at step 8.
        if measurement.step == 9:
            keeping_waiting(runner, lab.bare, clock, monkeypatch, 25.0)
            if who == "paused":
                runner.pause()

    if who == "asked":
        keeping_waiting(runner, lab.bare, clock, monkeypatch, 0.0)
    runner.events.measured.connect(on_measured)
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(lab.bare.exposed_nm) == 12
    expect_outside_zone(lab.bare)
    assert pixel not in path_of(runner.measurements)
    assert any("forbidden zone" in reason for reason in refused) is (who == "asked")


def test_a_zone_that_waiting_grew_over_the_image_is_told_of(
    tmp_path, monkeypatch, clock
):
    lab = DriftLab(tmp_path, drifting(0, 0.03))
    survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
    settings = drift_experiment(16, every=2, fiducial=TOP)
    runner = lab.runner(settings, survey=survey, regions=ZONE)
    keeping_waiting(runner, lab.bare, clock, monkeypatch, 60.0)
    runner.events.measured.connect(lambda m: m.step == 7 and runner.pause())
    run(runner)
    expect_outside_zone(lab.bare)
    assert len(open_run(runner.record.path).images_again) == 5
    (warning,) = [text for text in lab.warnings if "not taken again" in text]
    assert "would expose what regions close" in warning
    assert "Forbidden zones are grown by" in warning


def test_after_a_long_pause_the_sample_is_found_and_zones_are_as_before(
    tmp_path, monkeypatch, clock
):
    lab = DriftLab(tmp_path, drifting(0, 0.001))
    survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
    corners = zone_nm() + np.array([55.0, 0.0])
    far = Regions(forbidden=(PolygonRegion("far", (corners,)),))
    settings = drift_experiment(16, every=2, fiducial=TOP)
    runner = lab.runner(settings, survey=survey, regions=far)
    keeping_waiting(runner, lab.bare, clock, monkeypatch, 600.0)
    runner.events.measured.connect(lambda m: m.step == 7 and runner.pause())
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    after = open_run(runner.record.path).images_again[5:]
    assert after[0].is_anew
    assert after[0].waited_s == pytest.approx(600)
    assert after[-1].offset_nm is not None
    assert runner._field.allowed().mask().mean() > 0.7


def test_zones_hold_on_the_sample_when_a_run_is_resumed_late(
    tmp_path, monkeypatch, clock
):
    lab = DriftLab(tmp_path, drifting(0, 0.03))
    survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
    settings = drift_experiment(9, every=4, fiducial=TOP)
    first = run(lab.runner(settings, survey=survey, regions=ZONE))
    wanting(beside_zone(lab, 40.0), 9, monkeypatch)
    clock.is_now()
    clock.now_s += 40
    lab.bare._drift.pass_time(40.0)
    # Nobody takes an image again.
    rest = resumed(first.record.path, 12, lab.bare, drift=DriftSettings())
    assert len(rest.measurements) == 12
    expect_outside_zone(lab.bare)


REPEATED = MeasurementSettings(
    exposure_s=EXPOSURE_S,
    relative_error=1e-6,
    longest_exposure_s=10 * EXPOSURE_S,
    only_promising=False,
)


@pytest.mark.parametrize("seed", range(2))
def test_a_place_is_followed_while_it_is_exposed_again_and_again(tmp_path, seed):
    lab = DriftLab(tmp_path, drifting(seed, 0.5))
    settings = drift_experiment(14, seed, every=5).replaced(measurement=REPEATED)
    runner = run(lab.runner(settings))
    assert runner.finish_reason is FinishReason.COMPLETED
    wanted_nm = [
        (m.y_nm, m.x_nm)
        for m in runner.measurements
        for _ in range(round(m.spectrum.exposure_s / EXPOSURE_S))
    ]
    # Less than 10 each, where a place left the field.
    assert len(wanted_nm) > 100
    errors = np.subtract(wanted_nm, lab.bare.exposed_nm) / (FOV_NM / 128)
    # Standing still it would be off by up to 4.5 pixels.
    assert np.hypot(*errors.T).max() < 1.5
    # Where the dose went is known, though a spectrum has one position only.
    exposures = open_run(runner.record.path).exposures
    assert [each.beam_on_s for each in exposures] == [EXPOSURE_S] * len(wanted_nm)
    assert len({each.where for each in exposures}) > 50
    exposed_e = dose_electrons(20, EXPOSURE_S * len(wanted_nm))
    assert sum(each.dose_e for each in exposures) == pytest.approx(exposed_e)


def test_waits_and_repeats_are_gone_on_with_bit_for_bit(tmp_path, monkeypatch, clock):
    settings = drift_experiment(16, 3, every=6, fiducial=TOP).replaced(
        measurement=REPEATED, loop=LoopSettings(lookahead=0)
    )

    def begun(folder, steps):
        clock.is_now()
        (tmp_path / folder).mkdir()
        lab = DriftLab(tmp_path / folder, drifting(3, 0.03))
        survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
        new = settings.replaced(budget=Budget(steps=steps))
        runner = lab.runner(new, survey=survey, regions=ZONE)

        def on_measured(measurement) -> None:
            if measurement.step == 9:
                keeping_waiting(runner, lab.bare, clock, monkeypatch, 6.0)
                runner.pause()

        runner.events.measured.connect(on_measured)
        return lab, run(runner)

    _, whole = begun("whole", 16)
    lab, cut = begun("cut", 12)
    clock.is_now()
    rest = resumed(cut.record.path, 16, Replaying.of(lab.bare, 3, 0.03))
    assert path_of(rest.measurements) == path_of(whole.measurements)
    for one, other in zip(rest.measurements, whole.measurements, strict=True):
        assert one.drift_nm == other.drift_nm
        assert one.spectrum.position == other.spectrum.position
        np.testing.assert_array_equal(one.spectrum.counts, other.spectrum.counts)
    ends = [open_run(each.record.path) for each in (rest, whole)]
    assert repr(ends[0].images_again) == repr(ends[1].images_again)
    assert ends[0].images_again[-1].waited_s == pytest.approx(6.0)
    assert ends[0].exposures == ends[1].exposures


@pytest.mark.parametrize("pause", [False, True])
def test_an_image_that_would_be_too_much_for_a_place_is_left_out(tmp_path, pause):
    lab = DriftLab(tmp_path, drifting(0, 0.0))
    # Two images and a spectrum at one point, and no third image.
    point_e = dose_electrons(20, EXPOSURE_S + 2.5e-5)
    settings = drift_experiment(20, every=1, pause=pause).replaced(
        budget=Budget(steps=20, point_dose_e=point_e)
    )
    runner = lab.runner(settings)
    pauses = []

    def on_state(state: RunPhase) -> None:
        if state is RunPhase.PAUSED:
            pauses.append(len(runner.measurements))
            runner.resume()

    runner.events.state_changed.connect(on_state)
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "20 of 20 steps" in runner.finish_text
    assert lab.bare.scans == 2
    (warning,) = [text for text in lab.warnings if "not taken again" in text]
    assert "at one point: the limit is" in warning
    assert pauses == (list(range(1, 20)) if pause else [])


def test_where_regions_close_the_image_a_warning_says_what_to_do(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.2))
    survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
    zone = Regions(forbidden=(PolygonRegion("crystal", (zone_nm(),)),))
    settings = drift_experiment(10, every=5)
    runner = run(lab.runner(settings, survey=survey, regions=zone))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert lab.bare.scans == 1
    assert any("fiducial region" in text for text in lab.warnings)


def test_an_instrument_that_scans_no_areas_goes_on_without(tmp_path):
    lab = Lab(tmp_path)
    settings = experiment(drift=DriftSettings(every=2, fiducial=(0, 0, 0.5, 0.5)))
    runner = lab.runner(settings)
    warnings = []
    runner.events.warned.connect(warnings.append)
    run(runner)
    assert len(runner.measurements) == 12
    assert any("not taken again" in text for text in warnings)


def test_what_drifts_out_of_the_field_is_not_chosen(tmp_path):
    lab = DriftLab(tmp_path, drifting(2, 1.0, side=64))
    runner = run(lab.runner(drift_experiment(14, every=4)))
    allowed = runner._field.allowed()
    mask = allowed.mask()
    down, right = (moved / (FOV_NM / 64) for moved in allowed.drift_nm)
    assert 0.5 < mask.mean() < 1
    assert mask.sum() == (64 - math.floor(abs(down) + 0.5)) * (
        64 - math.floor(abs(right) + 0.5)
    )
    for measurement in runner.measurements:
        assert measurement.spectrum.position.is_inside


def resumed(path, settings_steps: int, bare, **sections) -> Runner:
    past = open_run(path)
    budget = Budget(steps=settings_steps)
    settings = past.settings.replaced(budget=budget, **sections)
    gate = GuardedInstrument(bare)
    gate.connect()
    record = Record.reopen(past)
    return run(Runner(gate, record, settings, past=past))


class Replaying:
    """Brings a fresh microscope to where another one was when it was left."""

    @staticmethod
    def of(bare, seed, px_per_step=0.4):
        fresh = drifting(seed, px_per_step)
        fresh._drift, fresh._surveys = bare._drift, bare._surveys
        fresh._exposures = bare._exposures
        fresh._in_survey_nm = bare._in_survey_nm
        return fresh


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_resumed_run_follows_as_the_uninterrupted_one(tmp_path, lookahead):
    (tmp_path / "whole").mkdir()
    settings = drift_experiment(30, 3, every=5).replaced(
        acquisition=UpperConfidenceBound()
    )
    settings = settings.replaced(
        loop=settings.loop.model_copy(update={"lookahead": lookahead})
    )
    zone = Regions(forbidden=(PolygonRegion("zone", (zone_nm() / 4 + 10,)),))
    settings = settings.replaced(
        drift=settings.drift.model_copy(update={"fiducial": (0.3, 0.3, 1.0, 1.0)})
    )

    def begun(folder, steps):
        lab = DriftLab(tmp_path / folder, drifting(3, 0.4))
        survey = lab.gate.acquire_survey(("HAADF",), (128, 128), 1e-5)
        new = settings.replaced(budget=Budget(steps=steps))
        return lab, run(lab.runner(new, survey=survey, regions=zone))

    _, whole = begun("whole", 30)
    (tmp_path / "cut").mkdir()
    lab, cut = begun("cut", 17)
    rest = resumed(cut.record.path, 30, Replaying.of(lab.bare, 3))
    assert path_of(rest.measurements) == path_of(whole.measurements)
    for one, other in zip(rest.measurements, whole.measurements, strict=True):
        assert one.drift_nm == other.drift_nm
        assert one.spectrum.position == other.spectrum.position
        assert (one.x_nm, one.y_nm) == (other.x_nm, other.y_nm)
        np.testing.assert_array_equal(one.spectrum.counts, other.spectrum.counts)
    stored = [open_run(each.record.path) for each in (rest, whole)]
    again = [each.images_again for each in stored]
    assert repr(again[0]) == repr(again[1])
    assert stored[0].measurements[-1].drift_nm == whole.measurements[-1].drift_nm
    same, asked = analyse(stored[0]).retraced
    assert same == asked > 20


def test_the_journal_has_the_image_and_the_estimate(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.5))
    runner = run(lab.runner(drift_experiment(5, every=2)))
    stored = open_run(runner.record.path)
    again = [x for x in stored.journal if isinstance(x, SurveyAgainEvent)]
    assert [image_again_of(each) for each in again] == list(stored.images_again)
    taken = stored.images_again[-1]
    assert stored.image(taken.index).shape == (2, 128, 128)
    assert stored.surveys == 1 + len(again)
    assert taken.dose_e == pytest.approx(stored.images_again[0].dose_e)
    assert "the program took the survey image again: the sample has drifted to x" in (
        sentence(again[-1])
    )
    # The survey image that the agent rests on stays the first one.
    np.testing.assert_array_equal(stored.survey.data, runner.survey.data)


def test_a_jump_is_refused_warned_of_and_pauses_the_run_if_asked_to(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.1))
    runner = lab.runner(drift_experiment(30, every=5, pause=True, largest_jump_nm=8))
    paused = threading.Event()

    def on_state(state: RunPhase) -> None:
        if state is RunPhase.PAUSED:
            paused.set()

    def jump(measurement) -> None:
        if measurement.step == 14:
            lab.bare.jump(30.0, -25.0)

    runner.events.state_changed.connect(on_state)
    runner.events.measured.connect(jump)
    runner.start()
    assert paused.wait(TIMEOUT_S)
    assert lab.gate.status().beam is BeamState.BLANKED
    assert len(runner.measurements) < 30
    lost = open_run(runner.record.path).images_again[-1]
    assert lost.offset_nm is None
    assert lost.refusal
    assert any("was not found" in text for text in lab.warnings)
    runner.stop()
    assert runner.wait(TIMEOUT_S)
    told = [sentence(x) for x in open_run(runner.record.path).journal]
    assert any("but the sample was not found" in text for text in told)


def test_without_a_pause_the_run_goes_on_from_what_was_known(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.1))
    runner = lab.runner(drift_experiment(30, every=5, largest_jump_nm=8))

    def jump(measurement) -> None:
        if measurement.step == 14:
            lab.bare.jump(30.0, -25.0)

    runner.events.measured.connect(jump)
    run(runner)
    assert len(runner.measurements) == 30
    before, after = (runner.measurements[step].drift_nm for step in (13, 29))
    assert math.dist(before, after) < 8


def test_that_the_sample_was_not_found_is_told_until_it_is(tmp_path):
    jumps = {14: (30.0, -25.0), 24: (-30.0, 25.0)}
    lab = DriftLab(tmp_path, drifting(0, 0.0))
    runner = lab.runner(drift_experiment(30, every=5, largest_jump_nm=8))
    runner.events.measured.connect(
        lambda m: lab.bare.jump(*jumps[m.step]) if m.step in jumps else None
    )
    over = []
    runner.events.warning_over.connect(over.append)
    run(runner)
    lost = [text for text in lab.warnings if "was not found" in text]
    assert lost
    lost = list(dict.fromkeys(lost))
    assert over == lost
    stored = open_run(runner.record.path)
    ended = [x for x in stored.journal if isinstance(x, WarningOverEvent)]
    assert [x.text for x in ended] == lost
    taken = [x for x in stored.images_again if x.step >= 15]
    found = next(x.step for x in taken if not x.refusal)
    assert taken[0].refusal
    assert {x.since for x in ended} == {found}
    since = f"over since step {found + 1}: The sample was not found"
    assert since in sentence(ended[0])


def test_a_sample_that_is_found_in_the_next_session_is_not_told_as_lost(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.0))
    settings = drift_experiment(20, every=5, largest_jump_nm=8, warn_nm=10)
    runner = lab.runner(settings)
    runner.events.measured.connect(
        lambda m: lab.bare.jump(30.0, -25.0) if m.step == 14 else None
    )
    run(runner)
    (lost,) = [text for text in lab.warnings if "was not found" in text]
    lab.bare.jump(-30.0, 25.0)
    past = open_run(runner.record.path)
    goes_on = settings.replaced(budget=Budget(steps=30))
    resumed = Runner(
        lab.gate,
        Record.reopen(past),
        goes_on,
        past=past,
    )
    over = []
    resumed.events.warning_over.connect(over.append)
    run(resumed)
    assert over == [lost]


def test_a_person_may_have_it_taken_again_also_while_paused(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.5))
    runner = lab.runner(drift_experiment(12))
    seen_again = []
    taken_again = threading.Event()

    def look(image, taken) -> None:
        seen_again.append((image, taken))
        taken_again.set()

    runner.events.surveyed_again.connect(look)
    runner.events.measured.connect(lambda m: m.step == 5 and runner.pause())
    runner.start()
    paused = threading.Event()
    runner.events.state_changed.connect(
        lambda state: paused.set() if state is RunPhase.PAUSED else None
    )
    assert runner.state is RunPhase.PAUSED or paused.wait(TIMEOUT_S)
    runner.survey_again(why="it looks blurred")
    assert taken_again.wait(TIMEOUT_S)
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    ((image, taken),) = seen_again
    assert image.shape == (128, 128)
    assert taken.is_asked
    stored = open_run(runner.record.path)
    (event,) = [x for x in stored.journal if isinstance(x, SurveyAgainEvent)]
    assert (event.who, event.why) == (Actor.PERSON, "it looks blurred")
    assert "you took the survey image again" in sentence(event)
    drifts = [m.drift_nm for m in stored.measurements]
    assert drifts[: taken.step] == [None] * taken.step
    assert None not in drifts[taken.step :]


def test_images_taken_again_count_for_the_dose_budget(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.1))
    image_e = 20e-12 * 128 * 128 * 1e-5 / 1.602176634e-19
    spectrum_e = 20e-12 * EXPOSURE_S / 1.602176634e-19
    settings = drift_experiment(30, every=100)
    # The first image, one more at the begin, then after 1, 2 and 4 steps.
    budget = Budget(steps=30, dose_e=5 * image_e + 6.5 * spectrum_e)
    runner = run(lab.runner(settings.replaced(budget=budget)))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "dose" in runner.finish_text
    assert len(runner.measurements) == 6
    assert len(open_run(runner.record.path).images_again) == 4


def test_much_drift_is_warned_of_once(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.5))
    run(lab.runner(drift_experiment(60, every=5, warn_nm=10)))
    about = [text for text in lab.warnings if "has drifted by" in text]
    assert len(about) == 1


def test_a_sample_that_comes_back_is_not_far_any_more(tmp_path):
    jumps = {14: (20.0, 0.0), 24: (-20.0, 0.0)}
    lab = DriftLab(tmp_path, drifting(0, 0.0))
    runner = lab.runner(drift_experiment(30, every=5, largest_jump_nm=30, warn_nm=10))
    runner.events.measured.connect(
        lambda m: lab.bare.jump(*jumps[m.step]) if m.step in jumps else None
    )
    over = []
    runner.events.warning_over.connect(over.append)
    run(runner)
    assert over == [text for text in lab.warnings if "has drifted by" in text] != []


def test_a_survey_image_of_before_is_taken_again_at_the_start(tmp_path):
    lab = DriftLab(tmp_path, drifting(0, 0.0))
    survey = lab.gate.acquire_survey(("HAADF", "BF"), (128, 128), 1e-5)
    lab.bare.jump(20.0, -15.0)
    runner = run(lab.runner(drift_experiment(6, every=10), survey=survey))
    (first, *_) = open_run(runner.record.path).images_again
    assert first.is_anew
    assert first.offset_nm == pytest.approx((20.0, -15.0), abs=1.0)
    assert rms(placing_errors_px(runner, lab.bare)) < 0.5


def test_a_position_off_the_field_is_no_place_for_the_beam():
    frame = FieldFrame((8, 8), (80.0, 80.0))
    field = AllowedField(frame, Regions(), (30.0, 0.0))
    assert field.refusal(ProbePosition(math.nan, 0.5)) is not None
    regions = Regions(forbidden=(column_region("zone", 2),))
    held = AllowedField(frame, regions, (0.0, 20.0))
    assert held.refusal(frame.position(0, 4)) is not None
    assert held.refusal(frame.position(0, 2)) is None
    assert held.refusal_of_scan(Area(0.5, 0.0, 0.6, 1.0)) is not None
    assert held.refusal_of_scan(Area(0.25, 0.0, 0.375, 1.0)) is None
