"""The journal reads as sentences."""

from __future__ import annotations

import pytest

from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.agent.scalarizers import BandIntegral
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.experiment.journal_events import (
    EACH_STEP,
    EVENTS,
    KINDS,
    JournalEvent,
    RegionsValues,
)
from napari_hae.experiment.sentences import _told, is_intervention, sentence
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.votes import Vote
from napari_hae.regions.regions import Regions
from test_runner import Lab, column_region, experiment, run

BAND = BandIntegral(low_ev=0.3, high_ev=0.6)


def event(code: str, **fields):
    return EVENTS[code].model_validate(fields)


def drawn(**regions) -> RegionsValues:
    return RegionsValues.model_validate({"interest": [], "forbidden": [], **regions})


@pytest.fixture
def lab(tmp_path) -> Lab:
    return Lab(tmp_path)


def story(runner) -> list[str]:
    journal = open_run(runner.record.path).journal
    return [sentence(event) for event in journal if not isinstance(event, EACH_STEP)]


def test_a_run_reads_from_its_beginning_to_its_end(lab):
    settings = experiment(scalarizer=BAND, budget=Budget(steps=3))
    first, survey, last = story(run(lab.runner(settings)))
    assert first.startswith("The run began on fake, napari-hae ")
    assert survey == "A survey image (HAADF) of 80 × 80 nm."
    assert last == "The run was completed: 3 of 3 steps are done."


def test_a_moved_band_is_told_with_what_it_did(lab):
    runner = lab.runner(experiment(scalarizer=BAND))

    def change(measurement):
        if measurement.step == 5:
            runner.configure(
                scalarizer=BAND.with_band(0.65, 0.95),
                acquisition=UpperConfidenceBound(beta=3),
            )

    runner.events.measured.connect(change)
    told = story(run(runner))
    at = next(i for i, text in enumerate(told) if "band" in text)
    step = int(told[at].split()[1].strip(":"))
    assert step in (7, 8)
    assert told[at] == (
        f"Step {step}: you moved the band from 0.30–0.60 to 0.65–0.95 eV; changed the "
        "acquisition from Random to Upper confidence bound."
    )
    targets = [m.target for m in runner.measurements[: step - 1]]
    best = targets.index(max(targets)) + 1
    assert told[at + 1] == (
        f"{step - 1} targets were recomputed; the best is now step {best}."
    )


def test_fields_are_called_as_in_the_form():
    changes = {
        "acquisition": {
            "old": {"kind": "ucb", "beta": 2.0},
            "new": {"kind": "ucb", "beta": 4.5},
        },
        "moves": {"old": {"leave_traps": True}, "new": {"leave_traps": False}},
        "budget": {"old": {"dose_e": None}, "new": {"dose_e": 1e9}},
        "seed": {"old": 1, "new": 2},
    }
    changed = event("settings", step=3, who="human", changes=changes)
    assert sentence(changed) == (
        'Step 4: you changed "Exploration β" from 2 to 4.5; changed "Leave traps" from '
        'on to off; changed "Dose (e⁻)" from none to 1e+09; changed "seed" from 1 to 2.'
    )


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((0.3, 0.4), (0.31, 0.4), "moved the band from 0.30–0.40 to 0.31–0.40 eV"),
        (
            (0.3, 0.4),
            (0.301, 0.402),
            "moved the band from 0.300–0.400 to 0.301–0.402 eV",
        ),
        ((None, None), (0.3, 0.3004), "chose the band 0.3000–0.3004 eV"),
        ((0.3, 0.4), (None, None), "left the band to the program"),
    ],
)
def test_a_band_is_told_with_the_digits_that_tell_its_ends_apart(before, after, told):
    old, new = (
        {"kind": "band_integral", "low_ev": low, "high_ev": high}
        for low, high in (before, after)
    )
    changes = {"scalarizer": {"old": old, "new": new}}
    changed = event("settings", step=3, who="human", changes=changes)
    assert sentence(changed) == f"Step 4: you {told}."


def test_what_votes_change_is_told_without_the_spectrum_that_they_make(lab):
    runner = lab.runner(experiment(scalarizer=BAND))

    def vote(measurement):
        if measurement.step == 4:
            runner.vote(0, Vote.GOOD)
            votes = SimilarityToVotes(weight=0.5)
            runner.configure(scalarizer=votes)
        if measurement.step == 6:
            runner.vote(1, Vote.GOOD)

    runner.events.measured.connect(vote)
    told = [text for text in story(run(runner)) if "scalarizer" in text]
    assert len(told) == 2
    assert told[0].endswith("changed the scalarizer from Band integral to Your votes.")
    assert told[1].endswith("your votes changed what the scalarizer goes by.")


def test_settings_of_a_plugin_that_is_gone_are_told_too():
    new = {"kind": "of_another_lab", "x": 1}
    change = {"old": {"kind": "ucb", "beta": 2.0}, "new": new}
    changes = {"acquisition": change}
    changed = event("settings", step=0, who="human", changes=changes)
    assert "from Upper confidence bound to of_another_lab" in sentence(changed)


def test_regions_and_refusals_are_told(lab):
    runner = lab.runner(experiment())
    zone = Regions(forbidden=(column_region("artefact", 0, 1),))
    runner.events.measured.connect(lambda m: m.step == 4 and runner.set_regions(zone))
    told = story(run(runner))
    assert any(
        text.endswith("may go anywhere, but not in artefact; before: anywhere.")
        for text in told
    )
    assert sentence(event("refusal", step=0, reason="vetoed")) == (
        "Step 1: a proposal was not measured: vetoed by you; its place is kept out."
    )


def test_old_and_new_are_told_where_the_journal_has_both():
    def told(code: str, **fields) -> str:
        return sentence(event(code, step=3, who="human", **fields))

    vote = {"of": 1, "vote": "bad"}
    assert told("vote", **vote) == "Step 4: you called the spectrum of step 2 bad."
    changed = told("vote", **vote, old="good")
    assert changed == "Step 4: you called the spectrum of step 2 bad, good before."
    two, three = [[0, 0], [1, 1]], [[0, 0], [1, 1], [2, 2]]
    queues = {
        "you queued 2 places to measure next": (two, []),
        "you queued 1 place to measure next; 3 wait": (three, two),
        "you took 1 place off the queue; 2 left": (two, three),
        "you put the queue in another order": (two[::-1], two),
        "you emptied the queue": ([], two),
    }
    for words, (pixels, old) in queues.items():
        assert told("queue", pixels=pixels, old=old) == f"Step 4: {words}."
    zone = drawn(forbidden=[{"name": "dirt", "grow_nm": 0.0}])
    grown = drawn(forbidden=[{"name": "dirt", "grow_nm": 2.0}])
    where = "the beam may go anywhere, but not in dirt"
    assert told("regions", regions=zone) == f"Step 4: {where}."
    same = told("regions", regions=grown, old=zone)
    assert same == f"Step 4: {where}; what is drawn was changed."
    gone = told("regions", regions=drawn(), old=zone)
    assert gone.endswith("may go anywhere; before: anywhere, but not in dirt.")
    kept_out = told("veto", row=3, column=4)
    assert kept_out == "Step 4: you kept row 3, column 4 out."


def test_the_regions_that_a_run_begins_with_follow_on_none(lab):
    zone = Regions(forbidden=(column_region("f", 0),))
    told = story(run(lab.runner(experiment(), regions=zone)))
    assert "Step 1: the beam may go anywhere, but not in f." in told


def test_a_reason_that_was_given_is_told():
    change = {"old": {"steps": 10}, "new": {"steps": 20}}
    changed = event(
        "settings",
        step=0,
        who="human",
        why="there is time left",
        changes={"budget": change},
    )
    assert sentence(changed).endswith("from 10 to 20, because: there is time left.")


def test_every_kind_of_event_has_a_sentence():
    told = {each for each in _told.registry if each is not JournalEvent}
    assert told - {object} == set(KINDS)


@pytest.mark.parametrize(
    ("regions", "told"),
    [
        ({"interest": [], "forbidden": []}, "anywhere"),
        ({"interest": [{"name": "edge"}], "forbidden": []}, "only in edge"),
        (
            {"interest": [{"name": "edge"}], "forbidden": [{"name": "dirt"}]},
            "only in edge, but not in dirt",
        ),
        (
            {
                "forbidden": [{"name": "dirt", "is_on": False}, {"name": "hole"}],
                "soft": [{"name": "a", "weight": 1.0}, {"name": "b", "weight": -1.0}],
            },
            "anywhere, but not in hole, rather in a, rather not in b",
        ),
    ],
)
def test_where_the_beam_may_go_is_told(regions, told):
    shown = event("regions", step=0, regions=drawn(**regions))
    assert sentence(shown) == f"Step 1: the beam may go {told}."


@pytest.mark.parametrize(
    ("code", "fields", "told"),
    [
        ("queue", {"pixels": [[1, 2], [3, 4]]}, "queued 2 places to measure next."),
        ("queue", {"pixels": []}, "emptied the queue."),
        ("alone", {"steps": 1}, "let the agent go alone for 1 step."),
        ("vote", {"of": 6, "vote": "good"}, "called the spectrum of step 7 good."),
        (
            "discard",
            {"of": 0, "is_discarded": True, "why": "charging"},
            "discarded the measurement of step 1, because: charging.",
        ),
        (
            "discard",
            {"of": 0, "is_discarded": False},
            "took back in the measurement of step 1.",
        ),
    ],
)
def test_what_a_person_asks_and_judges_is_told(code, fields, told):
    asked = event(code, step=8, who="human", **fields)
    assert sentence(asked) == f"Step 9: you {told}"
    assert is_intervention(asked)


def test_only_what_changes_the_run_in_its_midst_is_an_intervention():
    changed = {"who": "human", "changes": {}}
    assert is_intervention(event("settings", step=4, **changed))
    assert is_intervention(event("queue", step=4, who="human", pixels=()))
    assert is_intervention(event("regions", step=4, who="human", regions=drawn()))
    assert not is_intervention(event("settings", step=0, **changed))
    assert not is_intervention(event("warning", step=4, text=""))
    assert not is_intervention(event("end", reason="stopped", text=""))
