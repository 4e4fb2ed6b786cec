"""A record that goes on from another one in a finer image of an area."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fakes import FakeInstrument, FakeSettings, bump
from lab import Lab, column_region, experiment, path_of, run
from napari_hae.agent.acquisition import LogExpectedImprovement, UpperConfidenceBound
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.export import to_hyperspy
from napari_hae.experiment.finer import (
    acquire_finer,
    back_from_finer,
    begin_finer,
    finer_frame,
)
from napari_hae.experiment.forensics.analysis import analyse
from napari_hae.experiment.forensics.counterfactual import counterfactual
from napari_hae.experiment.forensics.timeline import timeline_of
from napari_hae.experiment.journal_events import (
    FinerEvent,
    MeasurementEvent,
    SourceValues,
)
from napari_hae.experiment.plans import ObjectsPlan
from napari_hae.experiment.record import JOURNAL, Record, RecordExists
from napari_hae.experiment.report import write_report
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import Budget, LoopSettings
from napari_hae.experiment.steering import Steering
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.votes import Vote
from napari_hae.instruments.base import ForbiddenPosition
from napari_hae.regions.regions import Regions
from napari_hae.types import Area, ChosenBy
from test_steering import paused_at

AREA = Area(0.5, 0.0, 1.0, 0.5)


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path, FakeInstrument(FakeSettings(scans_areas=True)))


def model_run(lab, **sections):
    return lab.runner(experiment(acquisition=LogExpectedImprovement(), **sections))


def finer(lab, runner, *, regions=None, out="finer", why=""):
    past = open_run(runner.record.path)
    image = acquire_finer(lab.gate, past.survey, AREA, 1e-5)
    return begin_finer(
        past,
        image,
        lab.folder / out,
        instrument_settings=lab.bare.settings,
        regions=regions or Regions(),
        why=why,
    )


def go_on(lab, path, steps=12):
    past = open_run(path)
    record = Record.reopen(past)
    settings = past.settings.replaced(budget=Budget(steps=steps))
    return run(Runner(lab.gate, record, settings, past=past))


def test_what_was_measured_in_the_area_is_taken_along_at_its_place(lab):
    runner = run(model_run(lab))
    old = open_run(runner.record.path)
    inside = [m for m in old.measurements if m.proposal.position in AREA]
    assert 0 < len(inside) < len(old.measurements)
    path = finer(lab, runner, why="a closer look")
    new = open_run(path)
    assert new.survey.area == AREA
    assert new.survey.fov_nm == (40.0, 40.0)
    assert new.survey.shape == old.survey.shape
    for before, now in zip(inside, new.measurements, strict=True):
        assert (now.x_nm, now.y_nm, now.target) == (
            before.x_nm,
            before.y_nm,
            before.target,
        )
        np.testing.assert_array_equal(now.spectrum.counts, before.spectrum.counts)
        y_nm, x_nm = new.frame.nm(
            new.frame.position(now.proposal.row, now.proposal.column)
        )
        assert abs(y_nm - now.y_nm) <= 2.5 and abs(x_nm - now.x_nm) <= 2.5
        assert now.proposal.chosen_by is ChosenBy.EARLIER
    measured = [x for x in new.journal if isinstance(x, MeasurementEvent)]
    assert [x.source for x in measured] == [
        SourceValues(record=str(old.path), step=m.step) for m in inside
    ]
    (event,) = [x for x in new.journal if isinstance(x, FinerEvent)]
    told = sentence(event)
    assert f"after step 12 of {old.path}" in told
    assert told.endswith("taken along, because: a closer look.")
    # The other record is as it was.
    again = open_run(runner.record.path)
    assert again.journal == old.journal


@pytest.mark.parametrize("lookahead", [0, 1])
def test_the_run_goes_on_inside_the_area_and_resumes_bit_for_bit(lab, lookahead):
    first = run(model_run(lab, loop=LoopSettings(lookahead=lookahead)))
    path = finer(lab, first)
    taken = len(open_run(path).measurements)
    whole = go_on(lab, path, steps=taken + 8)
    new = whole.measurements[taken:]
    assert len(new) == 8
    assert all(m.proposal.position in AREA for m in new)
    assert all(m.x_nm >= 40 and m.y_nm <= 40 for m in new)
    assert {m.proposal.chosen_by for m in new[4:]} == {ChosenBy.AGENT}
    found = [m.target / bump(m.proposal.position) for m in whole.measurements]
    assert found == pytest.approx([found[0]] * len(found))
    expected = path_of(whole.measurements)
    stored = open_run(path)
    again = counterfactual(stored, timeline_of(stored), {}, None, name="the same")
    assert list(again.path) == expected
    found = analyse(stored)
    assert found.retraced[0] == found.retraced[1] > 0
    journal = path / JOURNAL
    text = journal.read_text().splitlines()
    ends = [i for i, line in enumerate(text) if '"event": "measurement"' in line]
    journal.write_text("\n".join(text[: ends[taken + 3] + 1]) + "\n")
    assert path_of(go_on(lab, path, steps=taken + 8).measurements) == expected


def test_an_area_in_which_nothing_was_measured_begins_with_the_initial_design(lab):
    runner = model_run(lab)
    paused_at(runner, 1)
    runner.stop()
    assert runner.wait(60)
    path = finer(lab, runner)
    taken = len(open_run(path).measurements)
    assert taken <= 1
    new = go_on(lab, path).measurements
    assert [m.proposal.chosen_by for m in new[taken:4]] == (
        [ChosenBy.INITIAL] * (4 - taken)
    )
    assert all(m.proposal.position in AREA for m in new)


def test_judgements_places_and_the_plan_go_along_as_far_as_they_lie_inside(lab):
    objects = ((0, 0), (1, 6))
    runner = model_run(lab, loop=LoopSettings(approve=True))
    vetoed = []

    def answer(state):
        if state is RunPhase.WAITING:
            if not vetoed:
                waits = runner.latest_proposal
                vetoed.append((waits.row, waits.column))
                runner.veto()
            else:
                runner.approve()

    runner.events.state_changed.connect(answer)
    runner.start(paused=True)
    runner.resume()
    assert runner.wait(60)
    old = open_run(runner.record.path)
    inside = [m.step for m in old.measurements if m.proposal.position in AREA]
    outside = [m.step for m in old.measurements if m.step not in inside]
    other = lab.resumed(runner, 16, attended=True)
    other.pause()
    other.start(paused=True)
    other.vote(inside[0], Vote.GOOD)
    other.vote(outside[0], Vote.BAD)
    other.discard(inside[1])
    other.configure(plan=ObjectsPlan(pixels=objects))
    other.measure_next([(7, 0), (3, 7)])
    other.stop()
    assert other.wait(60)
    new = open_run(finer(lab, runner))
    assert dict(new.votes) == {0: Vote.GOOD}
    assert len(new.measurements) == len(inside) - 1
    assert new.queue == (new.frame.pixel(old.frame.position(3, 7)),)
    assert new.settings.plan.pixels == (new.frame.pixel(old.frame.position(1, 6)),)
    assert vetoed
    (pixel,) = vetoed
    position = old.frame.position(*pixel)
    expected = 4 if position in AREA else 0
    assert len(new.vetoed) == expected


def test_a_schedule_goes_on_where_it_was(lab):
    start = UpperConfidenceBound(beta=8, schedule="linear", until=0, over=24)
    runner = run(lab.runner(experiment(acquisition=start)))
    new = open_run(finer(lab, runner))
    taken = len(new.measurements)
    assert new.settings.acquisition.at(taken).beta == start.at(12).beta == 4


def test_a_goal_of_votes_keeps_its_spectrum_where_no_vote_goes_along(lab):
    runner = model_run(lab)
    scalarizer = SimilarityToVotes(target_counts=tuple(np.ones(16)))
    steering = Steering(
        record=runner.record,
        targets=runner._targets,
        queue=runner.queue,
        change_settings=lambda *_: None,
        drop_ahead=lambda _: None,
        retarget=lambda: None,
        survey_again=lambda _: None,
    )
    completed = steering.completed(scalarizer, scalarizer)
    assert completed.target_counts == scalarizer.target_counts
    runner.record.close()


def test_a_part_that_is_closed_is_not_imaged(lab):
    runner = run(model_run(lab))
    runner.set_regions(Regions(forbidden=(column_region("no", 6),)))
    with pytest.raises(ForbiddenPosition, match="switch those regions off"):
        finer(lab, runner)


def test_regions_hold_in_the_new_record_from_its_first_step(lab):
    runner = run(model_run(lab))
    regions = Regions(forbidden=(column_region("no", 4),))
    new = open_run(finer(lab, runner, regions=regions))
    assert new.regions.forbidden[0].name == "no"
    measured = go_on(lab, new.path, steps=len(new.measurements) + 6).measurements
    assert all(m.x_nm > 50 for m in measured[len(new.measurements) :])


def test_the_image_has_square_pixels_as_many_as_before(lab):
    able = replace(
        lab.bare.capabilities(),
        smallest_survey_shape=(4, 4),
        largest_survey_shape=(512, 512),
    )
    before = FieldFrame((64, 64), (80.0, 80.0))
    frame = finer_frame(before, Area(0.5, 0.25, 1.0, 0.5), able)
    assert frame.shape == (45, 91)
    assert frame.pixel_nm == pytest.approx((0.44, 0.44), abs=0.01)
    few = replace(able, largest_survey_shape=(16, 16))
    with pytest.raises(ValueError, match="no finer than the one that is shown"):
        finer_frame(before, Area(0.0, 0.0, 0.9, 0.9), few)


def test_a_record_is_not_overwritten(lab):
    runner = run(model_run(lab))
    finer(lab, runner)
    with pytest.raises(RecordExists):
        finer(lab, runner)


def test_report_and_export_know_where_the_image_lies(lab):
    runner = run(model_run(lab))
    new = open_run(finer(lab, runner))
    assert new.frame.extent_nm == (40.0, 80.0, 40.0, 0.0)
    write_report(new, lab.folder / "report.png")
    assert (lab.folder / "report.png").stat().st_size > 10_000
    held = to_hyperspy(new).metadata.napari_hae
    np.testing.assert_array_equal(held.survey_area, [0.5, 0.0, 1.0, 0.5])


def test_records_without_an_area_show_the_whole_field(lab):
    runner = run(model_run(lab))
    journal = runner.record.path / JOURNAL
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    for row in rows:
        row.pop("area", None)
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert open_run(runner.record.path).survey.area == Area(0.0, 0.0, 1.0, 1.0)


def test_the_way_back_stands_in_the_wider_record_and_changes_nothing_else(lab):
    first = run(model_run(lab))
    wide, path = first.record.path, finer(lab, first)
    assert back_from_finer(wide, path, why="seen enough") == wide
    past = open_run(wide)
    assert [x.event for x in past.journal[-2:]] == ["end", "wider"]
    told = sentence(past.journal[-1])
    came = f"Step 13: you came back from the finer image of {path}"
    assert told == f"{came}, because: seen enough."
    expected = path_of(past.measurements)
    whole = go_on(lab, wide, steps=16)
    assert path_of(whole.measurements)[:12] == expected
    found = analyse(open_run(wide))
    assert found.retraced[0] == found.retraced[1] > 0
