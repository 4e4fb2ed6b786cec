"""How a run ended is in its record: why, by whom, and what the beam read then."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from fakes import FakeInstrument
from lab import TIMEOUT_S, Lab, experiment, run
from napari_hae.cli import main
from napari_hae.experiment.ending import AbortedBy, Ending
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.sentences import sentence
from napari_hae.experiment.stored import open_run
from napari_hae.types import BeamState
from older import as_format_2


class Unreadable(FakeInstrument):
    """Cannot say what its beam does."""

    def capabilities(self):
        return replace(super().capabilities(), blanker_can_be_read=False)


def aborted(lab, act):
    """A run to which something happens in mid-exposure of its third step."""
    runner = lab.runner(experiment())
    exposing = threading.Event()

    def hold(_):
        if len(lab.bare.beam.exposed) == 3:
            lab.bare.hold = threading.Event()
            exposing.set()

    lab.bare.during_exposure = hold
    runner.start()
    assert exposing.wait(TIMEOUT_S)
    act(runner)
    assert runner.wait(TIMEOUT_S)
    return runner


def told(runner):
    return sentence(open_run(runner.record.path).journal[-1])


def test_an_abort_is_recorded_with_whom_it_came_from_and_the_beam(tmp_path, capsys):
    runner = aborted(Lab(tmp_path), lambda runner: runner.abort(AbortedBy.BUTTON))
    by_you = "aborted by you at step 3, beam blanked (read back)"
    assert runner.ending == Ending(
        FinishReason.ABORTED, "", AbortedBy.BUTTON, 2, BeamState.BLANKED
    )
    assert str(runner.ending) == by_you
    assert open_run(runner.record.path).ending == runner.ending
    assert told(runner) == f"The run was {by_you}."
    assert main(["info", str(runner.record.path)]) == 0
    assert f"ended        {by_you}\n" in capsys.readouterr().out
    assert main(["info", "--json", str(runner.record.path)]) == 0
    ending = json.loads(capsys.readouterr().out)["ending"]
    assert (ending["aborted_by"], ending["beam"]) == ("button", "blanked")


def test_a_beam_that_cannot_be_read_back_is_not_called_blanked(tmp_path):
    runner = aborted(Lab(tmp_path, Unreadable()), lambda runner: runner.abort())
    assert runner.ending.beam is BeamState.UNVERIFIED
    assert told(runner) == (
        "The run was aborted by a program at step 3, beam told to blank (it cannot be "
        "read back)."
    )


def test_an_abort_at_the_microscope_is_told_from_one_of_the_run(tmp_path):
    lab = Lab(tmp_path)
    runner = aborted(lab, lambda _: lab.gate.abort("the server lost the client"))
    assert runner.ending.aborted_by is AbortedBy.MICROSCOPE
    assert told(runner).startswith(
        "The run was aborted by the microscope at step 3, beam blanked (read back): "
        "the server lost the client"
    )


def test_the_first_of_several_aborts_counts(tmp_path):
    def twice(runner):
        runner.abort(AbortedBy.KEY)
        runner.abort(AbortedBy.CLOSED_WINDOW)

    assert aborted(Lab(tmp_path), twice).ending.aborted_by is AbortedBy.KEY


def test_stop_is_no_abort(tmp_path):
    lab = Lab(tmp_path)
    runner = lab.runner(experiment())
    runner.events.measured.connect(lambda _: runner.stop())
    run(runner)
    assert runner.ending.reason is FinishReason.STOPPED
    assert runner.ending.aborted_by is None
    assert told(runner) == "The run was stopped."


@pytest.mark.parametrize(
    ("reason", "text", "words"),
    [
        (
            "stopped",
            "aborted: the beam stays blanked",
            "The run was stopped: aborted: the beam stays blanked.",
        ),
        ("completed", "9 of 9 steps are done", "completed: 9 of 9 steps are done."),
        ("failed", "", "The run failed."),
    ],
)
def test_records_of_earlier_versions_are_read(tmp_path, reason, text, words):
    runner = run(Lab(tmp_path).runner(experiment()))
    journal = runner.record.path / "journal.jsonl"
    lines = [as_format_2(json.loads(each)) for each in journal.read_text().splitlines()]
    end = {"event": "end", "time": lines[-1]["time"]}
    lines[-1] = end | {"reason": reason, "text": text}
    journal.write_text("".join(json.dumps(each) + "\n" for each in lines))
    stored = open_run(runner.record.path)
    assert stored.ending == Ending(FinishReason(reason), text)
    assert sentence(stored.journal[-1]).endswith(words)
