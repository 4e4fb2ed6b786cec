"""Spectra judged by the buttons below their plot."""

from __future__ import annotations

import pytest
from acts import journal

JUDGE = ("Good", "Neutral", "Bad")
LEAVE = ("Discard", "Restore")


@pytest.mark.presses(*(f"Monitor: {name}" for name in (*JUDGE, *LEAVE)))
def test_a_spectrum_is_judged_and_left_out(hand, paused):
    for name in JUDGE:
        hand.click(name, within="Monitor")
        hand.until(lambda name=name: last_vote(paused) == name.lower(), "it is noted")
    for name, is_discarded in zip(LEAVE, (True, False), strict=True):
        hand.click(name, within="Monitor")
        hand.until(
            lambda now=is_discarded: last(paused, "discard")["is_discarded"] is now,
            "it is noted",
        )


@pytest.mark.presses("Monitor: Look for what I like")
def test_the_votes_become_the_goal(hand, paused):
    before = hand.ask("run")["settings"]["scalarizer"]
    hand.click("Good", within="Monitor")
    hand.click("Look for what I like", within="Monitor")
    hand.until_run("it is the goal", settings=lambda now: kind(now) == "votes")
    hand.choose("Scalarizer", "Band integral", within="Experiment")
    hand.until_run("it is the goal no more", settings=lambda now: kind(now) != "votes")
    assert hand.ask("run")["settings"]["scalarizer"] == before


def last(run, event: str) -> dict:
    """The newest entry of a kind."""
    return next(iter(reversed(journal(run, event))), {"is_discarded": None})


def last_vote(run) -> str:
    return last(run, "vote").get("vote", "")


def kind(settings: dict) -> str:
    return settings["scalarizer"]["kind"]
