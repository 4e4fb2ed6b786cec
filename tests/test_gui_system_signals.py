"""Signals to a plain napari whose window holds a beam."""

from __future__ import annotations

import signal

import pytest

from commanded import WithBeamLog
from napari_hae.experiment.ending import AbortedBy
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.stored import open_run
from napari_hae.signal_listener import SIGNALS
from steered import LEFT, until
from test_stopping import RANDOM

pytestmark = pytest.mark.gui
NUMBERS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


def napari(folder, *, windows=1, before=(), slow="exposure", **settings):
    """A napari that has begun a run in each window, whose exposure takes for ever."""
    given = {"slow": f"'{slow}'", **settings}
    sets = [f"instrument.{name}={value}" for name, value in given.items()]
    chosen = [each for each in RANDOM if each != "--set"]
    arguments = (windows, folder, *sets, *chosen, "budget.steps=9")
    config = str(folder / "napari.yaml")
    return WithBeamLog(
        folder, "run_napari.py", *arguments, before=before, NAPARI_CONFIG=config
    )


def assert_ended(program, number, *, was="exposure"):
    """It ended by the signal, which came while something went on with the beam."""
    assert program.wait() == -number, program.lines
    since = program.beam[program.beam.index(f"{was} goes on") :]
    assert since[1] == "aborted"
    assert "blanked" in since
    assert "on" not in since
    assert since[-1] == "disconnected"
    # Ctrl+C ends napari by an exception of its own.
    errors = [line for line in program.lines if "Error" in line or "Exception" in line]
    assert not errors


def assert_record_ended(path, number):
    run = open_run(path)
    assert (run.finish_reason, run.finish_text) == ("interrupted", number.name)
    assert len(run.measurements) == 3


@pytest.mark.parametrize("number", NUMBERS)
def test_a_run_in_a_window_is_ended_in_mid_exposure(tmp_path, number):
    with napari(tmp_path) as program:
        program.wait_for("exposure goes on")
        program.signal(number)
        assert_ended(program, number)
    assert_record_ended(tmp_path / "0.hae", number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_ended_while_the_window_does_something_else(tmp_path, number):
    with napari(tmp_path) as program:
        program.wait_for("exposure goes on")
        program.tell("hold up")
        program.wait_for("HELD UP")
        program.signal(number)
        program.wait_for("disconnected")
        program.tell("go on")
        assert_ended(program, number)
    assert_record_ended(tmp_path / "0.hae", number)


def test_runs_in_all_windows_are_ended(tmp_path):
    with napari(tmp_path, windows=2) as program:
        program.wait_for("exposure goes on")
        program.wait_for("exposure goes on")
        program.signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM, program.lines
        assert program.beam.count("disconnected") == 2
    for name in ("0.hae", "1.hae"):
        assert_record_ended(tmp_path / name, signal.SIGTERM)


@pytest.mark.parametrize("slow", ["connecting", "scanning"])
def test_a_microscope_that_is_only_connecting_is_let_go_of(tmp_path, slow):
    with napari(tmp_path, slow=slow) as program:
        program.wait_for(f"{slow} goes on")
        program.signal(signal.SIGTERM)
        assert_ended(program, signal.SIGTERM, was=slow)
    assert not (tmp_path / "0.hae").exists()


def test_a_second_signal_only_blanks(tmp_path):
    """The instrument does not come back from its exposure: nobody waits for it."""
    with napari(tmp_path, deaf="true") as program:
        program.wait_for("exposure goes on")
        program.signal(signal.SIGTERM)
        program.wait_for("blanked")
        program.signal(signal.SIGTERM)
        assert program.wait() == 128 + signal.SIGTERM
        assert program.beam[-1] == "blanked"


def test_nohup_is_obeyed(tmp_path):
    with napari(tmp_path, before=["nohup"]) as program:
        program.wait_for("exposure goes on")
        program.signal(signal.SIGHUP)
        program.signal(signal.SIGTERM)
        assert_ended(program, signal.SIGTERM)


@pytest.fixture
def handled():
    """What a handler of the host, which lets the program live, was told."""
    told = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    yield told
    signal.signal(signal.SIGTERM, before)


def test_where_the_program_lives_on_the_run_has_ended_and_can_be_begun_anew(
    handled, paused, qtbot
):
    """As in a notebook, whose kernel handles signals by itself."""
    session, microscope = paused.session, paused.microscope
    instrument = session.connection.instrument
    signal.raise_signal(signal.SIGTERM)
    until(qtbot, lambda: handled)
    assert handled == [signal.SIGTERM]
    until(qtbot, lambda: session.state is RunPhase.IDLE)
    assert session.ending.aborted_by is AbortedBy.SIGNAL
    assert not instrument.status().connected
    assert not session.connection.is_open
    assert microscope.connect_button.text() == "Connect"
    with qtbot.waitSignal(session.connection.changed, timeout=60_000):
        qtbot.mouseClick(microscope.connect_button, LEFT)
    signal.raise_signal(signal.SIGTERM)
    until(qtbot, lambda: len(handled) == 2)


def test_ctrl_c_in_a_console_is_none_of_the_window(connected):
    session = connected.session
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert not session.connection.instrument.is_aborted


def test_signals_are_as_before_when_the_last_microscope_is_let_go_of(
    cockpit, qtbot, handled
):
    def handlers():
        return [signal.getsignal(number) for number in SIGNALS]

    session, button = cockpit.session, cockpit.microscope.connect_button
    before = handlers()
    with qtbot.waitSignal(session.connection.changed, timeout=60_000):
        qtbot.mouseClick(button, LEFT)
    assert handlers() != before
    until(qtbot, button.isEnabled)
    with qtbot.waitSignal(session.connection.changed, timeout=60_000):
        qtbot.mouseClick(button, LEFT)
    assert handlers() == before
    assert signal.set_wakeup_fd(-1) == -1
