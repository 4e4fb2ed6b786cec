"""A person changes who chooses the places, in a real window."""

from __future__ import annotations

import numpy as np
import pytest

from by_hand import enter, pick, reach, say_why, show_section
from mouse import LEFT, paint_stroke
from napari_hae.gui.layers import Role
from napari_hae.types import ChosenBy
from steered import add_labels, entries, place, proposals, show, step, until

pytestmark = pytest.mark.gui
PARTICLES = [(10, 10), (50, 50), (14, 12)]
STRIDE_PX = 3


@pytest.fixture
def segmented(paused, qtbot):
    """A Labels layer of three particles, and the section of the plan open."""
    labels = np.zeros(paused.session.layers.frame.shape, int)
    for number, (row, column) in enumerate(PARTICLES, start=1):
        labels[row - 1 : row + 2, column - 1 : column + 2] = number
    add_labels(paused, labels)
    show_section(paused.experiment, "Policy", paused.experiment.plan, qtbot)
    return paused


def plans(cockpit) -> list[dict]:
    """All changes of the plan, in the journal."""
    return [x for x in entries(cockpit, "settings") if "plan" in x["changes"]]


def std_map(cockpit) -> np.ndarray:
    return np.array(cockpit.session.layers.map_layer(Role.STD).data)


def paint_region(cockpit, qtbot) -> np.ndarray:
    """Paint a region of interest in the image; where it is."""
    button = cockpit.experiment.regions.paint_interest
    reach(button, qtbot)
    qtbot.mouseClick(button, LEFT)
    paint_stroke(
        cockpit.viewer, [place(cockpit, 30, 20), place(cockpit, 30, 44)], between=8
    )
    return np.array(cockpit.viewer.layers.selection.active.data, bool)


def test_objects_a_raster_and_the_agent_again_and_nothing_learned_is_lost(
    segmented, qtbot
):
    session, plan = segmented.session, segmented.experiment.plan
    say_why(segmented, "the particles first", qtbot)
    reach(plan.form.choice, qtbot)
    pick(plan.form.choice, "List of objects", qtbot)
    pick(plan.layer, "particles", qtbot)
    pick(plan.order, "nearest next", qtbot)
    step(segmented, qtbot, 3)
    visited = proposals(segmented, 12)
    assert set(visited) == set(PARTICLES)
    # The two that lie together come one after the other.
    assert abs(visited.index((10, 10)) - visited.index((14, 12))) == 1
    region = paint_region(segmented, qtbot)
    reach(plan.form.choice, qtbot)
    pick(plan.form.choice, "Raster", qtbot)
    enter(plan.form.form.controls["stride_px"], str(STRIDE_PX), qtbot)
    step(segmented, qtbot, 3)
    rows, columns = np.nonzero(region)
    half = STRIDE_PX // 2
    raster = [
        (row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if row % STRIDE_PX == half and column % STRIDE_PX == half
    ]
    measured_before = set(proposals(segmented, 0)[:15])
    expected = [pixel for pixel in raster if pixel not in measured_before][:3]
    assert proposals(segmented, 15) == expected
    before = std_map(segmented)
    reach(plan.form.choice, qtbot)
    pick(plan.form.choice, "Agent", qtbot)
    step(segmented, qtbot, 2)
    measured = session.live.measurements
    chosen = [m.proposal.chosen_by for m in measured[12:]]
    assert chosen == [ChosenBy.PLAN] * 6 + [ChosenBy.AGENT] * 2
    # The agent knows all that the plans measured, and is sure of those places.
    assert measured[18].proposal.known == 18
    assert region[measured[18].proposal.row, measured[18].proposal.column]
    until(qtbot, lambda: session.live.maps.known >= 18)
    until(qtbot, lambda: not np.array_equal(std_map(segmented), before))
    usual = np.median(std_map(segmented))
    for pixel in proposals(segmented, 12)[:6]:
        assert std_map(segmented)[pixel] < usual
    noted = plans(segmented)
    kinds = [
        (x["changes"]["plan"]["old"]["kind"], x["changes"]["plan"]["new"]["kind"])
        for x in noted
    ]
    assert (kinds[0], kinds[-1]) == (("agent", "objects"), ("raster", "agent"))
    assert ("objects", "raster") in kinds
    assert all(x["who"] == "human" for x in noted)
    assert noted[0]["why"] == "the particles first"
    assert (noted[0]["step"], noted[-1]["step"]) == (12, 18)


def test_a_planned_place_says_what_the_newest_maps_have_there(segmented, qtbot):
    session, plan = segmented.session, segmented.experiment.plan
    panel = show(segmented, "Why here")
    reach(plan.form.choice, qtbot)
    pick(plan.form.choice, "List of objects", qtbot)
    pick(plan.layer, "particles", qtbot)
    step(segmented, qtbot)
    proposal, maps = session.live.measurements[-1].proposal, session.live.maps
    assert proposal.chosen_by is ChosenBy.PLAN
    pixel = proposal.row, proposal.column
    rank = 1 + np.count_nonzero(maps.acquisition > maps.acquisition[pixel])
    told = (
        f"next in the plan. The maps from {maps.known} measurements say there: "
        f"predicted {maps.mean[pixel]:.3g} ± {maps.std[pixel]:.2g}; number {rank} by "
        "the acquisition function."
    )
    until(qtbot, lambda: told in panel.text.text())
    # A plan goes as fast as the beam: the model was not fitted for it.
    assert entries(segmented, "proposal")[-1]["mean"] is None
