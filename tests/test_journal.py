"""The journal's lines, one by one and together."""

from __future__ import annotations

import pytest

from napari_hae.experiment.journal import Journal, read_journal


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@pytest.fixture
def journal(path):
    journal = Journal(path)
    yield journal
    journal.close()


def events(path):
    return [entry["event"] for entry in read_journal(path)]


def test_lines_that_belong_together_are_written_in_one_go(journal, path):
    with journal.at_once():
        journal.append("alone", steps=3)
        with journal.at_once():
            journal.append("warning", step=0, text="")
        assert path.read_bytes() == b""
        assert journal.disk_s == 0
    assert events(path) == ["alone", "warning"]
    assert journal.disk_s > 0


def test_what_was_noted_before_an_error_is_kept(journal, path):
    def fail():
        with journal.at_once():
            journal.append("warning", step=0, text="")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    journal.append("end", reason="completed", text="")
    assert events(path) == ["warning", "end"]


def test_a_line_that_could_not_be_read_is_not_written(journal, path):
    with pytest.raises(ValueError, match=r"cannot hold this: alone: steps"):
        journal.append("alone", steps="three")
    with pytest.raises(ValueError, match="no event 'dance'"):
        journal.append("dance")
    journal.append("alone", steps=3)
    assert events(path) == ["alone"]
