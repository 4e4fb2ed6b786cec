"""Start, pause, step, stop and abort, by the pointer and by keys."""

from __future__ import annotations

import pytest
from acts import connect, journal, names, remove_layer, start

ABORT = "ctrl+shift+BackSpace"
STEP = "ctrl+alt+n"


@pytest.mark.presses(
    *(f"Experiment: {name}" for name in ("Start", "Pause", "Step", "Resume", "Stop"))
)
def test_start_pause_step_resume_and_stop(hand):
    start(hand)
    hand.click("Pause", within="Experiment")
    taken = hand.until_run("it is paused", state="paused")["taken"]
    hand.click("Step", within="Experiment")
    hand.until_run("one is measured", state="paused", taken=taken + 1)
    hand.click("Resume", within="Experiment")
    hand.until_run("it goes on", state="running", taken=lambda n: n > taken + 2)
    hand.click("Stop", within="Experiment")
    run = hand.until_run("it has ended", state="idle", busy=False)
    (ended,) = journal(run, "end")
    assert ended["reason"] == "stopped"
    assert len(journal(run, "measurement")) == run["taken"]


@pytest.mark.parametrize(
    "dock",
    [
        pytest.param(dock, marks=pytest.mark.presses(f"{dock}: ABORT"))
        for dock in ("Experiment", "Microscope", "Forensics")
    ],
)
def test_the_abort_button_of_each_dock_ends_a_run_with_the_beam_blanked(hand, dock):
    start(hand)
    hand.click("ABORT", within=dock)
    hand.until_run("the run has ended", state="idle")
    hand.click("Reason", within="Experiment")
    hand.until(lambda: beam(hand) == {"blanked"}, "the beam is told to be blanked")
    assert len(journal(hand.ask("run"), "end")) == 1


def test_the_abort_key_works_from_within_a_field(hand):
    start(hand)
    hand.click("Reason", within="Experiment")
    hand.key(ABORT)
    run = hand.until_run("the run has ended", state="idle")
    assert len(journal(run, "end")) == 1
    assert hand.see("Reason").value == ""


def test_what_is_typed_counts_for_a_step_that_is_taken_by_key(hand):
    connect(hand)
    hand.type_into("Steps", "37", within="Budget")
    assert hand.see("Step", within="Experiment").tip.startswith("Begin a run")
    hand.key(STEP)
    run = hand.until_run("a run has begun, and waits", state="paused")
    assert run["settings"]["budget"]["steps"] == 37
    assert journal(run, "start")[0]["settings"]["budget"]["steps"] == 37
    assert hand.see("Step", within="Experiment").tip.startswith("Measure one")


def test_a_click_that_ends_an_edit_is_not_lost(hand):
    start(hand, steps=4000)
    hand.type_into("Exposure (s)", "0.05", within="Measurement")
    # What is said of the change must not move the button from under the pointer.
    hand.click("Paint soft region")
    hand.until(lambda: "Soft region" in names(hand), "there is a layer to paint in")
    assert hand.ask("run")["settings"]["measurement"]["exposure_s"] == 0.05
    remove_layer(hand, "Soft region")


def beam(hand) -> set[str]:
    """What the dock says of the beam: "blanked", "on", …"""
    return {
        control.value.split()[1].strip(",")
        for control in hand.controls(kinds=["QLabel"])
        if "Experiment (napari-hae)" in control.within and control.seen
        if isinstance(control.value, str) and control.value.startswith("Beam ")
    }
