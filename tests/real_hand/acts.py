"""What a person does at the cockpit, over several controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hand import Hand


def connect(hand: Hand) -> None:
    """Connect the simulated microscope, whose exposures take their time."""
    if not hand.ask("run").get("connected"):
        real_time = hand.see("Real time", within="Microscope", shown=None)
        if not real_time.value:
            hand.click("Real time", within="Microscope")
        hand.click("Connect", within="Microscope")
    hand.until_run("a microscope is connected", connected=True, busy=False)


def disconnect(hand: Hand) -> None:
    if hand.ask("run").get("connected"):
        hand.click("Disconnect", within="Microscope")
    hand.until_run("no microscope is connected", connected=False, busy=False)


def start(hand: Hand, *, steps: int = 4000) -> dict[str, Any]:
    """Connect, set the length of the run, press Start, and wait for some spectra."""
    connect(hand)
    if hand.ask("run")["settings"]["budget"]["steps"] != steps:
        hand.type_into("Steps", str(steps), within="Budget")
    hand.click("Start", within="Experiment")
    return hand.until_run("the run goes", state="running", taken=lambda n: n > 3)


def end(hand: Hand) -> None:
    """Abort whatever goes."""
    hand.click("ABORT", within="Experiment")
    hand.until_run("the run has ended", state="idle")


def settle(hand: Hand) -> None:
    """Leave things so that another can begin: no menu, no run."""
    run = hand.ask("run")
    if run.get("state", "idle") != "idle":
        end(hand)
    hand.until_run("nothing goes on", busy=False, state="idle")


def pause(hand: Hand) -> dict[str, Any]:
    hand.click("Pause", within="Experiment")
    return hand.until_run("it is paused", state="paused")


def remove_layer(hand: Hand, name: str) -> None:
    """Take a layer out of the viewer by napari's own button."""
    hand.pick(name, of="QtLayerList")
    button = hand.find(kind="QPushButton", tip="Delete selected layers")
    hand.click_at(button.middle)
    hand.until(lambda: name not in names(hand), f"the layer {name!r} is gone")


def names(hand: Hand) -> list[str]:
    """The names of all layers."""
    return [layer["name"] for layer in hand.ask("layers")]


def journal(run: dict[str, Any], event: str = "") -> list[dict[str, Any]]:
    """The journal of the run that is shown; of one kind of entries, if it is named."""
    lines = (Path(run["record"]) / "journal.jsonl").read_text().splitlines()
    return [each for each in map(json.loads, lines) if event in (each["event"], "")]
