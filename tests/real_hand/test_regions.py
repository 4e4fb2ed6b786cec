"""Regions painted with the mouse while the beam goes."""

from __future__ import annotations

import pytest
from acts import end, journal, remove_layer, start

AFTERWARDS = 12
"""So many are measured under the region before it is looked at."""
SOFT = "Soft region"
STROKE = [(0.3, 0.25), (0.3, 0.7), (0.5, 0.7)]
"""What is painted, as fractions of the field down and across."""


@pytest.mark.parametrize(
    ("button", "layer", "is_open"),
    [
        pytest.param(*values, marks=pytest.mark.presses(f"Experiment: {values[0]}"))
        for values in (
            ("Paint region of interest", "Region of interest", True),
            ("Paint forbidden zone", "Forbidden zone", False),
        )
    ],
)
def test_nothing_is_measured_where_it_is_closed_in_mid_run(
    hand, button, layer, is_open
):
    run = start(hand, steps=4000)
    height_nm, width_nm = run["fov_nm"]
    hand.click(button, within="Regions")
    hand.until(lambda: is_painting(hand, layer), f"{layer!r} can be painted in")
    hand.stroke([(y * height_nm, x * width_nm) for y, x in STROKE])
    run = hand.until_run(
        "measuring goes on under what was painted",
        taken=lambda n: n >= AFTERWARDS + taken_before(hand),
    )
    end(hand)
    entries = journal(run)
    drawn = max(i for i, each in enumerate(entries) if each["event"] == "regions")
    places = [
        [each["row"], each["column"]]
        for each in entries[drawn:]
        if each["event"] == "proposal"
    ]
    assert len(places) >= AFTERWARDS
    found = hand.ask("labels", layer=layer, points=hand.ask("pixels", places=places))
    assert {value > 0 for value in found} == {is_open}
    remove_layer(hand, layer)


@pytest.mark.presses(
    "Experiment: Paint soft region",
    *(
        f"Experiment: {what} the region {SOFT}"
        for what in ("Use", "More about", "Edges only of")
    ),
)
def test_a_region_is_switched_off_and_made_of_its_edges(hand, paused):
    hand.click("Paint soft region", within="Regions")
    hand.until(lambda: is_painting(hand, SOFT), "it can be painted in")
    height_nm, width_nm = paused["fov_nm"]
    hand.stroke([(y * height_nm, x * width_nm) for y, x in STROKE])
    whole = hand.until(lambda: soft(paused), "it is in force")
    hand.click(f"Use the region {SOFT}", within="Regions")
    hand.until(lambda: soft(paused) != whole, "it is switched off")
    hand.click(f"Use the region {SOFT}", within="Regions")
    hand.until(lambda: soft(paused) == whole, "it is in force again")
    more = hand.click(f"More about the region {SOFT}", within="Regions")
    hand.until(lambda: hand.again(more).value, "there is more about it")
    hand.click(f"Edges only of the region {SOFT}", within="Regions")
    hand.until(lambda: soft(paused) != whole, "its edges count")
    remove_layer(hand, SOFT)
    hand.until(lambda: soft(paused) == [], "it is gone")


def soft(run) -> list[dict]:
    """The soft regions that the journal has last."""
    drawn = journal(run, "regions")
    return drawn[-1]["regions"]["soft"] if drawn else []


def is_painting(hand, name: str) -> bool:
    layers = {layer["name"]: layer for layer in hand.ask("layers")}
    layer = layers.get(name, {})
    return layer.get("active", False) and layer["mode"] == "paint"


def taken_before(hand) -> int:
    """How many had been measured when the last region was drawn."""
    drawn = journal(hand.ask("run"), "regions")
    return drawn[-1]["step"] if drawn else 10**9
