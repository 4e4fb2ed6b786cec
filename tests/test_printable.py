"""What others wrote is shown without moving the cursor of a terminal, or worse."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from lab import Lab, experiment, run
from napari_hae.cli import main, output
from napari_hae.experiment.record import JOURNAL
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.stored import open_run
from napari_hae.printable import printable, shortened

EVIL = "\x1b[2J\x1b]0;mine\x07\r\x9b31m\u202egpj.exe\nended        completed"
FREE = frozenset(
    {"instrument", "version", "text", "why", "detector", "detectors", "detail"}
)


def with_evil(value, name=""):
    """Every free text of an entry, made one that a terminal would obey."""
    if isinstance(value, dict):
        return {key: with_evil(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [with_evil(each, name) for each in value]
    is_free = isinstance(value, str) and name in FREE
    return f"{value}{EVIL}" if is_free else value


@pytest.fixture
def path(tmp_path):
    """A stranger's record."""
    path = run(Lab(tmp_path).runner(experiment())).record.path
    journal = path / JOURNAL
    *entries, end = map(json.loads, journal.read_text().splitlines())
    text = {"event": "warning", "time": end["time"], "step": 12, "text": "Look"}
    entries = [with_evil(each) for each in (*entries, text)]
    entries.append({**end, "text": EVIL, "why": EVIL})
    lines = [json.dumps({**each, "n": n}) for n, each in enumerate(entries)]
    journal.write_text("".join(f"{line}\n" for line in lines))
    return path


def is_safe(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text)


@pytest.mark.parametrize("command", ["info", "info --json", "export", "resume"])
def test_what_a_command_says_of_a_record_is_printable(path, command, tmp_path, capsys):
    name, *more = command.split()
    more += [str(tmp_path / "made.hspy")] if name == "export" else []
    main([name, str(path), *more])
    said = capsys.readouterr()
    assert is_safe(said.out), repr(said.out)
    assert is_safe(said.err), repr(said.err)
    assert said.out or said.err
    if command == "info":
        # Nor does a record say lines of its own.
        assert [line for line in said.out.splitlines() if "ended  " in line[:12]] == [
            line for line in said.out.splitlines() if line.startswith("ended")
        ]
        assert sum(line.startswith("ended") for line in said.out.splitlines()) == 1
        assert "\\x1b[2J" in said.out


def test_the_journal_in_sentences_is_printable_and_one_line_each(path):
    told = [sentence(event) for event in open_run(path).journal]
    assert all(each.isprintable() for each in told)
    assert any("\\x1b[2J" in each for each in told)


def test_what_the_program_logs_is_printable(capsys, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    output.log_to_stderr("%(message)s")
    logging.getLogger("napari_hae.bridge").warning("a client calls itself %s", EVIL)
    said = capsys.readouterr().err
    assert is_safe(said)
    assert said.startswith("a client calls itself \\x1b[2J")


def test_a_text_of_this_world_stays_as_it_is():
    text = "Å, 54 e⁻/nm² — «Proben» 試料 🔬\nline two"
    assert printable(text) == text
    assert printable("a\udc80b") == "a\\udc80b"


def test_a_value_that_python_does_not_write_is_told_of():
    assert "too long" in shortened(10**5000)
    nested: list = []
    for _ in range(sys.getrecursionlimit() * 2):
        nested = [nested]
    assert "too long" in shortened(nested)
    assert len(shortened("x" * 500)) <= 60
