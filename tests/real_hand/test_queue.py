"""Places that a person wants measured next: pointed at, listed, taken off the list."""

from __future__ import annotations

import pytest
from acts import active_layer, remove_layer

LIST = "Places to measure next"


@pytest.mark.presses("Experiment: Remove", "Experiment: Empty")
def test_places_are_taken_off_the_list(hand, paused):
    height_nm, width_nm = paused["fov_nm"]
    for part in (0.3, 0.5, 0.7):
        point_at(hand, (part * height_nm, part * width_nm))
    waiting = hand.ask("run")["queue"]
    rows = hand.bring(hand.see(LIST, shown=None))
    hand.pick(rows.parts[0]["name"], of=LIST)
    hand.click("Remove", within="Measure next")
    hand.until_run("the first is off the list", queue=waiting[1:])
    hand.click("Empty", within="Measure next")
    hand.until_run("no place waits", queue=[])


@pytest.mark.presses("Experiment: Add places of layer")
def test_the_points_of_a_layer_are_measured_next(hand, paused):
    create = "Create a new points layer"
    hand.click_at(hand.find(kind="QPushButton", tip=create).middle)
    name = hand.until(lambda: active_layer(hand, "Points"), "there is the layer")
    hand.click_at(hand.find(kind="QRadioButton", tip="Add points").middle)
    height_nm, width_nm = paused["fov_nm"]
    hand.over_canvas((0.4 * height_nm, 0.6 * width_nm))
    hand.do("click", 1)
    hand.choose("Layer", name, within="Measure next")
    hand.click("Add places of layer", within="Measure next")
    run = hand.until_run("it waits", queue=lambda pixels: len(pixels) == 1)
    (place,) = hand.ask("pixels", places=run["queue"])
    apart_nm = 2 * height_nm / 64
    assert place == pytest.approx([0.4 * height_nm, 0.6 * width_nm], abs=apart_nm)
    hand.click("Empty", within="Measure next")
    hand.until_run("no place waits", queue=[])
    remove_layer(hand, name)


def point_at(hand, point) -> None:
    """Click into the image with Ctrl."""
    before = len(hand.ask("run")["queue"])
    hand.over_canvas(point)
    with hand.holding("ctrl"):
        hand.do("click", 1)
        hand.until_run("it waits", queue=lambda pixels: len(pixels) == before + 1)
