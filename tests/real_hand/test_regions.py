"""Regions painted with the mouse while the beam goes."""

from __future__ import annotations

import pytest
from acts import end, journal, remove_layer, start

AFTERWARDS = 12
"""So many are measured under the region before it is looked at."""
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


def is_painting(hand, name: str) -> bool:
    layers = {layer["name"]: layer for layer in hand.ask("layers")}
    layer = layers.get(name, {})
    return layer.get("active", False) and layer["mode"] == "paint"


def taken_before(hand) -> int:
    """How many had been measured when the last region was drawn."""
    drawn = journal(hand.ask("run"), "regions")
    return drawn[-1]["step"] if drawn else 10**9
