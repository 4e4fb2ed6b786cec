"""Survey images: a new one, one again in a run, and the part that is taken again."""

from __future__ import annotations

import pytest
from acts import connect, journal, remove_layer, settle

AREA = "Area to image"


@pytest.mark.presses("Microscope: Acquire survey image")
def test_a_new_survey_image_is_taken(hand):
    settle(hand)
    connect(hand)
    before = hand.ask("run")["survey"]
    hand.click("Acquire survey image", within="Microscope")
    hand.until_run("there is a new one", survey=lambda now: now != before, busy=False)


@pytest.mark.presses("Experiment: Survey again", "Experiment: Use as fiducial")
def test_a_part_of_the_survey_image_is_taken_again(hand, paused):
    height_nm, width_nm = paused["fov_nm"]
    hand.click("Draw area")
    hand.stroke([(0.2 * height_nm, 0.2 * width_nm), (0.8 * height_nm, 0.8 * width_nm)])
    hand.choose("Layer", AREA, within="Survey again")
    hand.click("Use as fiducial")
    hand.until_run("it is a part", settings=lambda now: now["drift"]["fiducial"])
    before = len(journal(paused, "survey_again"))
    # The section has this name too.
    hand.click("Survey again", within="Experiment", tip="Take")
    taken = hand.until(lambda: journal(paused, "survey_again")[before:], "it is taken")
    assert [each["is_fiducial"] for each in taken] == [True]
    remove_layer(hand, AREA)
