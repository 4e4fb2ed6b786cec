"""Signals in the middle of what a command does with the beam."""

from __future__ import annotations

import signal

import pytest

from commanded import Command, InTerminal
from napari_hae.experiment.journal import read_journal
from napari_hae.experiment.journal_events import EndEvent
from napari_hae.experiment.stored import open_run

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
RANDOM = ("--set", "acquisition.kind='random'", "--set", "initial.points=2")


def arguments_of(folder, *more, slow="exposure", **settings):
    given = {"slow": f"'{slow}'", **settings}
    sets = [f"instrument.{name}={value}" for name, value in given.items()]
    settings = [each for text in sets for each in ("--set", text)]
    out = ("--steps", "9", "--out", folder / "a.hae")
    return "run", "--instrument", "beam_log", *RANDOM, *settings, *out, *more


def run(folder, *more, before=(), **settings):
    return Command(folder, *arguments_of(folder, *more, **settings), before=before)


def end_of(folder):
    event = read_journal(folder / "a.hae" / "journal.jsonl")[-1]
    assert isinstance(event, EndEvent)
    return event.reason, event.text


def assert_ended(command, number, *, was="exposure"):
    """It ended by a signal that came while something went on with the beam."""
    assert command.wait() == CODES[number], command.lines
    beam = command.beam
    since = beam[beam.index(f"{was} goes on") :]
    assert since[1] == "aborted"
    assert "blanked" in since
    assert "on" not in since
    assert beam[-1] == "disconnected"
    assert not any("Traceback" in line for line in command.lines)


def interrupt_run(folder, number):
    with run(folder) as command:
        command.wait_for("exposure goes on")
        command.signal(number)
        assert_ended(command, number)
    assert end_of(folder) == ("interrupted", number.name)
    # What was announced is there, and what the signal cut off is not.
    assert len(open_run(folder / "a.hae").measurements) == 3


def interrupt_resumed(folder, number):
    with run(folder, "--steps", "2") as command:
        assert command.wait() == 0, command.lines
    with Command(folder, "resume", folder / "a.hae", "--steps", "9") as command:
        command.wait_for("exposure goes on")
        command.signal(number)
        assert_ended(command, number)
    assert end_of(folder) == ("interrupted", number.name)


@pytest.mark.nightly
@pytest.mark.parametrize("number", CODES)
def test_runs_are_ended_in_mid_exposure_time_and_again(tmp_path, number):
    for attempt in range(20):
        for interrupt in (interrupt_run, interrupt_resumed):
            folder = tmp_path / f"{interrupt.__name__}{attempt}"
            interrupt(folder, number)


@pytest.mark.parametrize("number", CODES)
def test_a_run_is_ended_in_mid_exposure(tmp_path, number):
    interrupt_run(tmp_path, number)


@pytest.mark.parametrize("number", CODES)
def test_a_resumed_run_is_ended_in_mid_exposure(tmp_path, number):
    interrupt_resumed(tmp_path, number)


@pytest.mark.parametrize("number", CODES)
def test_a_scan_is_ended_too(tmp_path, number):
    with run(tmp_path, slow="scanning") as command:
        command.wait_for("scanning goes on")
        command.signal(number)
        assert_ended(command, number, was="scanning")
    assert end_of(tmp_path) == ("interrupted", number.name)


def test_a_signal_while_connecting_leaves_no_record(tmp_path):
    with run(tmp_path, slow="connecting") as command:
        command.wait_for("connecting goes on")
        command.signal(signal.SIGTERM)
        assert_ended(command, signal.SIGTERM, was="connecting")
    assert not (tmp_path / "a.hae").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_only_blanks(tmp_path, number):
    """The instrument does not come back from its exposure: nobody waits for it."""
    with run(tmp_path, deaf="true") as command:
        command.wait_for("exposure goes on")
        command.signal(signal.SIGTERM)
        command.wait_for("blanked")
        command.signal(number)
        assert command.wait() == CODES[number]
        beam = command.beam
        assert beam[-1] == "blanked"
        assert "disconnected" not in beam
    # It was killed, as far as the record goes, and can be gone on with.
    assert open_run(tmp_path / "a.hae").finish_reason is None


def test_a_closed_terminal_that_says_so_twice_ends_cleanly(tmp_path):
    with run(tmp_path) as command:
        command.wait_for("exposure goes on")
        command.signal(signal.SIGHUP)
        command.signal(signal.SIGHUP)
        assert_ended(command, signal.SIGHUP)
    assert end_of(tmp_path) == ("interrupted", "SIGHUP")


def test_a_run_in_a_terminal_that_is_closed_ends_cleanly(tmp_path):
    """Nothing can be written to a terminal that is gone."""
    with InTerminal(tmp_path, *arguments_of(tmp_path)) as command:
        command.wait_for("exposure goes on")
        assert command.close_terminal() == 129
    assert end_of(tmp_path) == ("interrupted", "SIGHUP")


def test_nohup_is_obeyed(tmp_path):
    with run(tmp_path, before=["nohup"]) as command:
        command.wait_for("exposure goes on")
        command.signal(signal.SIGHUP)
        command.signal(signal.SIGTERM)
        assert_ended(command, signal.SIGTERM)


def test_the_demo_without_a_window_is_ended_and_makes_no_report(tmp_path):
    out = tmp_path / "demo.hae"
    arguments = ("demo", "--headless", "--steps", "500", "--out", out)
    with Command(tmp_path, *arguments) as command:
        command.wait_for("MEASURED")
        command.signal(signal.SIGTERM)
        assert command.wait() == 143, command.lines
    assert open_run(out).finish_reason == "interrupted"
    assert not out.with_suffix(".png").exists()


@pytest.mark.gui
@pytest.mark.parametrize("number", CODES)
def test_the_window_of_the_demo_is_closed_and_its_run_ended(tmp_path, number):
    out = tmp_path / "demo.hae"
    arguments = ("demo", "--steps", "500", "--out", out)
    with Command(tmp_path, *arguments) as command:
        command.wait_for("MEASURED")
        command.signal(number)
        assert command.wait() == CODES[number], command.lines
    run = open_run(out)
    assert (run.finish_reason, run.finish_text) == ("interrupted", number.name)


def test_asking_for_approval_is_refused_where_nobody_is(tmp_path):
    with run(tmp_path, "--set", "loop.approve=true") as command:
        assert command.wait() == 2
        assert any("loop.approve" in line for line in command.lines)
        assert not command.beam
    assert not (tmp_path / "a.hae").exists()


def test_a_run_that_pauses_where_nobody_is_ends(tmp_path):
    """The fake's image is too small to find the sample in it again."""
    lost = ("--set", "drift.every=1", "--set", "drift.pause=true")
    with run(tmp_path, *lost) as command:
        assert command.wait() == 1, command.lines
        assert command.beam[-1] == "disconnected"
    assert end_of(tmp_path) == (
        "stopped",
        "it paused, and without a window nobody can let it go on",
    )


def test_a_record_of_a_run_that_asked_is_resumed_without_asking(tmp_path):
    with run(tmp_path, "--steps", "2") as command:
        assert command.wait() == 0, command.lines
    journal = tmp_path / "a.hae" / "journal.jsonl"
    asked = journal.read_text().replace('"approve": false', '"approve": true')
    journal.write_text(asked)
    on = ("resume", tmp_path / "a.hae", "--steps", "3")
    with Command(tmp_path, *on) as command:
        assert command.wait() == 2
        assert any("--set loop.approve=false" in line for line in command.lines)
        assert not command.beam
    with Command(tmp_path, *on, "--set", "loop.approve=false") as command:
        assert command.wait() == 0, command.lines
    assert len(open_run(tmp_path / "a.hae").measurements) == 3


def test_a_run_killed_before_its_survey_image_is_resumed_from_its_start(tmp_path):
    with run(tmp_path, slow="scanning") as command:
        command.wait_for("scanning goes on")
        command.signal(signal.SIGKILL)
        command.wait()
    journal = tmp_path / "a.hae" / "journal.jsonl"
    quick = journal.read_text().replace('"scanning"', '"nothing"')
    journal.write_text(quick)
    # A text in the settings of an instrument may name a file or a host.
    on = ("--trust", "--steps", "5", "--set", "measurement.exposure_s=0.5")
    with Command(tmp_path, "resume", tmp_path / "a.hae", *on) as command:
        assert command.wait() == 0, command.lines
    stored = open_run(tmp_path / "a.hae")
    assert len(stored.measurements) == 5
    assert stored.settings.measurement.exposure_s == 0.5
    assert {m.spectrum.exposure_s for m in stored.measurements} == {0.5}
