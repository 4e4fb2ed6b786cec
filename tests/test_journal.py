"""The journal's lines, one by one and together."""

from __future__ import annotations

import pytest

from napari_hae.experiment.ending import FinishReason
from napari_hae.experiment.journal import (
    FORMAT,
    BrokenJournal,
    Journal,
    encoded,
    read_journal,
)
from napari_hae.experiment.journal_events import (
    AloneEvent,
    EndEvent,
    FormatEvent,
    StartEvent,
    WarningEvent,
)

START = StartEvent(
    format=FORMAT, version="9", instrument="fake", instrument_settings={}, settings={}
)
ALONE = AloneEvent(step=0, steps=3)
WARNING = WarningEvent(step=0, text="")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path):
    journal = Journal(path)
    journal.append(START)
    yield journal
    journal.close()


def events(path):
    return [event.event for event in read_journal(path)][1:]


def test_lines_that_belong_together_are_written_in_one_go(journal, path):
    before, disk_s = path.read_bytes(), journal.disk_s
    with journal.at_once():
        journal.append(ALONE)
        with journal.at_once():
            journal.append(WARNING)
        assert path.read_bytes() == before
        assert journal.disk_s == disk_s
    assert events(path) == ["alone", "warning"]
    assert journal.disk_s > disk_s


def test_what_was_noted_before_an_error_is_kept(journal, path):
    def fail():
        with journal.at_once():
            journal.append(WARNING)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    journal.append(EndEvent(reason=FinishReason.COMPLETED, text=""))
    assert events(path) == ["warning", "end"]


def test_a_line_that_could_not_be_read_is_not_written(journal, path):
    with pytest.raises(ValueError, match=r"cannot hold this: alone: steps"):
        journal.append(ALONE.model_copy(update={"steps": "three"}))
    with pytest.raises(ValueError, match=r"cannot hold this: Object of type object"):
        journal.append(START.model_copy(update={"settings": {"x": object()}}))
    journal.append(ALONE)
    assert events(path) == ["alone"]


def test_what_is_returned_is_what_is_read(journal, path):
    written = [journal.append(each) for each in (ALONE, WARNING)]
    assert read_journal(path)[1:] == written
    assert [each.n for each in written] == [1, 2]


def test_a_journal_of_an_older_format_says_where_it_is_gone_on_with(path):
    start = START.model_copy(update={"format": 2, "time": "2026-11-27T04:53:56"})
    path.write_bytes(encoded(start))
    for _ in range(2):
        journal = Journal(path)
        journal.append(ALONE)
        journal.close()
    assert events(path) == ["format", "alone", "alone"]
    assert [x.format for x in read_journal(path) if isinstance(x, FormatEvent)] == [3]


def test_a_line_of_an_older_format_after_a_newer_one_is_refused(journal, path):
    journal.append(ALONE)
    line = b'{"event":"refusal","time":"2026-11-27T04:53:56","n":2,"step":1,'
    path.write_bytes(path.read_bytes() + line + b'"reason":"the plan comes first"}\n')
    with pytest.raises(BrokenJournal, match=r"line 3 .*: refusal: reason is"):
        read_journal(path)
