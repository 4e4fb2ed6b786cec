"""The runners-up of a proposal: measured, vetoed, and let go."""

from __future__ import annotations

import pytest
from acts import journal, names, step

RING = "Runner-up"


@pytest.fixture
def rows(hand, paused):
    """Lets a row of the runners-up be held, and tells the place of its ring."""
    # Whatever row an earlier test held.
    step(hand)
    hand.pick("Why here", of="QTabBar")

    def hold(row: str) -> list[float]:
        hand.pick(row, of="Proposal and runners-up")
        return hand.until(lambda: ring(hand), "there is a ring in the image")

    yield hold
    hand.pick("Learning", of="QTabBar")


@pytest.mark.presses("Monitor: Measure there")
def test_a_runner_up_is_measured_next(hand, rows):
    place = rows("2.")
    hand.click("Measure there", within="Monitor")
    (wanted,) = hand.until_run("it waits", queue=lambda pixels: len(pixels) == 1)[
        "queue"
    ]
    assert hand.ask("pixels", places=[wanted])[0] == pytest.approx(place)
    hand.until(lambda: RING not in names(hand), "the row is let go")
    measured = journal(step(hand), "proposal")[-1]
    assert [measured["row"], measured["column"]] == wanted
    assert measured["chosen_by"] == "human"


@pytest.mark.presses("Monitor: Veto")
def test_a_runner_up_is_vetoed_for_the_whole_run(hand, rows):
    place = rows("3.")
    before = len(journal(hand.ask("run"), "veto"))
    hand.click("Veto", within="Monitor")
    run = hand.ask("run")
    vetoes = hand.until(lambda: journal(run, "veto")[before:], "the journal has it")
    (pixel,) = [[each["row"], each["column"]] for each in vetoes]
    assert hand.ask("pixels", places=[pixel])[0] == pytest.approx(place)
    hand.until(lambda: RING not in names(hand), "the row is let go")
    proposed = journal(step(hand), "proposal")[-1]
    assert [proposed["row"], proposed["column"]] != pixel


@pytest.mark.presses("Monitor: Follow again")
def test_a_row_is_let_go(hand, rows):
    rows("2.")
    follow = hand.click("Follow again", within="Monitor")
    hand.until(lambda: RING not in names(hand), "the ring is gone")
    hand.until(lambda: not hand.again(follow).shown, "there is nothing to let go")


def ring(hand) -> list[float]:
    """The place `(y, x)` in nm of the ring around a runner-up; empty without one."""
    layers = {layer["name"]: layer for layer in hand.ask("layers")}
    if RING not in layers:
        return []
    first, last = layers[RING]["shown"]
    return [(a + b) / 2 for a, b in zip(first, last, strict=True)]
