"""Damage of a journal that is still JSON: it is named by file and line, or harmless."""

from __future__ import annotations

import copy
import json
import random
import shutil
import threading

import pytest

from lab import TIMEOUT_S, Lab, column_region, experiment, run
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.cli import main
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.export import to_hyperspy
from napari_hae.experiment.journal import BrokenJournal
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.settings import DriftSettings, LoopSettings
from napari_hae.experiment.stored import NotARecord, open_run
from napari_hae.experiment.trust import MissingPart, NotTrusted
from napari_hae.experiment.votes import Vote
from napari_hae.gui.opened_run import OpenedRun
from napari_hae.gui.record_reader import read_records
from napari_hae.regions.regions import PolygonRegion, Regions, SoftRegion
from older import as_format_2

OWN = BrokenJournal, NotARecord, NotTrusted, MissingPart
WRONG = [
    None,
    True,
    0,
    -1,
    7,
    10**30,
    2.5,
    -1e300,
    "",
    "x",
    "\x00",
    [],
    [1, 2, 3],
    {},
    {"kind": "x"},
    float("nan"),
    float("inf"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A record with an event of nearly every kind."""
    lab = Lab(tmp_path_factory.mktemp("runs"))
    settings = experiment(
        drift=DriftSettings(every=4, follow=False), loop=LoopSettings(maps_every=2)
    )
    runner = lab.runner(settings)
    at_a_pause(runner, 5)
    triangle = PolygonRegion("near", (((5.0, 5.0), (70.0, 5.0), (5.0, 70.0)),))
    soft = (SoftRegion(triangle, 1.0),)
    runner.set_regions(Regions(forbidden=(column_region("no", 7),), soft=soft))
    runner.vote(1, Vote.GOOD, why="an edge")
    runner.discard(2)
    runner.keep_out(0, 0)
    runner.measure_next([(3, 3), (4, 4)])
    runner.configure(acquisition=UpperConfidenceBound(beta=1.0))
    runner.resume()
    assert runner.wait(TIMEOUT_S)
    resumed = run(lab.resumed(runner, 14))
    assert len(resumed.measurements) == 14, resumed.finish_text
    return resumed.record.path


@pytest.fixture
def damage(path, tmp_path):
    """Gives a copy of the record with other lines in its journal."""

    def damaged(lines):
        out = tmp_path / "damaged.hae"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(path / "arrays.zarr", out / "arrays.zarr")
        (out / "journal.jsonl").write_bytes(b"".join(lines))
        return out

    return damaged


def at_a_pause(runner, step):
    """Start a run, and wait until it is paused after so many steps."""
    paused = threading.Event()

    def look(measurement) -> None:
        if measurement.step == step - 1:
            runner.pause()

    def look_at(state) -> None:
        if state is RunPhase.PAUSED:
            paused.set()

    runner.events.measured.connect(look)
    runner.events.state_changed.connect(look_at)
    runner.start()
    assert paused.wait(TIMEOUT_S)


def lines_of(path):
    return (path / "journal.jsonl").read_bytes().splitlines(keepends=True)


def line(entry):
    return json.dumps(entry).encode() + b"\n"


def places(value, at=()):
    """The places of all values inside of a JSON value, itself left out."""
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    for key, item in inside:
        yield (*at, key)
        yield from places(item, (*at, key))


def inside(entry, place):
    for key in place:
        entry = entry[key]
    return entry


def without(entry, place):
    del inside(entry, place[:-1])[place[-1]]


def with_value(entry, place, value):
    inside(entry, place[:-1])[place[-1]] = value


def mutations(lines, rng, values):
    """Journals with one damage each; so many values are changed in each line."""
    for number, whole in enumerate(lines):
        before, after = lines[:number], lines[number + 1 :]
        yield "lost", [*before, *after]
        yield "twice", [*before, whole, whole, *after]
        yield "swapped", [*before, *after[:1], whole, *after[1:]]
        yield "cut", [*before, whole[: len(whole) // 2] + b"\n", *after]
        yield "cut at the end", [*before, whole[: len(whole) // 2]]
        yield "null bytes", [*before, b"\x00" * len(whole) + b"\n", *after]
        yield "a list", [*before, b"[1, 2]\n", *after]
        yield "deep", [*before, b"[" * 100_000 + b"\n", *after]
        yield "utf-16", [*before, whole.decode().encode("utf-16"), *after]
        yield "latin-1", [*before, whole[:-2] + b', "why": "\xe9"}\n', *after]
        yield "empty", [*before, b"\n", *after]
        entry = json.loads(whole)
        others = [other["event"] for other in map(json.loads, lines)]
        for event in (rng.choice(others), "toast", 5, None):
            yield "event", [*before, line(entry | {"event": event}), *after]
        found = list(places(entry))
        for place in rng.sample(found, min(values, len(found))):
            changed = copy.deepcopy(entry)
            without(changed, place)
            yield f"without {place}", [*before, line(changed), *after]
            changed = copy.deepcopy(entry)
            with_value(changed, place, rng.choice(WRONG))
            yield f"changed {place}", [*before, line(changed), *after]


def look(path):
    """All that opens a record without measuring; returns what can be compared."""
    stored = open_run(path)
    read_records(str(path))
    if stored.measurements:
        to_hyperspy(stored)
        for event in OpenedRun(stored).record.noted:
            assert sentence(event)
    return stored


def is_named(error, path):
    """Whether an error is one sentence with file and line."""
    text = str(error)
    assert "\n" not in text
    assert str(path) in text
    return "line " in text or isinstance(error, NotARecord | NotTrusted | MissingPart)


def check(path, what):
    try:
        look(path)
    except OWN as error:
        assert is_named(error, path), (what, error)
        return str(error)
    return ""


def test_no_damage_ends_in_another_error(path, damage):
    rng = random.Random(1)
    found = list(mutations(lines_of(path), rng, values=2))
    for what, lines in rng.sample(found, 250):
        check(damage(lines), what)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(8))
def test_no_damage_at_all_ends_in_another_error(path, damage, seed):
    for what, lines in mutations(lines_of(path), random.Random(seed), values=12):
        check(damage(lines), what)


@pytest.mark.nightly
def test_no_damage_keeps_a_command_from_ending_in_words(path, damage, capsys):
    rng = random.Random(2)
    found = list(mutations(lines_of(path), rng, values=4))
    for _, lines in rng.sample(found, 150):
        damaged = damage(lines)
        out = damaged.parent
        for place in (out / "b.hae", out / "x.hspy", out / "e.npz", out / "r.html"):
            shutil.rmtree(place, ignore_errors=True)
            place.unlink(missing_ok=True)
        for command in (
            ["info"],
            ["info", "--json"],
            ["export", str(out / "x.hspy")],
            ["branch", "--after", "3", "--out", str(out / "b.hae")],
            ["learn", "--out", str(out / "e.npz")],
            ["forensics", "--out", str(out / "r.html")],
            ["resume", "--steps", "20"],
        ):
            assert main([command[0], str(damaged), *command[1:]]) in (0, 1, 2)
            assert "Traceback" not in capsys.readouterr().err


@pytest.mark.nightly
def test_no_damage_keeps_a_run_that_goes_on_from_ending_in_words(path, damage):
    rng = random.Random(3)
    found = list(mutations(lines_of(path), rng, values=4))
    for _, lines in rng.sample(found, 100):
        copied = damage(lines)
        (copied / "arrays.zarr").unlink()
        shutil.copytree(path / "arrays.zarr", copied / "arrays.zarr")
        lab = Lab(copied.parent)
        try:
            past = open_run(copied, trust=True)
            past.expect_usable()
            settings = past.settings
            _ = past.frame
        except OWN:
            continue
        record = Record.reopen(past)
        again = run(Runner(lab.gate, record, settings, past=past))
        assert "Error:" not in again.finish_text


def test_a_lost_line_is_noticed_wherever_it_was(path, damage):
    lines = lines_of(path)
    for number in range(len(lines) - 1):
        damaged = damage([*lines[:number], *lines[number + 1 :]])
        with pytest.raises((BrokenJournal, NotARecord)) as raised:
            open_run(damaged)
        where = f"line {number + 1} of {damaged / 'journal.jsonl'}"
        assert where in str(raised.value) or number == 0


@pytest.mark.parametrize("event", ["proposal", "measurement", "survey"])
def test_a_line_lost_from_an_older_record_is_noticed(path, damage, event):
    entries = [as_format_2(json.loads(each)) for each in lines_of(path)]
    lines = [line(entry) for entry in entries]
    assert len(open_run(damage(lines)).measurements) == 14
    which = [n for n, entry in enumerate(entries) if entry["event"] == event][:3]
    for number in which:
        with pytest.raises(BrokenJournal, match=r"line \d+ of "):
            open_run(damage([*lines[:number], *lines[number + 1 :]]))


def test_lines_that_are_repeated_or_swapped_are_noticed(path, damage):
    lines = lines_of(path)
    for number in range(len(lines) - 1):
        one, two = lines[number], lines[number + 1]
        for mixed in ([one, one, two], [two, one]):
            damaged = damage([*lines[:number], *mixed, *lines[number + 2 :]])
            with pytest.raises((BrokenJournal, NotARecord)):
                open_run(damaged)


@pytest.mark.parametrize(
    ("event", "change", "words"),
    [
        ("proposal", {"x": 7.5}, "lies outside the image"),
        ("proposal", {"y": -0.1}, "lies outside the image"),
        ("proposal", {"row": 0, "column": 0, "x": 0.9, "y": 0.9}, "which lies in"),
        ("measurement", {"x_nm": 1e9}, "x_nm is 1e+09, far outside of the field"),
        ("measurement", {"y_nm": -81.0}, "y_nm is -81, far outside of the field"),
        ("measurement", {"beam": [0.5, 1.5]}, "was not in the field of view"),
    ],
)
def test_what_lies_outside_of_the_field_is_named(path, damage, event, change, words):
    lines = lines_of(path)
    number = next(n for n, x in enumerate(lines) if f'"event": "{event}"'.encode() in x)
    lines[number] = line(json.loads(lines[number]) | change)
    damaged = damage(lines)
    with pytest.raises(BrokenJournal, match=rf"line {number + 1} of ") as raised:
        open_run(damaged)
    assert words in str(raised.value)


@pytest.mark.parametrize("event", ["proposal", "measurement"])
def test_a_run_that_goes_on_after_its_end_is_named(path, damage, event):
    entries = [json.loads(each) for each in lines_of(path)]
    end = next(each for each in entries if each["event"] == "end")
    number = [n for n, each in enumerate(entries) if each["event"] == event][5]
    entries.insert(number, end)
    lines = [line(entry | {"n": n}) for n, entry in enumerate(entries)]
    damaged = damage(lines)
    with pytest.raises(BrokenJournal, match="the run had ended before") as raised:
        open_run(damaged)
    assert f"line {number + 2} of " in str(raised.value)


def test_a_record_without_its_last_line_s_end_is_what_came_before(path, damage):
    lines = lines_of(path)
    which = [n for n, x in enumerate(lines) if b'"event": "measurement"' in x]
    damaged = damage([*lines[: which[6]], lines[which[6]][:40]])
    assert len(open_run(damaged).measurements) == 6


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_none(path, damage, text):
    lines = lines_of(path)
    number = next(
        n for n, each in enumerate(lines) if b'"event": "measurement"' in each
    )
    wrong = json.loads(lines[number]) | {"x_nm": "HERE"}
    lines[number] = line(wrong).replace(b'"HERE"', text.encode())
    with pytest.raises(BrokenJournal, match=rf"line {number + 1} of .*journal\.jsonl"):
        open_run(damage(lines))


@pytest.mark.parametrize(
    "command", [["info"], ["export", "x.hspy"], ["forensics"], ["resume"], ["learn"]]
)
def test_every_command_names_the_line(path, damage, command, tmp_path, capsys):
    lines = lines_of(path)
    wrong = json.loads(lines[4]) | {"step": "four"}
    damaged = damage([*lines[:4], line(wrong), *lines[5:]])
    more = command[1:] + (["--out", "x.npz"] if command == ["learn"] else [])
    assert main([command[0], str(damaged), *more]) == 2
    said = capsys.readouterr().err
    assert f"line 5 of {damaged / 'journal.jsonl'}" in said
    assert said.count("\n") == 1
