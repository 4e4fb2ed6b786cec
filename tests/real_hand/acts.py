"""What a person does at the cockpit, over several controls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hand import Hand

KNOWN = 11
"""After so many spectra the model proposes, and tells its runners-up."""


def connect(hand: Hand) -> None:
    """Connect the simulated microscope, whose exposures take their time."""
    if not hand.ask("run").get("connected"):
        real_time = hand.see("Real time", within="Microscope", shown=None)
        if not real_time.value:
            hand.click("Real time", within="Microscope")
        hand.click("Connect", within="Microscope")
    hand.until_run("a microscope is connected", connected=True, busy=False)


def disconnect(hand: Hand) -> None:
    """Let go of the microscope, if there is one; a run ends with it."""
    if hand.ask("run").get("connected"):
        hand.click("Disconnect", within="Microscope")
    hand.until_run("no microscope is connected", connected=False, busy=False)


def start(hand: Hand, *, steps: int = 4000, known: int = 4) -> dict[str, Any]:
    """Connect, set the length of the run, press Start, and wait for some spectra."""
    settle(hand)
    connect(hand)
    if hand.ask("run")["settings"]["budget"]["steps"] != steps:
        hand.type_into("Steps", str(steps), within="Budget")
    hand.click("Start", within="Experiment")
    enough = {"taken": lambda n: n >= known}
    return hand.until_run("the run goes", state="running", **enough)


def end(hand: Hand) -> None:
    """Abort whatever goes."""
    hand.click("ABORT", within="Experiment")
    hand.until_run("the run has ended", state="idle")


def settle(hand: Hand) -> None:
    """Leave things so that another can begin: no run."""
    if hand.ask("run").get("state", "idle") != "idle":
        end(hand)
    hand.until_run("nothing goes on", busy=False, state="idle")


def pause(hand: Hand) -> dict[str, Any]:
    """Pause the run that goes."""
    hand.click("Pause", within="Experiment")
    return hand.until_run("it is paused", state="paused")


def step(hand: Hand) -> dict[str, Any]:
    """Measure one spectrum in a run that is paused."""
    taken = hand.ask("run")["taken"]
    hand.click("Step", within="Experiment")
    return hand.until_run("one is measured", state="paused", taken=taken + 1)


def remove_layer(hand: Hand, name: str) -> None:
    """Take a layer out of the viewer by napari's own button."""
    hand.pick(name, of="QtLayerList")
    # The controls of another kind of layer take another height, above the list.
    button = hand.find(kind="QPushButton", tip="Delete selected layers")
    hand.click_at(hand.at_rest(button).middle)
    hand.until(lambda: name not in names(hand), f"the layer {name!r} is gone")


def answer(hand: Hand, path: Path | str) -> None:
    """Type a path into the dialog that asks for a file or a folder, and Enter."""
    field = hand.find(kind="QLineEdit", within="QFileDialog")
    hand.click_at(hand.at_rest(field).middle)
    hand.write(str(path))
    hand.key("Return")
    hand.until(lambda: not dialogs(hand), "the dialog is gone")


def dialogs(hand: Hand) -> list[Any]:
    """The dialogs that are open, the newest last."""
    return [each for each in hand.controls(kinds=["QDialog"]) if each.shown]


def names(hand: Hand) -> list[str]:
    """The names of all layers."""
    return [layer["name"] for layer in hand.ask("layers")]


def active_layer(hand: Hand, kind: str) -> str:
    """The name of the active layer, if it is of a kind; empty else."""
    active = (each for each in hand.ask("layers") if each["active"])
    return next((each["name"] for each in active if each["kind"] == kind), "")


def words(hand: Hand, dock: str) -> str:
    """All that is to be read in a dock, where its fields are not counted."""
    labels = hand.controls(kinds=["QLabel"])
    return "\n".join(
        str(label.value)
        for label in labels
        if label.seen and any(name.startswith(dock) for name in label.within)
    )


def journal(run: dict[str, Any], event: str = "") -> list[dict[str, Any]]:
    """The journal of the run that is shown; of one kind of entries, if it is named."""
    lines = (Path(run["record"]) / "journal.jsonl").read_text().splitlines()
    return [each for each in map(json.loads, lines) if event in (each["event"], "")]
