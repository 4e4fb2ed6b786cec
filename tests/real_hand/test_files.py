"""Files and folders chosen by the buttons beside their fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from acts import answer, disconnect, settle

MODEL = ("Weights of the network", "Earlier run")
ANOTHER = "Another scalarizer"
MICROSCOPES = {
    "Spectrum image": "Replay of a spectrum image",
    "Survey image": "Replay of a spectrum image",
    "Token file": "Remote microscope",
}


@pytest.fixture
def file(tmp_path):
    """A file that can be chosen; a small spectrum image, for those who look in it."""
    np.save(tmp_path / "chosen.npy", np.ones((4, 4, 8), dtype=np.float32))
    return tmp_path / "chosen.npy"


@pytest.mark.presses(*(f"Experiment: Select file: {name}" for name in MODEL))
def test_a_file_of_the_model_is_chosen_and_taken_back(hand, file):
    settle(hand)
    for name in MODEL:
        choose(hand, name, file, dock="Experiment")
        hand.type_into(name, "", within="Experiment")
        hand.key("Return")
    run = hand.until_run(
        "nothing is chosen", settings=lambda now: files(now) == [None] * 2
    )
    assert run


@pytest.mark.presses(
    *(f"{dock}: Select file: Target spectrum" for dock in ("Experiment", "Forensics"))
)
def test_a_spectrum_to_look_for_is_chosen(hand, file):
    settle(hand)
    hand.click(ANOTHER, within="Forensics")
    for dock in ("Experiment", "Forensics"):
        hand.choose("Scalarizer", "Similarity to a spectrum", within=dock)
        choose(hand, "Target spectrum", file, dock=dock)
        hand.type_into("Target spectrum", "", within=dock)
        hand.key("Return")
        hand.choose("Scalarizer", "Band integral", within=dock)
    hand.click(ANOTHER, within="Forensics")


@pytest.mark.presses(*(f"Microscope: Select file: {name}" for name in MICROSCOPES))
def test_a_file_of_a_microscope_is_chosen(hand, file):
    disconnect(hand)
    for name, microscope in MICROSCOPES.items():
        hand.choose("Microscope", microscope, within="Instrument")
        choose(hand, name, file, dock="Microscope")
    hand.choose("Microscope", "Simulated microscope", within="Instrument")


@pytest.mark.presses("Experiment: Choose directory")
def test_a_folder_for_records_is_chosen(hand, tmp_path):
    before = hand.ask("run")["record_folder"]
    Path(before).mkdir(exist_ok=True)
    for folder in (str(tmp_path), before):
        hand.click("Choose directory", within="Record")
        answer(hand, folder)
        hand.until_run("records go there", record_folder=folder)


def choose(hand, name: str, file, *, dock: str) -> None:
    """Choose a file by the button beside a field, and see it there."""
    hand.click(f"Select file: {name}", within=dock)
    answer(hand, file)
    field = hand.see(name, within=dock, kind="QLineEdit")
    hand.until(lambda: hand.again(field).value == str(file), "the field has it")


def files(settings: dict) -> list[str | None]:
    return [settings["model"]["weights"], settings["model"]["earlier"]]
