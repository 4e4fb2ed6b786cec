"""Boxes to tick: what they say changes, and changes back."""

from __future__ import annotations

import pytest
from acts import disconnect, journal, remove_layer, step, words

SETTINGS = {
    "Leave traps": ("moves", "leave_traps"),
    "Improvement per electron": ("moves", "per_exposure"),
    "Follow the drift": ("drift", "follow"),
    "Pause when it is lost": ("drift", "pause"),
    "Use the position": ("model", "position_kernel"),
}
INSTRUMENTS = {
    "asyncroscopy (Tango)": "No Tango database",
    "Nion Swift": "Simulator outside Swift",
    "Replay of a spectrum image": "Take real time",
}
COMPARED = {
    "Another acquisition function": "Acquisition",
    "Another scalarizer": "Scalarizer",
}
SIMULATED = {
    "Particles touch": "particles_touch",
    "Counting noise": "counting_noise",
    "Real time": "realtime",
}


@pytest.mark.presses(*(f"Experiment: {name}" for name in SETTINGS))
def test_boxes_change_the_settings_and_change_them_back(hand):
    for name, (section, field) in SETTINGS.items():
        was = hand.ask("run")["settings"][section][field]
        for now in (not was, was):
            hand.click(name, within="Experiment")
            hand.until(
                lambda s=section, f=field, now=now: (
                    hand.ask("run")["settings"][s][f] is now
                ),
                f"{name!r} holds",
            )


@pytest.mark.presses("Experiment: Only where promising")
def test_a_box_is_there_where_it_means_something(hand):
    hand.type_into("Relative error to reach", "0.1", within="Measurement")
    hand.key("Return")
    for now in (False, True):
        hand.click("Only where promising", within="Measurement")
        hand.until(
            lambda now=now: measured_as(hand)["only_promising"] is now, "it holds"
        )
    hand.type_into("Relative error to reach", "", within="Measurement")
    hand.key("Return")
    hand.until(lambda: measured_as(hand)["relative_error"] is None, "it is put back")


@pytest.mark.presses(*(f"Microscope: {name}" for name in SIMULATED))
def test_the_microscope_is_connected_as_its_boxes_say(hand):
    disconnect(hand)
    for name in SIMULATED:
        hand.click(name, within="Microscope")
    wanted = {
        SIMULATED[name]: hand.see(name, within="Microscope", shown=None).value
        for name in SIMULATED
    }
    hand.click("Connect", within="Microscope")
    run = hand.until_run("a microscope is connected", connected=True, busy=False)
    assert {name: run["instrument"][name] for name in wanted} == wanted
    disconnect(hand)
    for name in SIMULATED:
        hand.click(name, within="Microscope")
    hand.click("Connect", within="Microscope")
    hand.until_run("a microscope is connected", connected=True, busy=False)
    again = {name: not value for name, value in wanted.items()}
    run = hand.ask("run")
    assert {name: run["instrument"][name] for name in again} == again
    disconnect(hand)


@pytest.mark.presses(*(f"Microscope: {name}" for name in INSTRUMENTS.values()))
def test_the_boxes_of_other_microscopes_can_be_ticked(hand):
    disconnect(hand)
    for instrument, name in INSTRUMENTS.items():
        hand.choose("Microscope", instrument, within="Instrument")
        for _ in range(2):
            was = hand.see(name, within="Instrument").value
            box = hand.click(name, within="Instrument")
            hand.until(
                lambda box=box, was=was: hand.again(box).value is not was,
                f"{name!r} is changed",
            )
    hand.choose("Microscope", "Simulated microscope", within="Instrument")


@pytest.mark.presses(*(f"Forensics: {name}" for name in COMPARED))
def test_what_a_run_is_compared_with_is_chosen_where_it_is_ticked(hand):
    for name, choice in COMPARED.items():
        box = hand.see(name, within="Forensics", shown=None)
        form = hand.see(choice, within="Forensics", shown=None, kind="QComboBox")
        for now in (not box.value, box.value):
            hand.click(name, within="Forensics")
            hand.until(
                lambda form=form, now=now: hand.again(form).shown is now,
                f"{choice!r} is there, or not",
            )


@pytest.mark.presses("Monitor: Best", "Monitor: Mean of")
def test_other_spectra_are_drawn_beside_the_one_that_is_shown(hand, paused):
    while (targets := targets_of(paused))[-1] == max(targets):
        # The best one is not drawn beside itself.
        step(hand)
    proposal = journal(paused, "proposal")[len(targets) - 1]
    measured = [proposal["row"], proposal["column"]]
    hand.click("Paint region of interest", within="Regions")
    (place,) = hand.ask("pixels", places=[measured])
    hand.stroke([place, [0.5 * x_nm for x_nm in paused["fov_nm"]]])
    for name, said in (("Best", "best: step"), ("Mean of", "mean of")):
        hand.click(name, within="Monitor")
        hand.until(lambda said=said: said in told(hand), f"{said!r} is drawn")
        hand.click(name, within="Monitor")
        hand.until(lambda said=said: said not in told(hand), f"{said!r} is gone")
    remove_layer(hand, "Region of interest")


def targets_of(run) -> list[float]:
    """The targets of all spectra."""
    return [each["target"] for each in journal(run, "measurement")]


def told(hand) -> str:
    """What is written over the spectrum, with plain spaces."""
    return words(hand, "Monitor").replace("&nbsp;", " ")


def measured_as(hand) -> dict:
    return hand.ask("run")["settings"]["measurement"]
