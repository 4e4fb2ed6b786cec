"""What a person orders while a run goes: its effect, its journal, and its resuming."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fakes import FakeInstrument
from lab import TIMEOUT_S, Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.experiment.controls import Controls, Verdict
from napari_hae.experiment.events import FinishReason, RunPhase
from napari_hae.experiment.orders import QueueChanged
from napari_hae.experiment.place_queue import PlaceQueue
from napari_hae.experiment.plans import AgentPlan, ObjectsPlan, RasterPlan
from napari_hae.experiment.settings import LoopSettings
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.votes import Vote, target_spectrum
from napari_hae.regions.regions import Regions
from napari_hae.types import ChosenBy


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def lines(runner, event) -> list[dict]:
    text = (runner.record.path / "journal.jsonl").read_text()
    entries = [json.loads(line) for line in text.splitlines()]
    return [entry for entry in entries if entry["event"] == event]


def paused_at(runner, steps) -> None:
    """Start a run, and let it pause after some steps."""
    paused = threading.Event()
    runner.events.state_changed.connect(
        lambda state: paused.set() if state is RunPhase.PAUSED else None
    )
    runner.start(paused=True)
    for _ in range(steps + 1):
        assert paused.wait(TIMEOUT_S)
        paused.clear()
        if len(runner.measurements) < steps:
            runner.step()


def finish(runner) -> None:
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    assert runner.finish_reason is FinishReason.COMPLETED, runner.finish_text


def model_run(lab, **sections):
    return lab.runner(experiment(acquisition=LogExpectedImprovement(), **sections))


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("batch", [1, 3])
def test_queued_places_are_measured_next_and_in_their_order(lab, lookahead, batch):
    loop = LoopSettings(lookahead=lookahead, batch=batch)
    runner = model_run(lab, loop=loop)
    paused_at(runner, 6)
    wanted = [(0, 0), (7, 7), (0, 7)]
    runner.measure_next(wanted, why="the corners")
    assert runner.queue.pixels == tuple(wanted)
    finish(runner)
    assert path_of(runner.measurements)[6:9] == wanted
    chosen = [m.proposal.chosen_by for m in runner.measurements]
    assert chosen[6:9] == [ChosenBy.HUMAN] * 3
    assert ChosenBy.AGENT in chosen[9:]
    assert np.isfinite(runner.measurements[6].proposal.mean)
    assert runner.queue.pixels == ()
    entry = lines(runner, "queue")[0]
    assert (entry["step"], entry["who"], entry["why"]) == (6, "human", "the corners")
    assert (entry["old"], entry["pixels"]) == ([], [list(pixel) for pixel in wanted])


def test_a_queue_can_be_reordered_emptied_and_gone_on_with(lab):
    runner = model_run(lab)
    paused_at(runner, 5)
    runner.measure_next([(0, 0), (1, 1), (2, 2)])
    runner.reorder_queue([(2, 2), (0, 0)])
    runner.step()
    wait_for(runner, 6)
    runner.vote(0, Vote.GOOD)
    runner.stop()
    assert runner.wait(TIMEOUT_S)
    past = open_run(runner.record.path)
    assert path_of(past.measurements)[5:] == [(2, 2)]
    assert past.queue == ((0, 0),)
    assert dict(past.votes) == {0: Vote.GOOD}
    changes = [(each["old"], each["pixels"]) for each in lines(runner, "queue")]
    first = [[0, 0], [1, 1], [2, 2]]
    assert changes == [([], first), (first, [[2, 2], [0, 0]])]
    resumed = run(lab.resumed(runner, 12))
    assert path_of(resumed.measurements)[5:7] == [(2, 2), (0, 0)]


def test_a_forbidden_place_that_is_queued_is_refused_and_not_measured(lab):
    runner = model_run(lab)
    refused = []
    runner.events.refused.connect(lambda proposal, reason: refused.append(reason))
    paused_at(runner, 5)
    runner.set_regions(Regions(forbidden=(column_region("no", 0),)))
    runner.measure_next([(3, 0), (3, 5)])
    finish(runner)
    assert "lies in the forbidden zone 'no'" in refused[0]
    path = path_of(runner.measurements)
    assert (3, 0) not in path[5:]
    assert path[5] == (3, 5)


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_run_with_a_persons_places_resumes_bit_for_bit(lab, lookahead):
    runner = model_run(lab, loop=LoopSettings(lookahead=lookahead))
    paused_at(runner, 6)
    runner.measure_next([(0, 0), (7, 7)])
    finish(runner)
    whole = path_of(runner.measurements)
    # As if the program had been killed after step 9.
    journal = runner.record.path / "journal.jsonl"
    text = journal.read_text().splitlines()
    measured = [i for i, line in enumerate(text) if '"event": "measurement"' in line]
    journal.write_text("\n".join(text[: measured[8] + 1]) + "\n")
    resumed = run(lab.resumed(runner, 12))
    assert path_of(resumed.measurements) == whole


def test_a_queue_keeps_what_waits_and_nothing_twice():
    queue = PlaceQueue([(0, 0), (1, 1)])
    queue.add([(1, 1), (2, 2), (2, 2)])
    assert queue.pixels == ((0, 0), (1, 1), (2, 2))
    queue.add([(3, 3)], first=True)
    queue.note(queue.pixels)
    assert queue.take() == (3, 3)
    queue.replace([(2, 2), (3, 3), (0, 0)])
    assert queue.pixels == ((2, 2), (0, 0))
    queue.replace([])
    assert queue.take() is None


def waiting_run(lab, **more):
    """A run that waits for approval of its first chosen place."""
    waiting = threading.Semaphore(0)
    runner = model_run(lab, loop=LoopSettings(approve=True, **more))
    runner.events.state_changed.connect(
        lambda state: waiting.release() if state is RunPhase.WAITING else None
    )
    runner.start()
    assert waiting.acquire(timeout=TIMEOUT_S)
    return runner, waiting


def test_another_place_can_be_taken_than_the_proposed_one(lab):
    runner, waiting = waiting_run(lab)
    offered = runner.latest_proposal
    runner.measure_next([(0, 0)], first=True)
    assert waiting.acquire(timeout=TIMEOUT_S)
    taken = runner.measurements[-1].proposal
    assert (taken.row, taken.column) == (0, 0) != (offered.row, offered.column)
    assert taken.chosen_by is ChosenBy.HUMAN
    assert lines(runner, "refusal")[-1]["reason"] == "superseded"
    runner.stop()
    assert runner.wait(TIMEOUT_S)


def test_any_of_the_proposed_places_can_be_kept_out(lab):
    runner, waiting = waiting_run(lab, lookahead=0)
    offered = runner.latest_proposal
    other = offered.insight.runners_up[0]
    pixel = other.row, other.column
    runner.keep_out(*pixel, why="dirt")
    assert waiting.acquire(timeout=TIMEOUT_S)
    again = runner.latest_proposal
    assert (again.row, again.column) == (offered.row, offered.column)
    places = [(each.row, each.column) for each in again.insight.runners_up]
    assert places
    assert pixel not in places
    (veto,) = lines(runner, "veto")
    assert (veto["row"], veto["column"]) == pixel
    assert (veto["step"], veto["who"], veto["why"]) == (4, "human", "dirt")
    runner.go_alone(100)
    assert runner.wait(TIMEOUT_S)
    assert pixel not in path_of(runner.measurements)
    assert open_run(runner.record.path).vetoed == {pixel}
    resumed = lab.resumed(runner, 64)
    resumed.go_alone(100)
    run(resumed)
    # All others are measured.
    assert len(set(path_of(resumed.measurements)) - {pixel}) == 63
    assert resumed.finish_reason is FinishReason.EXHAUSTED


def test_a_place_that_waits_is_not_measured_if_it_is_kept_out_later(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    runner.measure_next([(0, 0), (7, 7)])
    runner.keep_out(0, 0, why="dirt")
    assert runner.queue.pixels == ((7, 7),)
    finish(runner)
    assert path_of(runner.measurements)[6] == (7, 7)
    assert (0, 0) not in path_of(runner.measurements)
    taken_off = lines(runner, "queue")[-1]
    assert (taken_off["old"], taken_off["pixels"]) == ([[0, 0], [7, 7]], [[7, 7]])
    assert taken_off["why"] == lines(runner, "veto")[0]["why"] == "dirt"


def test_a_place_that_is_asked_for_after_it_was_kept_out_is_measured(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    runner.keep_out(0, 0)
    runner.measure_next([(0, 0)])
    finish(runner)
    assert path_of(runner.measurements)[6] == (0, 0)


@pytest.mark.parametrize(
    "plan", [ObjectsPlan(pixels=((1, 1), (2, 2))), RasterPlan(stride_px=2)]
)
def test_a_plan_leaves_out_a_place_that_is_kept_out(lab, plan):
    runner = model_run(lab, plan=plan)
    runner.keep_out(1, 1)
    run(runner)
    assert (1, 1) not in path_of(runner.measurements)
    assert runner.measurements[0].proposal.chosen_by is ChosenBy.PLAN


def test_the_queue_is_journalled_only_where_it_changes(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    runner.measure_next([(0, 0)])
    runner.measure_next([(0, 0)])
    runner.keep_out(7, 7)
    runner.reorder_queue([(0, 0)])
    finish(runner)
    (entry,) = lines(runner, "queue")
    assert (entry["old"], entry["pixels"]) == ([], [[0, 0]])


def test_a_place_is_taken_once_the_journal_has_it_and_not_where_it_waits_no_more(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    changes = runner.queue.add([(0, 0)]), runner.queue.add([(0, 7)])
    runner.step()
    wait_for(runner, 7)
    assert path_of(runner.measurements)[6] != (0, 0)
    for change in changes:
        runner._controls.do(QueueChanged(*change))
    runner.queue.remove((0, 7))
    finish(runner)
    who = [m.proposal.chosen_by for m in runner.measurements]
    assert who.count(ChosenBy.HUMAN) == 1
    assert path_of(runner.measurements)[7] == (0, 0)
    waiting = [line["pixels"] for line in lines(runner, "queue")]
    assert waiting == [[[0, 0]], [[0, 0], [0, 7]]]


def test_what_is_taken_before_an_order_is_heard_waits_no_more_in_the_journal(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    runner.measure_next([(0, 0)])

    def on_proposed(proposal):
        if (proposal.row, proposal.column) != (0, 0):
            return
        # What waited was asked for before that was taken; its order comes only now.
        runner._controls.do(QueueChanged(((0, 0),), ((0, 0), (7, 7))))

    runner.queue.add([(7, 7)])
    runner.events.proposed.connect(on_proposed)
    finish(runner)
    waiting = [(line["old"], line["pixels"]) for line in lines(runner, "queue")]
    assert waiting == [([], [[0, 0]]), ([], [[7, 7]])]
    assert path_of(runner.measurements)[6:8] == [(0, 0), (7, 7)]
    assert open_run(runner.record.path).queue == ()


def test_what_was_chosen_ahead_is_taken_back_where_it_is_kept_out(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    (ahead,) = runner._loop._advisor._ahead.values()
    chosen = ahead.result()[0]
    runner.keep_out(chosen.row, chosen.column)
    finish(runner)
    assert (chosen.row, chosen.column) not in path_of(runner.measurements)
    assert lines(runner, "refusal")[-1]["reason"] == "kept_out"


def test_the_agent_goes_alone_for_some_steps_and_asks_again(lab):
    runner, waiting = waiting_run(lab)
    done = len(runner.measurements)
    offered = runner.latest_proposal
    runner.go_alone(4)
    assert waiting.acquire(timeout=TIMEOUT_S)
    assert len(runner.measurements) == done + 4
    first = runner.measurements[done].proposal
    assert (first.row, first.column) == (offered.row, offered.column)
    assert [entry["steps"] for entry in lines(runner, "alone")] == [3]
    runner.stop()
    assert runner.wait(TIMEOUT_S)


def test_the_plan_can_change_from_agent_to_objects_to_raster_and_back(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    first = path_of(runner.measurements)
    objects = ((4, 4), first[0], (1, 6), (6, 1))
    runner.configure(plan=ObjectsPlan(pixels=objects))
    runner.step()
    wait_for(runner, 7)
    runner.configure(plan=RasterPlan(stride_px=3))
    runner.step()
    wait_for(runner, 8)
    runner.configure(plan=AgentPlan())
    finish(runner)
    chosen = [str(m.proposal.chosen_by) for m in runner.measurements]
    assert chosen[6:8] == ["plan", "plan"]
    assert set(chosen[8:]) == {"agent"}
    path = path_of(runner.measurements)
    unmeasured = [pixel for pixel in objects if pixel not in first]
    assert path[6] == unmeasured[0]
    raster = [(r, c) for r in (1, 4, 7) for c in (1, 4, 7)]
    assert path[7] == next(pixel for pixel in raster if pixel not in path[:7])
    # What was learned meanwhile is not lost.
    assert runner.measurements[8].proposal.known >= 7


def wait_for(runner, steps) -> None:
    """Until so many are measured and the run is paused again."""
    reached = threading.Event()

    def look(_: object = None) -> None:
        if len(runner.measurements) >= steps and runner.state is RunPhase.PAUSED:
            reached.set()

    runner.events.state_changed.connect(look)
    look()
    assert reached.wait(TIMEOUT_S)


def test_at_the_end_of_a_list_the_agent_goes_on(lab):
    plan = ObjectsPlan(pixels=((1, 1), (2, 2), (99, 99)))
    runner = run(model_run(lab, plan=plan))
    chosen = [m.proposal.chosen_by for m in runner.measurements]
    assert path_of(runner.measurements)[:2] == [(1, 1), (2, 2)]
    assert ChosenBy.PLAN not in chosen[2:]
    assert chosen[-1] is ChosenBy.AGENT


def test_a_plan_keeps_out_of_forbidden_zones(lab):
    forbidden = Regions(forbidden=(column_region("no", 1, 2, 3),))
    runner = run(model_run(lab, plan=RasterPlan(stride_px=2)))
    free = [p for p in path_of(runner.measurements) if p[1] in (1, 2, 3)]
    assert free
    runner = run(
        lab.runner(experiment(plan=RasterPlan(stride_px=2)), regions=forbidden)
    )
    assert not [p for p in path_of(runner.measurements) if p[1] in (1, 2, 3)]


def test_a_discarded_measurement_is_left_out_until_it_is_restored(lab):
    runner = model_run(lab)
    paused_at(runner, 7)
    target = runner.measurements[2].target
    runner.discard(2, why="the beam jumped")
    runner.step()
    wait_for(runner, 8)
    assert np.isnan(runner.measurements[2].target)
    assert runner.discarded == {2}
    stored = open_run(runner.record.path)
    assert stored.discarded == {2}
    assert not stored.measurements[2].usable
    assert stored.measurements[2].spectrum.counts.any()
    runner.discard(2, is_discarded=False)
    finish(runner)
    assert runner.measurements[2].target == target
    assert [x["is_discarded"] for x in lines(runner, "discard")] == [True, False]
    assert lines(runner, "discard")[0]["why"] == "the beam jumped"


class TwoLines(FakeInstrument):
    """Two lines in each spectrum, whose ratio differs from place to place."""

    def acquire_spectrum(self, detector: str, exposure_s: float):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        spectrum.counts[5] *= 1 + 9 * spectrum.position.x
        spectrum.counts[9] *= 1 + 9 * spectrum.position.y
        return spectrum


def test_votes_become_the_goal_and_may_change(tmp_path):
    lab = Lab(tmp_path, TwoLines())
    runner = model_run(lab)
    paused_at(runner, 6)
    runner.configure(scalarizer=SimilarityToVotes())
    runner.vote(1, Vote.GOOD)
    runner.vote(2, Vote.BAD)
    runner.step()
    wait_for(runner, 7)
    scalarizer = runner.settings.scalarizer
    wanted = target_spectrum(runner.votes, runner.measurements)
    assert scalarizer.target_counts == wanted
    targets = [m.target for m in runner.measurements]
    assert np.isfinite(targets).all()
    runner.vote(2, Vote.NEUTRAL)
    finish(runner)
    changed = runner.settings.scalarizer.target_counts
    assert changed != wanted
    assert changed == target_spectrum({1: Vote.GOOD}, runner.measurements)
    stored = open_run(runner.record.path)
    assert dict(stored.votes) == {1: Vote.GOOD, 2: Vote.NEUTRAL}
    votes = [(x["of"], x.get("old"), x["vote"]) for x in lines(runner, "vote")]
    assert votes == [(1, None, "good"), (2, None, "bad"), (2, "bad", "neutral")]


def test_votes_can_join_what_the_goal_was_before(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    before = [m.target for m in runner.measurements]
    old = runner.settings.scalarizer
    runner.vote(0, Vote.GOOD)
    joined = SimilarityToVotes(weight=0.25)
    runner.configure(scalarizer=joined)
    runner.step()
    wait_for(runner, 7)
    scalarizer = runner.settings.scalarizer
    assert scalarizer.base == old
    alone = scalarizer.model_copy(update={"weight": 1.0})
    standard = (np.array(before) - np.mean(before)) / np.std(before)
    similar = np.array([alone(m.spectrum) for m in runner.measurements[:6]])
    expected = 0.25 * similar + 0.75 * standard
    found = [m.target for m in runner.measurements[:6]]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    finish(runner)


def asked_for_votes(runner) -> list[str]:
    warned = lines(runner, "warning")
    return [each["text"] for each in warned if "called good" in each["text"]]


def following_votes(lab, weight, lookahead=1):
    """A run at step 7 that looks for its only good spectrum."""
    runner = model_run(lab, loop=LoopSettings(lookahead=lookahead))
    paused_at(runner, 6)
    runner.vote(0, Vote.GOOD)
    votes = SimilarityToVotes(weight=weight)
    runner.configure(scalarizer=votes)
    runner.step()
    wait_for(runner, 7)
    return runner


def test_without_a_good_vote_the_search_goes_on_for_what_was_voted_before(tmp_path):
    lab = Lab(tmp_path, TwoLines())
    runner, shown = following_votes(lab, weight=1), []
    runner.events.warned.connect(shown.append)
    scalarizer, before = runner.settings.scalarizer, runner.measurements
    runner.vote(0, Vote.NEUTRAL)
    runner.vote(1, Vote.BAD)
    runner.step()
    wait_for(runner, 8)
    assert runner.settings.scalarizer == scalarizer
    assert [m.target for m in runner.measurements[:7]] == [m.target for m in before]
    runner.vote(2, Vote.GOOD)
    runner.step()
    wait_for(runner, 9)
    assert runner.settings.scalarizer != scalarizer
    runner.vote(2, Vote.NEUTRAL)
    finish(runner)
    assert {m.proposal.chosen_by for m in runner.measurements[7:]} == {ChosenBy.AGENT}
    assert all(m.usable for m in runner.measurements)
    # Once each time that none was left.
    asked = asked_for_votes(runner)
    assert len(asked) == 2
    assert set(asked) <= set(shown)
    assert "what your earlier votes said" in asked[0]
    assert "call it good" in asked[0]
    # The first one is over with the good vote, the second one stands.
    (over,) = lines(runner, "warning_over")
    assert (over["text"], over["since"]) == (asked[0], 8)


def test_without_a_good_vote_what_the_votes_joined_counts_alone(lab):
    runner = following_votes(lab, weight=0.25)
    base = runner.settings.scalarizer.base
    runner.vote(0, Vote.BAD)
    finish(runner)
    scalarizer = runner.settings.scalarizer
    assert scalarizer.target_counts is None
    old = np.array([base(m.spectrum) for m in runner.measurements])
    standard = (old - scalarizer.base_centre) / scalarizer.base_spread
    np.testing.assert_allclose([m.target for m in runner.measurements], standard)
    assert {m.proposal.chosen_by for m in runner.measurements[7:]} == {ChosenBy.AGENT}
    (asked,) = asked_for_votes(runner)
    assert f'goes by "{base.title}" alone' in asked


def test_votes_as_the_goal_before_any_is_good_leave_what_the_goal_was(lab):
    runner = model_run(lab)
    paused_at(runner, 6)
    runner.configure(scalarizer=SimilarityToVotes())
    finish(runner)
    assert {m.proposal.chosen_by for m in runner.measurements[6:]} == {ChosenBy.AGENT}
    assert len(asked_for_votes(runner)) == 1


def test_a_first_bad_vote_leaves_the_spectrum_that_an_earlier_run_looked_for(lab):
    earlier = SimilarityToVotes(target_counts=tuple(np.ones(16)))
    runner = model_run(lab, scalarizer=earlier)
    paused_at(runner, 5)
    assert asked_for_votes(runner) == []
    runner.vote(1, Vote.BAD)
    finish(runner)
    assert runner.settings.scalarizer == earlier
    assert {m.proposal.chosen_by for m in runner.measurements[5:]} == {ChosenBy.AGENT}
    assert len(asked_for_votes(runner)) == 1


def test_a_run_that_begins_with_votes_as_its_goal_asks_for_one_and_waits(lab):
    runner = model_run(lab, scalarizer=SimilarityToVotes())
    paused_at(runner, 3)
    assert asked_for_votes(runner) == []
    runner.step()
    wait_for(runner, 4)
    runner.step()
    wait_for(runner, 5)
    (asked,) = asked_for_votes(runner)
    assert "nothing tells the agent yet what to look for" in asked
    assert runner.measurements[4].proposal.chosen_by is ChosenBy.INITIAL
    runner.vote(2, Vote.GOOD)
    finish(runner)
    assert runner.measurements[5].proposal.chosen_by is ChosenBy.AGENT
    assert len(asked_for_votes(runner)) == 1


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("weight", [0.25, 1])
def test_a_run_without_a_good_vote_is_replayed_bit_for_bit(tmp_path, weight, lookahead):
    lab = Lab(tmp_path, TwoLines())
    runner = following_votes(lab, weight, lookahead)
    runner.vote(0, Vote.NEUTRAL)
    finish(runner)
    whole = path_of(runner.measurements)
    targets = [m.target for m in runner.measurements]
    journal = runner.record.path / "journal.jsonl"
    text = journal.read_text().splitlines()
    measured = [i for i, line in enumerate(text) if '"event": "measurement"' in line]
    for cut in (9, 8):
        journal.write_text("\n".join(text[: measured[cut - 1] + 1]) + "\n")
        resumed = run(lab.resumed(runner, 12))
        assert path_of(resumed.measurements) == whole
        assert [m.target for m in resumed.measurements] == targets


def test_interventions_are_replayed_bit_for_bit(lab):
    runner = model_run(lab)
    paused_at(runner, 5)
    runner.vote(0, Vote.GOOD)
    runner.configure(scalarizer=SimilarityToVotes())
    runner.discard(3)
    runner.measure_next([(5, 5)])
    finish(runner)
    whole = path_of(runner.measurements)
    journal = runner.record.path / "journal.jsonl"
    text = journal.read_text().splitlines()
    measured = [i for i, line in enumerate(text) if '"event": "measurement"' in line]
    for cut in (7, 9):
        journal.write_text("\n".join(text[: measured[cut - 1] + 1]) + "\n")
        resumed = run(lab.resumed(runner, 12))
        assert path_of(resumed.measurements) == whole
        assert resumed.discarded == {3}


def test_that_all_is_measured_is_over_as_soon_as_more_is_open(lab):
    narrow = Regions(interest=(column_region("grain", 3),))
    wide = Regions(interest=(column_region("grain", 3, 5),))
    runner = lab.runner(experiment(), regions=narrow, attended=True)
    paused, over, told = threading.Event(), threading.Event(), []
    runner.events.state_changed.connect(
        lambda state: paused.set() if state is RunPhase.PAUSED else None
    )
    runner.events.warned.connect(told.append)
    runner.events.warning_over.connect(lambda text: over.set())
    runner.start()
    assert paused.wait(TIMEOUT_S)
    (warning,) = told
    assert warning.startswith("Every position that the regions allow is measured.")
    assert len(runner.measurements) == 8
    runner.set_regions(narrow)
    runner.set_regions(wide)
    # Before anything more is measured.
    assert over.wait(TIMEOUT_S)
    assert len(runner.measurements) == 8
    (line,) = lines(runner, "warning_over")
    assert line["text"] == warning
    finish(runner)
    assert len(runner.measurements) == 12


def test_who_lets_the_agent_go_alone_agrees_to_what_waits_in_the_same_moment():
    controls = Controls()
    controls.ask()
    with ThreadPoolExecutor(1) as waiting:
        answer = waiting.submit(controls.wait_for_verdict, TIMEOUT_S)
        controls.go_alone(2, "")

    assert answer.result() == Verdict(True)
    assert [controls.takes_alone() for _ in range(2)] == [True, False]


@pytest.mark.parametrize("after", [Verdict(True), None])
def test_a_veto_stands_whatever_is_pressed_before_it_is_heard(after):
    controls, veto = Controls(), Verdict(False, "a hole")
    controls.ask()
    controls.answer(veto)
    if after is None:
        controls.go_alone(2, "")
    else:
        controls.answer(after)

    assert controls.wait_for_verdict(TIMEOUT_S) == veto
