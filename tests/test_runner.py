from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes import FakeInstrument, FakeSettings, bump
from lab import TIMEOUT_S, Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import (
    LogExpectedImprovement,
    UpperConfidenceBound,
)
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy_settings import InitialDesign, MoveSettings
from napari_hae.agent.scalarizers import BandMaximum, BandRatio
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.choice import Choice
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.journal_events import Actor, RefusalEvent
from napari_hae.experiment.refusals import RefusalReason
from napari_hae.experiment.settings import (
    Budget,
    LoopSettings,
    MeasurementSettings,
)
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.base import InstrumentError
from napari_hae.regions.regions import (
    AdjustedRegion,
    Regions,
    SoftRegion,
)
from napari_hae.types import BeamState, ChosenBy, Measurement, ProbePosition


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def test_the_candidates_are_shown_as_the_model_sees_them(lab):
    without = run(lab.runner(experiment()))
    assert without.latest_picture is None
    settings = experiment(acquisition=LogExpectedImprovement())
    runner = lab.runner(settings)
    assert runner.latest_picture is None
    assert run(runner).latest_picture.shape == (64, 2)


def test_a_run_measures_what_its_budget_says_and_never_a_pixel_twice(lab):
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(lab.bare.beam.exposed) == 12
    assert len(set(path_of(runner.measurements))) == 12
    assert lab.gate.status().beam is BeamState.BLANKED


def test_the_states_follow_each_other_and_end_idle(lab):
    runner = lab.runner(experiment())
    states = []
    runner.events.state_changed.connect(states.append)
    run(runner)
    assert states == [
        RunPhase.INITIALISING,
        RunPhase.RUNNING,
        RunPhase.FINISHING,
        RunPhase.IDLE,
    ]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_agent_finds_the_bump(lab, lookahead, batch):
    settings = experiment(
        acquisition=LogExpectedImprovement(),
        loop=LoopSettings(lookahead=lookahead, batch=batch),
        budget=Budget(steps=16 + 2 * batch),
    )
    runner = run(lab.runner(settings))
    frame = FieldFrame((8, 8), (80.0, 80.0))
    top = max(bump(frame.position(r, c)) for r in range(8) for c in range(8))
    assert max(m.target for m in runner.measurements) == pytest.approx(
        4 * top / settings.measurement.exposure_s
    )


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_same_seed_gives_the_same_path(lab, lookahead, batch):
    settings = experiment(
        acquisition=LogExpectedImprovement(),
        loop=LoopSettings(lookahead=lookahead, batch=batch),
    )
    first, second = run(lab.runner(settings)), run(lab.runner(settings))
    assert path_of(first.measurements) == path_of(second.measurements)
    other = run(lab.runner(settings.model_copy(update={"seed": 5})))
    assert path_of(first.measurements) != path_of(other.measurements)


def test_a_measurement_is_on_disk_before_anyone_hears_of_it(lab):
    runner = lab.runner(experiment())
    stored = []

    def look(measurement: Measurement) -> None:
        seen = open_run(runner.record.path).measurements[measurement.step]
        stored.append(np.array_equal(seen.spectrum.counts, measurement.spectrum.counts))

    runner.events.measured.connect(look)
    run(runner)
    assert stored == [True] * 12


def test_a_listener_that_raises_does_not_stop_the_run(lab, caplog):
    runner = lab.runner(experiment())

    def fail(_: object) -> None:
        raise ZeroDivisionError("a bad listener")

    runner.events.measured.connect(fail)
    run(runner)
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "a bad listener" in caplog.text


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("stop_at", [3, 4, 5, 8, 9])
def test_a_resumed_run_goes_on_as_the_uninterrupted_one(lab, lookahead, batch, stop_at):
    settings = experiment(
        acquisition=UpperConfidenceBound(),
        loop=LoopSettings(lookahead=lookahead, batch=batch),
        seed=3,
    )
    whole = run(lab.runner(settings))
    cut = lab.runner(settings)

    def stop(measurement: Measurement) -> None:
        if measurement.step + 1 == stop_at:
            cut.stop()

    cut.events.measured.connect(stop)
    run(cut)
    assert cut.finish_reason is FinishReason.STOPPED
    # One more where the next exposure was under way when it was told.
    assert len(cut.measurements) - stop_at in (0, 1)
    resumed = run(lab.resumed(cut, 12))
    assert path_of(resumed.measurements) == path_of(whole.measurements)
    means = [m.proposal.mean for m in resumed.measurements]
    assert np.array_equal(
        means, [m.proposal.mean for m in whole.measurements], equal_nan=True
    )


@pytest.mark.parametrize(
    ("lookahead", "lags"), [(0, [0, 1, 2]), (1, [3, 4, 5])], ids=["at once", "ahead"]
)
def test_the_positions_of_a_batch_are_chosen_on_the_same_knowledge(
    lab, lookahead, lags
):
    settings = experiment(
        acquisition=UpperConfidenceBound(),
        loop=LoopSettings(lookahead=lookahead, batch=3),
        budget=Budget(steps=14),
    )
    runner = run(lab.runner(settings))
    chosen = [m.proposal for m in runner.measurements][settings.initial.points :]
    assert [p.step - p.known for p in chosen[3:9]] == 2 * lags
    assert len(set(path_of(runner.measurements))) == 14


def test_a_run_that_was_killed_resumes_from_its_last_whole_line(lab):
    whole = run(lab.runner(experiment(acquisition=UpperConfidenceBound())))
    journal = whole.record.path / "journal.jsonl"
    lines = journal.read_bytes().split(b"\n")
    measured = [i for i, line in enumerate(lines) if b'"event": "measurement"' in line]
    torn = b"\n".join(lines[: measured[8]]) + b"\n" + lines[measured[8]][:20]
    journal.write_bytes(torn)
    assert len(open_run(whole.record.path).measurements) == 8
    resumed = run(lab.resumed(whole, 12))
    assert path_of(resumed.measurements) == path_of(whole.measurements)
    assert len(open_run(whole.record.path).measurements) == 12


def test_a_run_of_an_older_format_is_read_and_its_targets_are_made_again(lab):
    whole = run(lab.runner(experiment()))
    journal = whole.record.path / "journal.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    for entry in entries:
        if entry["event"] == "start":
            entry["format"] = 1
        if entry["event"] == "measurement":
            # In counts, not per second.
            entry["target"] *= 0.1
            entry.pop("error", None)
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    old = open_run(whole.record.path)
    assert np.isnan([m.error for m in old.measurements]).all()
    resumed = run(lab.resumed(whole, 14))
    assert resumed.finish_reason is FinishReason.COMPLETED
    targets = [m.target for m in resumed.measurements[:12]]
    assert targets == pytest.approx([m.target for m in whole.measurements])


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_run_with_adaptive_exposures_resumes_as_it_would_have_gone_on(lab, lookahead):
    settings = experiment(
        acquisition=LogExpectedImprovement(),
        loop=LoopSettings(lookahead=lookahead),
        measurement=MeasurementSettings(exposure_s=0.01, relative_error=0.1),
        moves=MoveSettings(per_exposure=True),
    )
    whole = run(lab.runner(settings))
    assert len({m.spectrum.exposure_s for m in whole.measurements}) > 1
    first = run(lab.runner(settings.replaced(budget=Budget(steps=7))))
    resumed = run(lab.resumed(first, 12))
    assert path_of(resumed.measurements) == path_of(whole.measurements)
    stored = open_run(first.record.path)
    assert [m.spectrum.exposure_s for m in stored.measurements] == [
        m.spectrum.exposure_s for m in whole.measurements
    ]


def test_pause_blanks_and_holds_until_resumed(lab):
    runner = lab.runner(experiment())
    paused = threading.Event()

    def on_state(state: RunPhase) -> None:
        if state is RunPhase.PAUSED:
            paused.set()

    runner.events.state_changed.connect(on_state)
    runner.start(paused=True)
    assert paused.wait(TIMEOUT_S)
    assert lab.bare.beam.exposed == []
    assert not lab.bare.beam.on
    paused.clear()
    runner.step()
    assert paused.wait(TIMEOUT_S)
    assert len(runner.measurements) == 1
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert len(runner.measurements) == 12


def test_abort_blanks_at_once_and_discards_the_exposure(lab):
    lab.bare.hold = threading.Event()
    exposing = threading.Event()
    lab.bare.during_exposure = lambda _: exposing.set()
    runner = lab.runner(experiment())
    runner.start()
    assert exposing.wait(TIMEOUT_S)
    runner.abort()
    assert not lab.bare.beam.on
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.ABORTED
    assert open_run(runner.record.path).measurements == ()


def test_an_instrument_that_fails_ends_the_run_in_words(lab):
    def fail(position: ProbePosition) -> None:
        if len(lab.bare.beam.exposed) == 3:
            raise RuntimeError("the camera caught fire")

    lab.bare.during_exposure = fail
    runner = run(lab.runner(experiment()))
    assert runner.finish_reason is FinishReason.FAILED
    assert "the camera caught fire" in runner.finish_text
    stored = open_run(runner.record.path)
    assert stored.finish_reason is FinishReason.FAILED
    assert len(stored.measurements) == 2
    assert not lab.bare.beam.on


def test_what_fails_at_the_end_keeps_nothing_else_from_being_ended(lab, monkeypatch):
    """The disk fails while the next place is exposed, and then the abort does too."""
    monkeypatch.setattr(Choice, "is_known", lambda *_: True)
    runner = lab.runner(experiment(acquisition=LogExpectedImprovement()))
    write, abort = runner.record.measurement, lab.bare.abort

    def fail(measurement: Measurement, **more: object) -> None:
        if measurement.step == 8:
            raise OSError("no space left")
        write(measurement, **more)

    def fail_to_abort() -> None:
        abort()
        raise InstrumentError("no answer to the abort")

    monkeypatch.setattr(runner.record, "measurement", fail)
    monkeypatch.setattr(lab.bare, "abort", fail_to_abort)
    run(runner)
    assert runner.finish_reason is FinishReason.FAILED
    assert "no space left" in runner.finish_text
    assert "no answer to the abort" in runner.finish_text
    assert open_run(runner.record.path).latest_maps() is not None
    names = [each.name for each in threading.enumerate()]
    ours = [name for name in names if "hae-beam" in name or "hae-agent" in name]
    assert ours == []
    assert not lab.bare.beam.on


def test_every_allowed_position_measured_exhausts_the_run(lab):
    regions = Regions(interest=(column_region("edge", 0),))
    runner = run(lab.runner(experiment(), regions=regions))
    assert runner.finish_reason is FinishReason.EXHAUSTED
    assert sorted(path_of(runner.measurements)) == [(row, 0) for row in range(8)]


def ordered_last_of_all(lab, order):
    """A run of an edge, in which something is ordered when all of that is measured.

    The step has begun then, and the agent is about to be asked.
    """
    regions = Regions(interest=(column_region("edge", 0),))
    runner = lab.runner(experiment(budget=Budget(steps=12)), regions=regions)
    orders = [order]

    def on_state(state):
        if state is RunPhase.PAUSED and len(runner.measurements) == 8:
            runner.resume()
        elif state is RunPhase.PAUSED:
            runner.step()
        elif len(runner.measurements) == 8 and orders:
            orders.pop()(runner)

    runner.events.state_changed.connect(on_state)
    runner.start(paused=True)
    assert runner.wait(TIMEOUT_S)
    return runner


def test_regions_that_are_widened_just_in_time_let_a_run_go_on(lab):
    runner = ordered_last_of_all(lab, lambda runner: runner.set_regions(Regions()))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(runner.measurements) == 12


def test_a_place_asked_for_just_in_time_is_measured(lab):
    runner = ordered_last_of_all(lab, lambda runner: runner.measure_next([(3, 0)]))
    assert runner.finish_reason is FinishReason.EXHAUSTED
    assert path_of(runner.measurements)[8:] == [(3, 0)]


def test_an_attended_run_waits_for_wider_regions_instead(lab):
    regions = Regions(interest=(column_region("edge", 0),))
    runner = lab.runner(experiment(), regions=regions, attended=True)
    warned = threading.Event()
    told: list[str] = []
    over: list[str] = []

    def on_warned(text: str) -> None:
        told.append(text)
        warned.set()

    runner.events.warned.connect(on_warned)
    runner.events.warning_over.connect(over.append)
    runner.start()
    assert warned.wait(TIMEOUT_S)
    assert len(runner.measurements) == 8
    assert over == []
    runner.set_regions(Regions())
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert over == told
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(runner.measurements) == 12


def test_approval_is_asked_and_a_veto_keeps_the_place_out(lab):
    settings = experiment(
        acquisition=UpperConfidenceBound(), loop=LoopSettings(approve=True)
    )
    runner = lab.runner(settings)
    vetoed: list[tuple[int, int]] = []

    def answer(state: RunPhase) -> None:
        if state is not RunPhase.WAITING:
            return
        proposal = runner.latest_proposal
        assert not lab.bare.beam.on
        if len(vetoed) < 2:
            vetoed.append((proposal.row, proposal.column))
            threading.Thread(target=runner.veto).start()
        else:
            threading.Thread(target=runner.approve).start()

    runner.events.state_changed.connect(answer)
    run(runner)
    assert len(runner.measurements) == 12
    assert len(vetoed) == 2
    assert not set(vetoed) & set(path_of(runner.measurements))
    assert open_run(runner.record.path).vetoed == set(vetoed)


def test_a_changed_scalarizer_recomputes_all_targets_and_is_journalled(lab):
    runner = lab.runner(experiment())
    retargeted = []
    runner.events.retargeted.connect(retargeted.append)

    def change(measurement: Measurement) -> None:
        if measurement.step == 5:
            new = BandMaximum(low_ev=0.3, high_ev=0.6)
            runner.configure(scalarizer=new)

    runner.events.measured.connect(change)
    run(runner)
    # One more where the next exposure was under way when it was told.
    assert len(retargeted[-1]) in (6, 7)
    for measurement in runner.measurements:
        spectrum = measurement.spectrum
        per_second = spectrum.counts.max() / spectrum.exposure_s
        assert measurement.target == pytest.approx(per_second)
    stored = open_run(runner.record.path)
    assert [m.target for m in stored.measurements] == [
        m.target for m in runner.measurements
    ]
    lines = (runner.record.path / "journal.jsonl").read_text().splitlines()
    changes = [json.loads(x) for x in lines if '"settings"' in x and '"human"' in x]
    assert changes[0]["step"] == len(retargeted[-1])
    assert changes[0]["changes"]["scalarizer"]["old"]["kind"] == "band_integral"


def test_how_a_run_begins_is_not_changed_in_its_middle(lab):
    runner = lab.runner(experiment())
    begun = runner.settings

    def change(measurement: Measurement) -> None:
        if measurement.step == 2:
            begin = {"initial": InitialDesign(points=8), "seed": 7}
            budget = Budget(steps=10)
            runner.configure(**begin, budget=budget)

    runner.events.measured.connect(change)
    run(runner)
    assert len(runner.measurements) == 10
    assert runner.settings.initial == begun.initial
    assert runner.settings.seed == begun.seed
    stored = open_run(runner.record.path)
    changes = [x.changes for x in stored.journal if x.who is Actor.PERSON]
    assert [list(each) for each in changes] == [["budget"]]


def test_a_band_off_the_energy_axis_is_refused_in_words(lab):
    runner = run(lab.runner(experiment(scalarizer=BandMaximum(low_ev=90, high_ev=91))))
    assert runner.finish_reason is FinishReason.FAILED
    assert "holds no channel" in runner.finish_text
    with pytest.raises(ValueError, match="holds no channel"):
        new = BandMaximum(low_ev=70, high_ev=71)
        runner.configure(scalarizer=new)


def test_a_file_that_nothing_can_be_learned_from_is_refused_in_words(lab, tmp_path):
    runner = run(lab.runner(experiment()))
    model = ModelSettings(earlier=tmp_path / "missing.npz")
    with pytest.raises(ValueError, match="holds no experience"):
        runner.configure(model=model)


def test_a_spectrum_without_a_target_is_kept_marked_and_warned_of(lab, monkeypatch):
    scalarizer = BandRatio(
        low_ev=0.3, high_ev=0.6, reference_low_ev=0.9, reference_high_ev=1.2
    )
    measure = lab.bare.acquire_spectrum

    def dark_in_places(detector: str, exposure_s: float):
        spectrum = measure(detector, exposure_s)
        if spectrum.position.x < 0.5:
            spectrum.counts[:] = 0
        return spectrum

    monkeypatch.setattr(lab.bare, "acquire_spectrum", dark_in_places)
    settings = experiment(scalarizer=scalarizer, acquisition=UpperConfidenceBound())
    runner = lab.runner(settings)
    warnings = []
    runner.events.warned.connect(warnings.append)
    run(runner)
    unusable = [m for m in runner.measurements if not m.usable]
    assert runner.finish_reason is FinishReason.COMPLETED
    assert 0 < len(unusable) < 12
    assert len(warnings) == len(unusable)
    assert "left out of training" in warnings[0]
    assert open_run(runner.record.path).warnings == tuple(warnings)


def test_the_dose_budget_ends_the_run_before_it_is_exceeded(lab):
    one_e = lab.gate.capabilities().current_pa * 1e-12 * 0.1 / 1.602176634e-19
    runner = run(lab.runner(experiment(budget=Budget(steps=12, dose_e=5.5 * one_e))))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert len(lab.bare.beam.exposed) == 5


def test_a_dose_budget_without_a_known_current_is_refused(tmp_path):
    lab = Lab(tmp_path, FakeInstrument(FakeSettings(current_pa=None)))
    runner = run(lab.runner(experiment(budget=Budget(steps=12, dose_e=1e9))))
    assert runner.finish_reason is FinishReason.FAILED
    assert "beam current" in runner.finish_text
    assert lab.bare.beam.exposed == []


def test_initial_points_are_marked_as_such(lab):
    runner = run(lab.runner(experiment(acquisition=UpperConfidenceBound())))
    chosen = [m.proposal.chosen_by for m in runner.measurements]
    assert chosen[:4] == [ChosenBy.INITIAL] * 4
    assert set(chosen[4:]) == {ChosenBy.AGENT}


SIZE = 8


@st.composite
def painted(draw: st.DrawFn) -> Regions:
    """Random regions of all kinds, some empty, some adjusted, some switched off."""

    def regions(
        name: str, least_nm: float, widths_nm: st.SearchStrategy[float | None]
    ) -> tuple[AdjustedRegion, ...]:
        count = draw(st.integers(0, 2))
        masks = [
            draw(st.lists(st.integers(0, SIZE - 1), max_size=5)) for _ in range(count)
        ]
        return tuple(
            AdjustedRegion(
                column_region(f"{name} {i}", *columns),
                draw(st.just(0.0) | st.floats(least_nm, 25)),
                draw(st.none() | widths_nm),
                draw(st.booleans()),
            )
            for i, columns in enumerate(masks)
        )

    widths_nm = st.floats(1, 30)
    soft = regions("soft", -25, widths_nm)
    return Regions(
        interest=regions("interest", -25, widths_nm),
        forbidden=regions("forbidden", 0, st.none()),
        soft=tuple(SoftRegion(each, draw(st.floats(-3, 3))) for each in soft),
    )


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory) -> Lab:
    return Lab(tmp_path_factory.mktemp("random runs"))


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    paintings=st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from(["placing", "exposing"]), painted()
        ),
        max_size=4,
    ),
    lookahead=st.sampled_from([0, 1]),
    batch=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**20),
)
def test_nothing_is_ever_measured_where_it_was_forbidden_at_that_moment(
    shared_lab, paintings, lookahead, batch, seed
):
    """Random masks at random moments of random runs: no violation, in 300 cases."""
    bare = FakeInstrument()
    lab = Lab(shared_lab.folder, bare)
    lab.runs = shared_lab.runs
    runner = lab.runner(
        experiment(
            loop=LoopSettings(lookahead=lookahead, batch=batch),
            budget=Budget(steps=10),
            seed=seed,
        )
    )
    shared_lab.runs = lab.runs
    frame = FieldFrame((SIZE, SIZE), (80.0, 80.0))
    in_force = [Regions()]
    violations: list[ProbePosition] = []
    seen: list[Regions] = []
    clean: list[ProbePosition] = []
    exposures = [0]

    def paint(moment: str) -> None:
        for step, when, regions in paintings:
            if step == exposures[0] and when == moment:
                in_force[0] = regions
                seen.append(regions)
                runner.set_regions(regions)

    place = bare.place_beam

    def place_and_watch(position: ProbePosition) -> None:
        if in_force[0].allows(*frame.nm(position)) is not None:
            violations.append(position)
        place(position)
        paint("placing")

    def expose_and_watch(position: ProbePosition) -> None:
        if in_force[0].allows(*frame.nm(position)) is not None:
            violations.append(position)
        seen.clear()
        paint("exposing")
        exposures[0] += 1
        if not any(regions.allows(*frame.nm(position)) for regions in seen):
            clean.append(position)

    bare.place_beam = place_and_watch
    bare.during_exposure = expose_and_watch
    run(runner)
    assert violations == []
    # What was closed while it was exposed is discarded, and nothing else is.
    assert [m.spectrum.position for m in runner.measurements] == clean
    assert not bare.beam.on
    assert runner.finish_reason in (FinishReason.COMPLETED, FinishReason.EXHAUSTED)


def test_the_time_budget_ends_a_wait_for_approval(lab):
    budget = Budget(steps=12, time_s=0.2)
    settings = experiment(
        initial=InitialDesign(points=2), loop=LoopSettings(approve=True), budget=budget
    )
    runner = run(lab.runner(settings))
    assert runner.finish_reason is FinishReason.COMPLETED
    assert "time budget" in runner.finish_text
    journal = open_run(runner.record.path).journal
    refused = [event for event in journal if isinstance(event, RefusalEvent)]
    assert refused[-1].reason is RefusalReason.TIME_OVER
