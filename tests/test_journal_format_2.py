"""Lines of format 2 read as events of today; whole records are in test_old_records."""

from __future__ import annotations

import json

import pytest

from napari_hae.experiment.journal import BrokenJournal, encoded, read_journal
from napari_hae.experiment.journal_events import Actor
from napari_hae.experiment.refusals import LostExposure, RefusalReason
from test_journal import START

TIME = "2026-11-27T04:53:56"


@pytest.fixture
def event_of(tmp_path):
    """Gives the event that is read of one line of format 2."""

    def read(**values):
        path = tmp_path / "journal.jsonl"
        start = encoded(START.model_copy(update={"format": 2, "time": TIME}))
        path.write_bytes(start + json.dumps({"time": TIME, **values}).encode() + b"\n")
        return read_journal(path)[1]

    return read


@pytest.mark.parametrize(
    ("sentence", "keep_out", "reason", "detail"),
    [
        ("the plan comes first", False, RefusalReason.PLAN, ""),
        ("the settings were changed", False, RefusalReason.SETTINGS, ""),
        ("another place was taken", False, RefusalReason.SUPERSEDED, ""),
        ("vetoed by you", True, RefusalReason.VETOED, ""),
        ("(x = 1 nm) lies in 'no'", False, RefusalReason.FORBIDDEN, None),
        ("the place has its dose", True, RefusalReason.LOCAL_DOSE, None),
    ],
)
def test_a_reason_in_words_becomes_a_code(event_of, sentence, keep_out, reason, detail):
    event = event_of(event="refusal", step=3, reason=sentence, keep_out=keep_out)
    assert event.reason is reason
    assert event.detail == (sentence if detail is None else detail)
    assert event.reason.keeps_out is keep_out


def test_the_reason_of_an_old_veto_stood_behind_it(event_of):
    old = {"event": "refusal", "step": 3, "keep_out": True}
    event = event_of(**old, reason="vetoed by you: dirt")
    assert (event.who, event.why) == (Actor.PERSON, "dirt")


def test_why_an_exposure_was_lost_becomes_a_code(event_of):
    old = {"event": "booked", "exposure": [[0.5, 0.5], 0.1, 1, None, ""]}
    assert event_of(**old, why="the run ended").reason is LostExposure.RUN_ENDED
    failed = event_of(**old, why="the detector is off")
    assert (failed.reason, failed.detail) == (
        LostExposure.FAILED,
        "the detector is off",
    )


@pytest.mark.parametrize(
    ("who", "actor"),
    [
        ({"who": "human"}, Actor.PERSON),
        ({"who": "your votes"}, Actor.VOTES),
        ({"who": "instrument"}, Actor.INSTRUMENT),
        ({"who": "resume"}, Actor.RESUME),
        ({"who": "a colleague"}, Actor.PERSON),
        ({}, None),
    ],
)
def test_who_brought_it_about_becomes_a_code(event_of, who, actor):
    assert event_of(event="settings", step=2, changes={}, **who).who is actor
    by_hand = actor or Actor.PERSON
    assert event_of(event="queue", step=2, pixels=[], **who).who is by_hand


def test_a_refusal_without_a_reason_is_named_by_its_line(event_of):
    with pytest.raises(BrokenJournal, match=r"line 2 .*it needs a text as reason"):
        event_of(event="refusal", step=3)
