"""What is said of a stored run afterwards, on small runs with interventions."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest

from measured_files import save
from napari_hae.agent.acquisition import MaximumUncertainty, UpperConfidenceBound
from napari_hae.agent.goal import Goal
from napari_hae.agent.scalarizers import BandIntegral
from napari_hae.experiment.configuration import configure
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.finer import acquire_finer, begin_finer
from napari_hae.experiment.forensics.analysis import Cancelled, analyse
from napari_hae.experiment.forensics.counterfactual import (
    changed_sections,
    completed,
    counterfactual,
)
from napari_hae.experiment.forensics.curves import agreement, expected_best, regret
from napari_hae.experiment.forensics.interventions import LATER
from napari_hae.experiment.forensics.references import ReferenceMaker
from napari_hae.experiment.forensics.timeline import timeline_of
from napari_hae.experiment.forensics.truth import NoTruth, truth_of
from napari_hae.experiment.forensics.visited import CLUSTERS, clustered
from napari_hae.experiment.forensics.words import chance_sentence, summary
from napari_hae.experiment.journal_events import ProposalEvent, RefusalEvent
from napari_hae.experiment.record import JOURNAL, Record
from napari_hae.experiment.refusals import RefusalReason
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import LoopSettings
from napari_hae.experiment.stored import open_run
from napari_hae.instruments.catalogue import guarded
from napari_hae.instruments.simulated_settings import SimulatedSettings
from napari_hae.regions.regions import MaskRegion, Regions, SoftRegion
from napari_hae.types import Area, ChosenBy

TIMEOUT_S = 120
SIDE = 32
STEPS = 26
CHANGE_AT, PAINT_AT = 11, 14


def runner_of(folder, name="simulated", **sections):
    """A runner on a small instrument, and the instrument."""
    values = {
        "budget": {"steps": STEPS},
        "initial": {"points": 6},
        "seed": 1,
        **sections,
    }
    made = configure(name, values)
    gate = guarded(made.instrument, made.instrument_settings)
    gate.connect()
    record = Record.create(
        folder / f"{len(list(folder.iterdir()))}",
        instrument=made.instrument,
        instrument_settings=made.instrument_settings,
        settings=made.settings,
    )
    return Runner(gate, record, made.settings), gate


def finish(runner, gate):
    runner.start()
    assert runner.wait(TIMEOUT_S)
    gate.disconnect()
    return open_run(runner.record.path, trust=True)


def box(*columns, rows=(0, SIDE), field_nm=200.0):
    """A part of the field, from and to rows and columns."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[slice(*rows), slice(*columns)] = True
    scale = SIDE / field_nm
    matrix = np.array([[scale, 0, -0.5], [0, scale, -0.5]])
    return MaskRegion("zone", mask, matrix)


def zone():
    """The upper right of the field."""
    return Regions(forbidden=(box(16, SIDE, rows=(0, 10)),))


def intervene(runner):
    """Do something to a run of each kind, each at its step."""

    def configure_(**sections):
        runner.configure(**sections)

    def act(measurement):
        match measurement.step:
            case step if step == CHANGE_AT:
                configure_(acquisition=UpperConfidenceBound(beta=5.0))
            case step if step == PAINT_AT:
                runner.set_regions(zone())
            case 17:
                configure_(scalarizer=BandIntegral(low_ev=0.65, high_ev=0.75))
            case 20:
                loop = runner.settings.loop
                configure_(loop=loop.model_copy(update={"approve": True}))

    vetoes = iter([True, False, True])

    def answer(state):
        if state is RunPhase.WAITING:
            say = runner.veto if next(vetoes, False) else runner.approve
            say()

    runner.events.measured.connect(act)
    runner.events.state_changed.connect(answer)


SIMULATED = {"instrument": {"shape": [SIDE, SIDE]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def plain(folder):
    """A run on which nobody intervened."""
    return finish(*runner_of(folder, **SIMULATED))


@pytest.fixture(scope="module")
def steered(folder):
    """A run with a change of settings, a zone, another band and two vetoes."""
    runner, gate = runner_of(folder, **SIMULATED)
    intervene(runner)
    return finish(runner, gate)


@pytest.fixture(scope="module")
def cube(folder):
    """A spectrum image whose band 0.4 to 0.7 eV is bright in two blobs."""
    y, x = np.mgrid[:20, :24]
    bright = np.exp(-((y - 6) ** 2 + (x - 16) ** 2) / 12)
    bright += 0.6 * np.exp(-((y - 14) ** 2 + (x - 5) ** 2) / 20)
    counts = np.full((20, 24, 16), 5.0)
    counts[..., 4:8] += 200 * bright[..., None]
    counts = np.random.default_rng(0).poisson(counts).astype(np.uint16)
    axes = (
        {"name": "height", "units": "nm", "scale": 2.0, "size": 20},
        {"name": "width", "units": "nm", "scale": 2.0, "size": 24},
        {"name": "Energy", "units": "eV", "scale": 0.1, "size": 16},
    )
    return save(folder / "cube.hspy", counts, *axes)


@pytest.fixture(scope="module")
def replayed(folder, cube):
    settings = {"file": str(cube), "without_image": "sum_of_channels"}
    return finish(*runner_of(folder, "replay", instrument=settings))


@pytest.fixture(scope="module")
def of_steered(steered):
    return analyse(steered, {"UCB": {"acquisition": UpperConfidenceBound()}})


@pytest.fixture(scope="module")
def of_replayed(replayed):
    return analyse(replayed)


def path_of(run):
    return tuple((m.proposal.row, m.proposal.column) for m in run.measurements)


@pytest.mark.parametrize("name", ["plain", "steered", "replayed"])
def test_recorded_settings_give_the_recorded_path(request, name):
    run = request.getfixturevalue(name)
    timeline = timeline_of(run)
    truth = truth_of(run)
    for known in (truth, None):
        again = counterfactual(run, timeline, {}, known, name="the same")
        assert again.path == path_of(run)
        assert again.parts_at is None
        assert np.array_equal(again.best, again.recorded_best, equal_nan=True)
        assert again.targets == pytest.approx([m.target for m in run.measurements])
    truth.close()


@pytest.mark.parametrize(("lookahead", "batch"), [(0, 1), (1, 1), (0, 3), (1, 3)])
@pytest.mark.parametrize("kind", ["thompson", "log_ei"])
def test_a_steered_run_is_retraced_whatever_its_schedule(
    tmp_path, lookahead, batch, kind
):
    runner, gate = runner_of(
        tmp_path,
        **SIMULATED,
        loop={"lookahead": lookahead, "batch": batch},
        acquisition={"kind": kind},
    )
    intervene(runner)
    run = finish(runner, gate)
    again = counterfactual(run, timeline_of(run), {}, None, name="the same")
    assert again.path == path_of(run)


@pytest.mark.parametrize(("lookahead", "batch"), [(0, 1), (1, 1), (1, 3)])
def test_a_run_with_a_soft_region_painted_in_it_is_retraced(tmp_path, lookahead, batch):
    loop = {"lookahead": lookahead, "batch": batch}
    runner, gate = runner_of(tmp_path, **SIMULATED, loop=loop)
    (region,) = zone().forbidden

    def act(measurement):
        if measurement.step == PAINT_AT:
            runner.set_regions(Regions(soft=(SoftRegion(region, 3.0),)))
        if measurement.step == 21:
            runner.set_regions(Regions(soft=(SoftRegion(region, -3.0),)))

    runner.events.measured.connect(act)
    run = finish(runner, gate)
    found = analyse(run)
    chosen = [m for m in run.measurements if m.proposal.chosen_by is ChosenBy.AGENT]
    same, asked = found.retraced
    assert same == asked >= len(chosen)
    words = [text for each in found.interventions for text in each.words]
    assert words == [
        "you changed the soft regions to zone by +3",
        "you changed the soft regions to zone by -3",
    ]
    # The region moved the agent: a retracing without it would go elsewhere.
    inside = [zone().allows(m.y_nm, m.x_nm) is not None for m in run.measurements]
    assert all(inside[18:21])
    assert not any(inside[25:])
    assert counterfactual(run, timeline_of(run), {}, None, name="").parts_at is None


@pytest.mark.parametrize("kind", ["thompson", "ucb", "maximum_uncertainty"])
def test_what_a_soft_region_and_jumps_come_to_is_that_of_the_run(tmp_path, kind):
    """Until its last steps, when hardly anything is left of what the record knows."""
    runner, gate = runner_of(
        tmp_path, **SIMULATED, acquisition={"kind": kind}, moves={"travel_cost": 1.0}
    )
    (region,) = zone().forbidden
    runner.set_regions(Regions(soft=(SoftRegion(region, 1.0),)))
    run = finish(runner, gate)
    again = counterfactual(run, timeline_of(run), {}, None, name="the same")
    assert again.path == path_of(run)


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_run_in_which_a_person_measured_a_place_again_is_retraced(
    tmp_path, lookahead
):
    runner, gate = runner_of(tmp_path, **SIMULATED, loop={"lookahead": lookahead})
    again_at = {8: 7, 13: 7, 16: 16}

    def act(measurement):
        if measurement.step in again_at:
            proposal = runner.measurements[again_at[measurement.step]].proposal
            runner.measure_next([(proposal.row, proposal.column)])

    runner.events.measured.connect(act)
    run = finish(runner, gate)
    path = path_of(run)
    assert len(path) == STEPS and len(set(path)) == STEPS - len(again_at)
    again = counterfactual(run, timeline_of(run), {}, None, name="the same")
    assert again.path == path
    assert again.targets == pytest.approx([m.target for m in run.measurements])


@pytest.mark.parametrize(("lookahead", "batch"), [(0, 1), (1, 1), (1, 3)])
def test_a_run_whose_runners_up_were_vetoed_is_retraced(tmp_path, lookahead, batch):
    loop = {"lookahead": lookahead, "batch": batch}
    runner, gate = runner_of(tmp_path, **SIMULATED, loop=loop)
    vetoed = {}

    def act(measurement):
        if measurement.step in (12, 19):
            other = measurement.proposal.insight.runners_up[0]
            vetoed[other.row, other.column] = measurement.step
            runner.keep_out(other.row, other.column)
        if measurement.step == 15:
            runner.measure_next([(3, 4)])

    runner.events.measured.connect(act)
    run = finish(runner, gate)
    assert run.vetoed == vetoed.keys()
    for pixel, step in vetoed.items():
        # The next one was under way already.
        assert pixel not in path_of(run)[step + 2 :]
    found = analyse(run)
    assert found.retraced[0] == found.retraced[1]
    words = [text for each in found.interventions for text in each.words]
    assert words.count("you kept a place out") == 2
    assert counterfactual(run, timeline_of(run), {}, None, name="").parts_at is None


def test_a_resumed_run_is_retraced(folder):
    runner, gate = runner_of(folder, **SIMULATED)

    def stop(measurement):
        if measurement.step == 12:
            runner.stop()

    runner.events.measured.connect(stop)
    past = finish(runner, gate)
    assert len(past.measurements) < STEPS
    gate.connect()
    record = Record.reopen(past)
    run = finish(Runner(gate, record, past.settings, past=past), gate)
    assert len(run.measurements) == STEPS
    found = analyse(run)
    assert found.retraced[0] == found.retraced[1]
    # Going on with a run is no intervention.
    assert found.interventions == ()


@pytest.mark.parametrize("is_older", [False, True])
def test_a_run_that_was_left_after_a_veto_is_retraced(folder, is_older):
    """Older programs asked for the step as if for the first time, and did not say."""
    by_chance = {"acquisition": {"kind": "thompson"}, "loop": {"approve": True}}
    runner, gate = runner_of(folder, **SIMULATED, **by_chance)
    answers = iter([runner.approve] * 5 + [runner.veto, runner.stop])

    def answer(state):
        if state is RunPhase.WAITING:
            next(answers)()

    runner.events.state_changed.connect(answer)
    past = finish(runner, gate)
    # What waited when the run was stopped was asked for too.
    assert past.attempts == {11: 2}
    gate.connect()
    record = Record.reopen(past)
    if is_older:
        past.state.attempts.clear()
    alone = past.settings.replaced(loop=LoopSettings())
    run = finish(Runner(gate, record, alone, past=past), gate)
    if is_older:
        journal = run.path / JOURNAL
        journal.write_text(
            journal.read_text().replace('"counts_on": true', '"counts_on": false')
        )
        run = open_run(run.path)
    assert len(run.measurements) == STEPS
    assert run.attempts == ({} if is_older else {11: 2})
    found = analyse(run)
    assert found.retraced[0] == found.retraced[1]


def test_the_live_model_comes_near_to_mature_full_and_truth(of_replayed):
    assert set(of_replayed.agreement) == {"mature", "full", "truth"}
    for found in of_replayed.agreement.values():
        assert found.error[-1] < 0.7 * found.error[0]
        assert found.rank[-1] > found.rank[0]
        assert list(found.steps) == list(range(6, STEPS))
    # The mature model knows no more than the live one at the end.
    mature = of_replayed.agreement["mature"]
    assert mature.error[-1] < of_replayed.agreement["truth"].error[-1]
    # One that knows the truth at all pixels is nearer than one that measured a few.
    assert of_replayed.full_error < of_replayed.agreement["truth"].error[-1]


def test_the_truth_of_a_replay_is_its_file(of_replayed, replayed):
    truth = of_replayed.references.truth
    for m in replayed.measurements:
        assert truth[m.proposal.row, m.proposal.column] == pytest.approx(m.target)


def test_the_truth_of_a_simulated_sample_is_what_is_measured_without_noise(plain):
    truth = truth_of(plain).targets(plain.settings.scalarizer)
    seen = np.array([truth[pixel] for pixel in path_of(plain)])
    targets = np.array([m.target for m in plain.measurements])
    errors = np.array([m.error for m in plain.measurements])
    assert np.abs(targets - seen).max() > 0
    assert (np.abs(targets - seen) < 5 * errors).all()


def test_a_run_in_a_finer_image_has_its_truth_there(folder, plain):
    gate = guarded("simulated", SimulatedSettings(**plain.instrument_settings))
    gate.connect()
    image = acquire_finer(gate, plain.survey, Area(0.25, 0.5, 0.75, 1.0), 1e-5)
    path = begin_finer(
        plain,
        image,
        folder / "finer",
        instrument_settings=SimulatedSettings(**plain.instrument_settings),
        regions=Regions(),
    )
    past = open_run(path)
    record = Record.reopen(past)
    run = finish(Runner(gate, record, past.settings, past=past), gate)
    taken = len(past.measurements)
    assert 0 < taken < len(run.measurements)
    truth = truth_of(run).targets(run.settings.scalarizer)
    assert truth.shape == run.frame.shape
    # What was taken along was measured beside the centres of the new pixels.
    new = run.measurements[taken:]
    seen = np.array([truth[m.proposal.row, m.proposal.column] for m in new])
    targets = np.array([m.target for m in new])
    errors = np.array([m.error for m in new])
    assert (np.abs(targets - seen) < 5 * errors).all()
    found = analyse(run)
    assert found.retraced[0] == found.retraced[1]


def test_without_a_file_the_mature_model_is_the_reference(replayed):
    gone = replace(replayed, instrument_settings={"file": "/nowhere/cube.hspy"})
    with pytest.raises(NoTruth, match="not there any more"):
        truth_of(gone)
    found = analyse(gone, {"anywhere": {"acquisition": MaximumUncertainty()}})
    assert not found.has_truth
    assert set(found.agreement) == {"mature"}
    assert "not there any more" in found.truth_words
    (other,) = found.against
    assert other.measured_only
    # It may go elsewhere first, and ends with the same pixels.
    assert set(other.path) == set(path_of(replayed))
    assert other.path[:6] == path_of(replayed)[:6]
    assert other.parts_at is not None
    # Nobody takes what the model says of its own run for the truth.
    assert chance_sentence(found).startswith("By the mature model's map, which is the")
    judged = [each for each in summary(found) if "best place" in each]
    assert all("the mature model's map" in each for each in judged)


def test_regret_is_that_of_the_places_and_falls(of_replayed, replayed):
    found, truth = of_replayed.regret, of_replayed.references.truth
    values = [truth[pixel] for pixel in path_of(replayed)]
    assert found.simple[-1] == pytest.approx(truth.max() - max(values))
    assert found.cumulative[-1] == pytest.approx(sum(truth.max() - v for v in values))
    assert (np.diff(found.simple) <= 0).all()
    assert (found.simple >= 0).all()
    # 26 of 480 places by chance are a poor search for one peak.
    assert found.simple[-1] < found.by_chance[-1]


def test_regret_minds_the_goal_and_what_is_allowed():
    reference = np.array([[1.0, 2.0], [3.0, 9.0]])
    allowed = np.array([[True, True], [True, False]])
    path = [(0, 0), (0, 1)]
    up = regret(path, reference, Goal(), allowed)
    assert list(up.simple) == [2.0, 1.0]
    assert list(up.cumulative) == [2.0, 3.0]
    assert not up.is_of_field
    down = regret(path, reference, Goal(direction="minimise"), allowed)
    assert list(down.simple) == [0.0, 0.0]
    assert list(down.cumulative) == [0.0, 1.0]


def test_a_run_is_held_against_all_that_was_open_in_it(folder):
    """Closed from the start: the zone. What closed in mid-run had been open."""
    runner, gate = runner_of(folder, **SIMULATED)
    narrow = replace(zone(), interest=(box(0, SIDE // 2),))

    def act(measurement):
        if measurement.step == PAINT_AT:
            runner.set_regions(narrow)

    runner.events.measured.connect(act)
    runner.events.survey_acquired.connect(lambda _: runner.set_regions(zone()))
    run = finish(runner, gate)
    found = analyse(run)
    truth, opened = found.references.truth, zone().mask(run.frame)
    assert not opened.all()
    assert not np.array_equal(narrow.mask(run.frame), opened)
    values = [truth[pixel] for pixel in path_of(run)]
    best = truth[opened].max()
    assert found.regret.simple[-1] == pytest.approx(best - max(values))
    by_chance = expected_best(truth[opened], STEPS)
    assert found.regret.by_chance == pytest.approx(best - by_chance)
    limit = np.sort(truth[opened])[-round(0.01 * opened.sum())]
    assert found.regret.top[-1] == sum(value >= limit for value in values)
    assert "in the top 1 % of what was open to the beam;" in " ".join(summary(found))
    assert "of all" not in chance_sentence(found)


def test_what_a_region_closed_in_mid_run_counts_as_the_field(of_steered, steered):
    truth = of_steered.references.truth
    values = [truth[pixel] for pixel in path_of(steered)]
    best = of_steered.regret.simple[-1] + max(values)
    assert best == pytest.approx(truth.max())
    assert "in the top 1 % of the field;" in " ".join(summary(of_steered))


@pytest.mark.parametrize("name", ["plain", "replayed"])
def test_the_truth_asks_before_each_row(request, name):
    run = request.getfixturevalue(name)
    truth, asked = truth_of(run), []
    known = truth.targets(run.settings.scalarizer, lambda: asked.append(1))
    assert len(asked) == len(known) == run.frame.shape[0]
    truth.close()


@pytest.mark.parametrize("parts", [1, 2, SIDE + 2])
def test_references_can_be_ended_in_their_middle(plain, parts):
    """Before the mature model, before a row, and before the full model."""
    truth, asked = truth_of(plain), []

    def ask():
        asked.append(1)
        if len(asked) == parts:
            raise Cancelled

    makers = ReferenceMaker(plain, truth, ask)
    with pytest.raises(Cancelled):
        makers.of(plain.settings.scalarizer)
    truth.close()


def test_an_analysis_can_be_ended_before_its_first_step(plain):
    asked = []

    def stop(what, done, total):
        assert (what, done) == ("ground truth", 0)
        asked.append(1)
        if len(asked) == SIDE:
            raise Cancelled

    with pytest.raises(Cancelled):
        analyse(plain, progress=stop)


def test_the_random_expectation_is_that_of_all_draws():
    values = np.array([3.0, -1.0, 4.0, 1.0, 5.0, 5.0])
    expected = expected_best(values, 8)
    for drawn in range(1, len(values) + 1):
        draws = itertools.combinations(values, drawn)
        assert expected[drawn - 1] == pytest.approx(np.mean([max(d) for d in draws]))
    assert list(expected[len(values) :]) == [5.0, 5.0]


def test_agreement_is_in_standard_deviations_of_the_reference():
    reference = np.array([[0.0, 1.0], [2.0, 3.0]])
    assert agreement(reference, reference) == (0.0, pytest.approx(1.0))
    error, rank = agreement(np.full((2, 2), 1.5), reference)
    assert error == pytest.approx(1.0)
    assert np.isnan(rank)
    error, rank = agreement(-reference, reference)
    assert rank == pytest.approx(-1.0)


def test_another_acquisition_function_goes_its_own_way_from_the_same_start(plain):
    changes = changed_sections(plain, ["acquisition.kind=ucb", "acquisition.beta=50"])
    truth = truth_of(plain)
    other = counterfactual(plain, timeline_of(plain), changes, truth, name="ucb")
    assert other.path[:6] == path_of(plain)[:6]
    assert other.path != path_of(plain)
    assert len(set(other.path)) == len(plain.measurements)
    assert not other.measured_only
    assert other.settings.acquisition == UpperConfidenceBound(beta=50)
    assert other.settings.scalarizer == plain.settings.scalarizer


def test_another_scalarizer_makes_the_targets_of_both_paths(plain):
    texts = ["scalarizer.low_ev=0.65", "scalarizer.high_ev=0.75"]
    changes = changed_sections(plain, texts)
    scalarizer = BandIntegral(low_ev=0.65, high_ev=0.75)
    assert changes == {"scalarizer": scalarizer}
    timeline = timeline_of(plain)
    other = counterfactual(plain, timeline, changes, truth_of(plain), name="edges")
    recorded = [scalarizer(m.spectrum) for m in plain.measurements]
    assert list(other.recorded_best) == list(itertools.accumulate(recorded, max))
    assert other.best[-1] == max(other.targets)


def test_regions_and_vetoes_hold_in_another_run_too(steered, of_steered):
    (other,) = of_steered.against
    frame = steered.frame
    for step, pixel in enumerate(other.path):
        y_nm, x_nm = frame.nm(frame.position(*pixel))
        if step > PAINT_AT + 2:
            assert zone().allows(y_nm, x_nm) is None
    vetoes = vetoed_at(steered)
    assert {pixel for _, pixel in vetoes} == steered.vetoed
    # Before it was vetoed a place may have been measured there.
    for step, pixel in vetoes:
        assert pixel not in other.path[step:]


def vetoed_at(run):
    """Each place that a person vetoed, with the step for which it was proposed."""
    proposed, vetoes = {}, []
    for event in run.journal:
        match event:
            case ProposalEvent():
                proposed[event.step] = event.row, event.column
            case RefusalEvent(reason=RefusalReason.VETOED):
                vetoes.append((event.step, proposed[event.step]))
    return vetoes


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["budget.steps=3"], "budget cannot be changed afterwards"),
        (["nonsense"], "section.name=value"),
        (["acquisition.kind=magic"], "there is no 'magic'"),
        (["acquisition.xi=-1"], "acquisition.xi: -1 is not allowed"),
        (["scalarizer.low_ev=90", "scalarizer.high_ev=91"], "holds no channel"),
    ],
)
def test_what_another_run_cannot_differ_by_is_told_in_words(plain, texts, words):
    with pytest.raises(ValueError, match=words):
        completed(plain, changed_sections(plain, texts))


def by_words(found, text):
    return next(
        each for each in found.interventions if any(text in w for w in each.words)
    )


def test_each_intervention_is_found_with_the_choice_without_it(of_steered):
    assert len(of_steered.interventions) == 6
    for each in of_steered.interventions:
        assert each.without is not None
        assert np.isfinite(each.without.mean)
        assert np.isfinite(each.without.std)
    steps = [each.step for each in of_steered.interventions]
    assert steps == sorted(steps)


def test_a_zone_moves_the_choice_that_lay_in_it(steered, of_steered):
    each = by_words(of_steered, "regions")
    assert "84% of the field may be measured, 100% before" in each.words[0]
    assert each.step > PAINT_AT
    forbidden = zone()
    frame = steered.frame

    def allowed(proposal):
        return forbidden.allows(*frame.nm(proposal.position)) is None

    assert allowed(each.chosen)
    # What is closed also counts for whether the agent is trapped: another choice need
    # not have lain in the zone.
    assert each.changed_the_choice or allowed(each.without)


def test_the_choice_without_a_change_is_what_the_old_settings_choose(folder):
    """The record of a run that was left alone tells what the old settings choose."""
    alone = finish(*runner_of(folder, **SIMULATED, loop=LoopSettings(lookahead=0)))
    runner, gate = runner_of(folder, **SIMULATED, loop=LoopSettings(lookahead=0))

    def act(measurement):
        if measurement.step == CHANGE_AT:
            runner.configure(acquisition=UpperConfidenceBound(beta=50.0))

    runner.events.measured.connect(act)
    found = analyse(finish(runner, gate))
    (each,) = found.interventions
    assert "from Expected improvement (log) to Upper confidence bound" in each.words[0]
    there = alone.measurements[each.step].proposal
    assert (each.without.row, each.without.column) == (there.row, there.column)
    assert each.without.mean == there.mean
    assert each.changed_the_choice
    apart = np.subtract(
        found.run.frame.nm(there.position), found.run.frame.nm(each.chosen.position)
    )
    assert each.distance_nm == pytest.approx(np.hypot(*apart))


def test_without_a_veto_the_vetoed_place_is_measured(steered, of_steered):
    vetoes = [
        i for i in of_steered.interventions if "you vetoed the proposal" in i.words
    ]
    assert {(i.without.row, i.without.column) for i in vetoes} == steered.vetoed
    assert all(i.changed_the_choice for i in vetoes)


def test_the_best_after_an_intervention_is_that_of_the_next_steps(steered, of_steered):
    targets = [m.target for m in steered.measurements]
    for each in of_steered.interventions:
        end = min(each.step + LATER, len(targets))
        assert each.later == end - each.step
        assert each.best_before == max(targets[: each.step])
        assert each.best_after == max(targets[:end])


def test_clusters_cover_the_field_and_count_the_visits(of_steered, steered):
    found = of_steered.visited
    assert sum(each.share for each in found.clusters) == pytest.approx(1)
    assert sum(each.visits for each in found.clusters) == len(steered.measurements)
    assert len(found.patches) == len(steered.measurements)
    predicted = [each.predicted for each in found.clusters]
    assert predicted == sorted(predicted, reverse=True)
    pixel = path_of(steered)[3]
    middle = found.patches[3][tuple(size // 2 for size in found.patches[3].shape)]
    assert middle == steered.survey.data[0][pixel]


def test_clusters_are_as_many_as_can_be_told_apart():
    flat = np.zeros((50, 3), np.float32)
    assert set(clustered(flat, seed=0)) == {0}
    two = flat.copy()
    two[20:] = 1
    labels = clustered(two, seed=0)
    assert len(set(labels[:20])) == len(set(labels[20:])) == 1
    assert labels[0] != labels[-1]
    many = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    assert set(clustered(many, seed=0)) == set(range(CLUSTERS))


def test_too_few_spectra_are_told_in_words(folder):
    run = finish(*runner_of(folder, **SIMULATED, budget={"steps": 2}))
    with pytest.raises(ValueError, match="forensics needs 3"):
        analyse(run)


def test_progress_counts_to_the_end_and_can_end_it(replayed):
    seen = []
    analyse(
        replayed,
        {"UCB": {"acquisition": UpperConfidenceBound()}},
        lambda *each: seen.append(each),
    )
    whats, done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == totals[-1] == 2 * len(timeline_of(replayed).decisions)
    assert {"step by step", "UCB"} <= set(whats)

    def stop(what, done, total):
        if done == 9:
            raise Cancelled

    threads = threading.active_count()
    with pytest.raises(Cancelled):
        analyse(replayed, progress=stop)
    assert threading.active_count() == threads


def test_a_random_run_has_no_live_model_and_is_analysed(folder):
    run = finish(*runner_of(folder, **SIMULATED, acquisition={"kind": "random"}))
    found = analyse(run)
    assert found.agreement == {}
    assert found.retraced[0] == found.retraced[1] == STEPS
