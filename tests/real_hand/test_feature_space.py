"""Candidates selected in the feature space and in the image, and made regions."""

from __future__ import annotations

import numpy as np
import pytest
from acts import journal, names, remove_layer

CORNERS = np.array([(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.25)])
STROKE = np.array([(0.3, 0.3), (0.4, 0.5)])


@pytest.fixture
def panel(hand, paused):
    """The panel *Feature space*, which shows the descriptors."""
    hand.pick("Feature space", of="QTabBar")
    hand.choose("Space", "Descriptors")
    yield
    remove_layer(hand, "Selection")
    hand.pick("Learning", of="QTabBar")


@pytest.mark.presses("Monitor: Lasso", "Monitor: Clear")
def test_the_lasso_selects_what_is_alike(hand, panel):
    lasso_some(hand)
    hand.click("Clear", within="Monitor")
    hand.until(lambda: not selected(hand), "nothing is selected")


@pytest.mark.presses("Monitor: Make region of interest")
def test_what_is_alike_becomes_the_region_of_interest(hand, paused, panel):
    lasso_some(hand)
    becomes_region(hand, paused, "region of interest", "interest")


@pytest.mark.presses("Monitor: Paint", "Monitor: Make forbidden zone")
def test_what_is_painted_becomes_a_forbidden_zone(hand, paused, panel):
    hand.click("Paint", within="Monitor")
    hand.until(lambda: "Selection" in names(hand), "there is a layer to paint in")
    hand.stroke((STROKE * paused["fov_nm"]).tolist())
    hand.until(lambda: selected(hand), "candidates are selected")
    becomes_region(hand, paused, "forbidden zone", "forbidden")


def lasso_some(hand) -> None:
    """Draw around what lies in the middle of the feature space."""
    lasso = hand.click("Lasso", within="Monitor")
    hand.until(lambda: hand.again(lasso).value, "the lasso is taken")
    plot = hand.see("Candidates")
    (left, right), (low, high) = hand.ask("view", number=plot.id)
    corners = CORNERS * (right - left, high - low) + (left, low)
    hand.drag(hand.ask("plot", number=plot.id, points=corners.tolist()))
    hand.until(lambda: selected(hand), "candidates are selected")
    hand.click("Lasso", within="Monitor")
    hand.until(lambda: not hand.again(lasso).value, "the lasso is put away")


def becomes_region(hand, run, kind: str, field: str) -> None:
    """Press the button that makes a region, and see that it is in force."""
    hand.click(f"Make {kind}", within="Monitor")
    layer = f"{kind.capitalize()} from selection"
    hand.until(lambda: layer in names(hand), "there is the region's layer")
    hand.until(lambda: not selected(hand), "nothing is selected any more")
    assert in_force(run, field) == [layer]
    remove_layer(hand, layer)
    hand.until(lambda: in_force(run, field) == [], "the region is gone")


def in_force(run, field: str) -> list[str]:
    """The names of the regions of a kind that the journal has last."""
    return [each["name"] for each in journal(run, "regions")[-1]["regions"][field]]


def selected(hand) -> bool:
    """Whether the panel says that candidates are selected."""
    return any(
        isinstance(each.value, str) and each.value.endswith(" selected")
        for each in hand.controls(kinds=["QLabel"])
        if each.seen
    )
