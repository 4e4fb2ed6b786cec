"""Answering, going back, and a finer image, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from acts import journal, pause, remove_layer, start

ASK = "Ask before each step"
ASKS = "waiting for approval"


@pytest.mark.presses(
    *("Experiment: Ask before each step", "Experiment: Approve", "Experiment: Veto"),
    "Experiment: Go on for",
)
def test_proposals_are_approved_and_vetoed(hand):
    start(hand)
    hand.click(ASK, within="Loop")
    taken = hand.until_run("it asks", state=ASKS)["taken"]
    hand.click("Approve", within="Experiment")
    hand.until_run("one is measured, and it asks", state=ASKS, taken=taken + 1)
    proposals = journal(hand.ask("run"), "proposal")
    hand.click("Veto", within="Experiment")
    run = hand.until(
        lambda: asks_again(hand, len(proposals)), "it asks about another place"
    )
    assert run["taken"] == taken + 1
    *_, refused = journal(run, "refusal")
    assert refused["who"] == "human"
    hand.type_into("Steps without asking", "3", within="Experiment")
    hand.click("Go on for", within="Experiment")
    run = hand.until_run("three are measured, and it asks", state=ASKS, taken=taken + 4)
    # The one that was asked about is the first of them.
    assert [each["steps"] for each in journal(run, "alone")] == [2]
    hand.click(ASK, within="Loop")
    hand.until_run("it goes on alone", state="running", taken=lambda n: n > taken + 6)


def asks_again(hand, before: int):
    run = hand.ask("run")
    asks = run["state"] == ASKS and len(journal(run, "proposal")) > before
    return run if asks else None


@pytest.mark.presses("Monitor: Live", "Experiment: Go back", "Experiment: Resume")
def test_an_earlier_step_is_shown_and_gone_back_to(hand):
    start(hand)
    run = pause(hand)
    slider = hand.see("Step that is shown")
    hand.click_at((slider.rect[0] + slider.rect[2] // 3, slider.middle[1]))
    shown = hand.until_run("an earlier step is shown", shown_step=lambda n: n)
    assert 0 < shown["shown_step"] < run["taken"]
    hand.click("Live", within="Monitor")
    hand.until_run("the newest is shown", shown_step=None)
    hand.type_into("Step to go back to", "2")
    hand.click("Go back")
    back = hand.until_run(
        "a run goes on from there",
        record=lambda path: path != run["record"],
        state="paused",
        taken=2,
    )
    assert Path(run["record"]).is_dir()
    hand.click("Resume", within="Experiment")
    hand.until_run("it measures", taken=lambda n: n > 4)
    assert len(journal(back, "measurement")) >= 4


@pytest.mark.presses(
    *("Experiment: Draw area", "Experiment: Image here"),
    "Experiment: Back to the wider image",
)
def test_a_finer_image_of_a_rectangle(hand):
    start(hand)
    run = pause(hand)
    height_nm, width_nm = run["fov_nm"]
    hand.click("Draw area")
    corners = [(0.3 * height_nm, 0.3 * width_nm), (0.7 * height_nm, 0.7 * width_nm)]
    hand.stroke(corners)
    hand.click("Image here")
    finer = hand.until_run(
        "the run goes on in the finer image",
        record=lambda path: path != run["record"],
        busy=False,
        state="paused",
    )
    assert Path(finer["record"]).is_dir()
    hand.click("Back to the wider image")
    hand.until_run("it is back", record=run["record"], busy=False, state="paused")
    remove_layer(hand, "Area to image")
