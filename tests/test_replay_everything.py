"""All that a person may do, in one run: done again, retraced, stopped, and killed."""

from __future__ import annotations

import shutil
import time
from dataclasses import astuple, replace

import numpy as np
import pytest

from fakes import ENERGY, FakeInstrument, FakeSettings
from lab import TIMEOUT_S, Lab, column_region, experiment, path_of
from napari_hae.agent.acquisition import (
    LogExpectedImprovement,
    ThompsonSampling,
    UpperConfidenceBound,
)
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.scalarizers import BandMaximum
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment import following
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.finer import acquire_finer, begin_finer
from napari_hae.experiment.forensics.counterfactual import counterfactual
from napari_hae.experiment.forensics.retracing import Retracing, retrace
from napari_hae.experiment.forensics.timeline import timeline_of
from napari_hae.experiment.journal_events import MeasurementEvent, SettingsEvent
from napari_hae.experiment.plans import AgentPlan, RasterPlan
from napari_hae.experiment.record import JOURNAL, Record
from napari_hae.experiment.refusals import RefusalReason
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.sentences import step_of
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    LoopSettings,
    MeasurementSettings,
)
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.votes import Vote
from napari_hae.regions.regions import Regions, SoftRegion
from napari_hae.types import WHOLE_FIELD, Area, ChosenBy, ScanImage

SIDE = 40
FIELD_NM = 80.0
TOP = (0.0, 0.0, 1.0, 0.6)
"""The fiducial region; what is forbidden lies below."""
FINER = Area(0.4, 0.1, 0.9, 0.5)
STEPS = 28


class Moving(FakeInstrument):
    """A sample that moves on with each scan; all that is measured follows from where.

    So another one can go on where this one was left.
    """

    speed = 1.0

    def __init__(self, scans: int = 0) -> None:
        super().__init__(FakeSettings(shape=(SIDE, SIDE), scans_areas=True))
        self.scans = scans

    def capabilities(self):
        return replace(super().capabilities(), smallest_survey_shape=(16, 16))

    def acquire_survey(self, detectors, shape, dwell_time_s, area=WHOLE_FIELD):
        self._check()
        frame = FieldFrame(shape, (FIELD_NM * area.height, FIELD_NM * area.width), area)
        places = [frame.position(*pixel) for pixel in np.ndindex(shape)]
        image = self.density(*np.array([(each.y, each.x) for each in places]).T)
        self.scans += 1
        data = image.reshape(1, *shape).astype(np.float32)
        return ScanImage(data, ("HAADF",), frame.fov_nm, dwell_time_s, area)

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        x, y = spectrum.position.x, spectrum.position.y
        channels = np.arange(ENERGY.size)
        lines = [np.exp(-((channels - at) ** 2) / 2) for at in (4, 9)]
        rate = 1e3 * self.density(y, x) * (lines[0] + x * lines[1]) + 10
        noise = np.random.default_rng(np.array([y, x]).view(np.uint64).tolist())
        counts = noise.poisson(rate * exposure_s).astype(np.float32)
        return replace(spectrum, counts=counts)

    def density(self, y, x):
        """What there is at places of the field, as fractions of it."""
        moved = self.speed * self.scans
        down, right = y - 0.006 * moved, x + 0.004 * moved
        waves = sum(
            np.sin(a * down + b * right + c)
            for a, b, c in ((23, 5, 0), (-7, 31, 1), (17, -19, 2), (37, 29, 3))
        )
        bump = np.exp(-((right - 0.7) ** 2 + (down - 0.3) ** 2) / 0.03)
        return 1 + 0.1 * waves + 2 * bump


class Clock:
    """Stands still, unless the person who is waited for takes some time."""

    def __init__(self) -> None:
        self._now_s = self._began_s = time.time()
        self.takes_s = 0.0

    def time(self) -> float:
        return self._began_s

    def monotonic(self) -> float:
        self._now_s += self.takes_s
        return self._now_s


def changed(**sections):
    """Something that a person changes in the settings."""
    return lambda runner: runner.configure(**sections)


def approving(approve):
    def change(runner):
        loop = runner.settings.loop.model_copy(update={"approve": approve})
        runner.configure(loop=loop)

    return change


def linger(runner):
    """Let the sample drift on meanwhile, as far as anybody knows."""
    following.time.takes_s = 0.3


def painted(**regions):
    return lambda runner: runner.set_regions(Regions(**regions))


def lower_part(region):
    mask = region.mask.copy()
    mask[:14] = False
    return replace(region, mask=mask)


ZONE = lower_part(column_region("zone", *range(3), size=20))
SOFT = SoftRegion(column_region("soft", *range(14, 18), size=20), 2.0)
ADAPTIVE = MeasurementSettings(exposure_s=0.02, relative_error=0.08)
SCHEDULED = UpperConfidenceBound(beta=9, schedule="geometric", until=1, over=8)
STORIES = (
    [changed(scalarizer=BandMaximum(low_ev=0.7, high_ev=1.1))],
    [changed(model=ModelSettings(kernel="rbf")), changed(model=ModelSettings())],
    [changed(acquisition=SCHEDULED), changed(acquisition=ThompsonSampling())],
    [painted(forbidden=(ZONE,)), painted(forbidden=(ZONE,), soft=(SOFT,))],
    [
        lambda runner: runner.vote(1, Vote.GOOD),
        changed(scalarizer=SimilarityToVotes(weight=0.5)),
        lambda runner: runner.vote(3, Vote.BAD),
    ],
    [
        lambda runner: runner.discard(2),
        lambda runner: runner.discard(2, is_discarded=False),
    ],
    [lambda runner: runner.measure_next([(11, 8), (30, 31)])],
    [changed(plan=RasterPlan(stride_px=9)), changed(plan=AgentPlan())],
    [changed(measurement=ADAPTIVE)],
    [lambda runner: runner.survey_again()],
    [approving(True), approving(False)],
    [linger, linger],
)
"""What a person does, one thing after the other; stories interleave as they like."""


def interleaved(seed, first):
    """What is done before which step: each story in its order, mixed by chance."""
    order = np.repeat(np.arange(len(STORIES)), [len(story) for story in STORIES])
    np.random.default_rng(seed).shuffle(order)
    told = [iter(story) for story in STORIES]
    return {first + place: next(told[story]) for place, story in enumerate(order)}


def steered(runner, deeds, stop_at=None):
    """Run with a person who holds before each step, does what is planned, and goes on.

    The first proposal that waits for approval is vetoed.
    """
    planned, vetoed = dict(deeds), list(open_run(runner.record.path).vetoed)

    def on_state(state):
        following.time.takes_s = 0.0
        step = len(runner.measurements)
        if state is RunPhase.PAUSED and step == stop_at:
            runner.stop()
        elif state is RunPhase.PAUSED:
            planned.pop(step, lambda _: None)(runner)
            runner.step()
        elif state is RunPhase.WAITING and not vetoed:
            vetoed.append(runner.latest_proposal)
            runner.veto(why="seen that")
        elif state is RunPhase.WAITING:
            runner.approve()

    runner.events.state_changed.connect(on_state)
    runner.start(paused=True)
    assert runner.wait(TIMEOUT_S)
    ends = FinishReason.COMPLETED, FinishReason.STOPPED
    assert runner.finish_reason in ends, runner.finish_text
    return open_run(runner.record.path)


def begun(folder, seed, lookahead, batch=1, steps=STEPS, instrument=None):
    folder.mkdir()
    settings = experiment(
        acquisition=ThompsonSampling() if seed % 2 else LogExpectedImprovement(),
        loop=LoopSettings(lookahead=lookahead, batch=batch, maps_every=1),
        drift=DriftSettings(every=4, fiducial=TOP),
        measurement=MeasurementSettings(exposure_s=0.02),
        budget=Budget(steps=steps),
        seed=seed,
    )
    return Lab(folder, instrument or Moving()).runner(settings)


def resumed(path, steps=STEPS, scans=0, instrument=Moving):
    """A runner that goes on, on a microscope as the other one was left.

    `scans` are those before the record.
    """
    past = open_run(path)
    record = Record.reopen(past)
    settings = past.settings.replaced(budget=Budget(steps=steps))
    lab = Lab(path.parent, instrument(scans + past.surveys))
    return Runner(lab.gate, record, settings, past=past)


def killed(run, step, out):
    """The record of a run whose program ended while it wrote that a step is measured.

    All that a person did before that step is in it.
    """
    shutil.copytree(run.path, out)
    lines = (run.path / JOURNAL).read_bytes().splitlines(keepends=True)
    cut = next(
        place
        for place, event in enumerate(run.journal)
        if isinstance(event, MeasurementEvent) and event.step == step
    )
    torn = lines[cut][: len(lines[cut]) // 2]
    (out / JOURNAL).write_bytes(b"".join(lines[:cut]) + torn)
    return out


def from_step(deeds, step):
    return {before: deed for before, deed in deeds.items() if before >= step}


def expect_same(run, whole):
    """Every bit of two runs is the same: path, targets, predictions, and maps."""
    expect_same_path(run, whole)
    assert run.maps_known == whole.maps_known
    for one, other in zip(run.maps(), whole.maps(), strict=True):
        np.testing.assert_equal(astuple(one), astuple(other))


def expect_same_path(run, whole):
    for one, other in zip(run.measurements, whole.measurements, strict=True):
        # As text NaN equals itself, and every digit is told.
        assert repr(one.proposal) == repr(other.proposal)
        assert repr(told(one)) == repr(told(other))
        np.testing.assert_array_equal(one.spectrum.counts, other.spectrum.counts)
    for name in ("settings", "queue", "votes", "vetoed", "discarded", "exposures"):
        assert getattr(run, name) == getattr(whole, name), name
    assert run.regions.to_json() == whole.regions.to_json()
    assert repr(run.images_again) == repr(whole.images_again)


def told(measurement):
    """What is known of a measurement beside its proposal, counts, and times."""
    spectrum = replace(measurement.spectrum, counts=None)
    return replace(measurement, proposal=None, spectrum=spectrum, times=None)


def expect_retraced(run):
    """The agent, led through the journal, proposes again all that it proposed.

    Returns its answers, each with the decision that it was asked for.
    """
    answers = []
    agent = Retracing(run, timeline_of(run), lambda *answer: answers.append(answer))
    retrace(run, agent)
    of_agent = [
        (decision, answer)
        for decision, answer in answers
        if decision.proposal.chosen_by in (ChosenBy.AGENT, ChosenBy.INITIAL)
    ]
    for decision, (proposal, _) in of_agent:
        assert repr(proposal) == repr(decision.proposal)
    again = counterfactual(run, timeline_of(run), {}, None, name="the same")
    assert list(again.path) == path_of(run.measurements)
    return of_agent


@pytest.fixture(scope="module", autouse=True)
def clock():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "time", Clock())
        yield


CASES = [(2, 1, 1), (5, 0, 1), (11, 1, 1), (6, 1, 3), (9, 0, 4), (13, 1, 5)]


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """A seed, look-ahead and batch, what a person does, and the run that came of it."""
    deeds = interleaved(request.param[0], first=4)
    runner = begun(tmp_path_factory.mktemp("whole") / "run", *request.param)
    return request.param, deeds, steered(runner, deeds)


def test_all_of_it_happens(case):
    *_, run = case
    assert len(run.measurements) == STEPS
    who = {m.proposal.chosen_by for m in run.measurements}
    assert who == {*ChosenBy} - {ChosenBy.EARLIER}
    assert len({m.spectrum.exposure_s for m in run.measurements}) > 1
    assert len(run.vetoed) == 1
    assert any(each.is_asked for each in run.images_again)
    assert any(each.waited_s for each in run.images_again)
    assert len(run.regions.forbidden) == len(run.regions.soft) == 1
    sections = {
        section
        for event in run.journal
        if isinstance(event, SettingsEvent)
        for section in event.changes
    }
    expected = {"scalarizer", "model", "acquisition", "plan", "measurement", "loop"}
    assert sections >= expected


def test_done_again_it_comes_out_the_same(case, tmp_path):
    how, deeds, whole = case
    expect_same(steered(begun(tmp_path / "again", *how), deeds), whole)


def test_the_agent_led_through_the_journal_answers_the_same(case):
    *_, whole = case
    stored = dict(zip(whole.maps_known, whole.maps(), strict=True))
    compared = 0
    for decision, (_, maps) in expect_retraced(whole):
        if maps is not None and not decision.is_refused:
            then = stored[decision.proposal.step + 1]
            np.testing.assert_equal(astuple(maps), astuple(then))
            compared += 1
    assert compared >= 10


@pytest.mark.parametrize("step", [13])
def test_stopped_and_gone_on_with_it_comes_out_the_same(case, tmp_path, step):
    how, deeds, whole = case
    half = steered(begun(tmp_path / "half", *how), deeds, stop_at=step)
    assert len(half.measurements) == step
    run = steered(resumed(half.path), from_step(deeds, step))
    expect_same(run, whole)
    expect_retraced(run)


@pytest.mark.parametrize("step", [7, 16, 22])
def test_killed_and_gone_on_with_it_comes_out_the_same(case, tmp_path, step):
    *_, deeds, whole = case
    torn = killed(whole, step, tmp_path / "torn.hae")
    assert len(open_run(torn).measurements) == step
    expect_same(steered(resumed(torn), from_step(deeds, step + 1)), whole)


def test_in_a_finer_image_it_comes_out_the_same(case, tmp_path):
    *_, whole = case
    past = open_run(whole.path)
    lab = Lab(tmp_path, Moving(past.surveys))
    image = acquire_finer(lab.gate, past.survey, FINER, 1e-5)

    def begun(name):
        to = tmp_path / name
        known = lab.bare.settings
        return begin_finer(
            past, image, to, instrument_settings=known, regions=Regions()
        )

    taken = len(open_run(begun("look")).measurements)
    deeds = {
        taken + 1: changed(acquisition=SCHEDULED, plan=AgentPlan()),
        taken + 2: painted(soft=(SOFT,)),
        taken + 3: lambda runner: runner.discard(taken),
        taken + 4: lambda runner: runner.measure_next([(3, 4)]),
    }
    more = {"steps": taken + 9, "scans": past.surveys}
    run = steered(resumed(begun("finer"), **more), deeds)
    assert taken >= 4 and len(run.measurements) == taken + 9
    expect_same(steered(resumed(begun("again"), **more), deeds), run)
    expect_retraced(run)
    torn = killed(run, taken + 5, tmp_path / "torn.hae")
    expect_same(steered(resumed(torn, **more), {}), run)


@pytest.mark.parametrize(("seed", "batch"), [(3, 1), (12, 1), (4, 3), (33, 2), (44, 5)])
def test_what_is_ordered_while_the_beam_is_busy_is_replayed_too(tmp_path, seed, batch):
    """When it takes effect depends on the moment; the journal knows when it did."""
    runner = begun(tmp_path / "run", seed, 1, batch, steps=STEPS + 6)
    deeds = interleaved(seed, first=4)
    runner.events.measured.connect(
        lambda measurement: deeds.pop(measurement.step, lambda _: None)(runner)
    )

    def answer(state):
        if state is RunPhase.WAITING:
            runner.approve()

    runner.events.state_changed.connect(answer)
    runner.start()
    assert runner.wait(TIMEOUT_S)
    run = open_run(runner.record.path)
    assert len(run.measurements) == STEPS + 6 and not deeds
    expect_retraced(run)
    for step in (STEPS - 1, STEPS + 2):
        other = resumed(killed(run, step, tmp_path / f"{step}.hae"), STEPS + 6)
        other.start()
        assert other.wait(TIMEOUT_S)
        expect_same_path(open_run(other.record.path), run)


class Fast(Moving):
    """A sample that moves so fast that places leave the field before their turn."""

    speed = 4.0


@pytest.fixture
def long_exposures(monkeypatch):
    """What is computed ahead is always there when an exposure ends."""

    def is_ready(advisor, step):
        ahead = advisor._ahead.get(step)
        return ahead is not None and ahead.exception() is None

    monkeypatch.setattr(Advisor, "is_ready", is_ready)


def expect_same_from(line, run, out, steps, instrument=Moving):
    """Killed after a line of its journal, a run goes on as it did."""
    shutil.copytree(run.path, out)
    lines = (run.path / JOURNAL).read_bytes().splitlines(keepends=True)
    (out / JOURNAL).write_bytes(b"".join(lines[: line + 1]))
    other = resumed(out, steps, instrument=instrument)
    other.start()
    assert other.wait(TIMEOUT_S)
    expect_same_path(open_run(other.record.path), run)


def lines_of(run, step, *events):
    return [
        event.n
        for event in run.journal
        if step_of(event) == step and event.event in events
    ]


@pytest.mark.parametrize(("seed", "batch", "step"), [(6, 4, 11), (8, 3, 26)])
@pytest.mark.usefixtures("long_exposures")
def test_a_place_refused_while_the_beam_is_busy_is_replayed_too(
    tmp_path, seed, batch, step
):
    """What was computed ahead is taken back for it, at the same moment each time."""
    runner = begun(tmp_path / "run", seed, 1, batch, instrument=Fast())
    runner.start()
    assert runner.wait(TIMEOUT_S)
    run = open_run(runner.record.path)
    proposed = lines_of(run, step, "proposal")[0]
    (measured,) = lines_of(run, step - 1, "measurement")
    refused = lines_of(run, step, "refusal")[0]
    assert proposed < measured < refused
    assert run.journal[refused].reason is RefusalReason.FORBIDDEN
    assert "drifted out" in run.journal[refused].detail
    # Its lines and those of what counted on it are written together.
    dropped = run.journal[refused + 1].event == "proposal"
    assert dropped and run.journal[refused + 2].event == "refusal"
    for line in (measured - 1, measured):
        expect_same_from(line, run, tmp_path / f"{line}.hae", STEPS, Fast)


@pytest.mark.usefixtures("long_exposures")
def test_a_place_asked_for_while_the_next_is_exposed_is_replayed_too(tmp_path):
    """The next is the one that was begun before; what follows was not known yet."""
    steps = 13
    runner = begun(tmp_path / "run", 2, 1, steps=steps)

    def on_measured(measurement):
        if measurement.step == 8:
            runner.measure_next([(11, 8), (30, 31)])

    runner.events.measured.connect(on_measured)
    runner.start()
    assert runner.wait(TIMEOUT_S)
    run = open_run(runner.record.path)
    who = [m.proposal.chosen_by for m in run.measurements[9:13]]
    agent, human = ChosenBy.AGENT, ChosenBy.HUMAN
    assert who == [agent, human, human, agent]
    (asked,) = lines_of(run, 10, "queue")
    for line in range(asked, lines_of(run, 11, "measurement")[0] + 1):
        if run.journal[line].event != "refusal":
            expect_same_from(line, run, tmp_path / f"{line}.hae", steps)
