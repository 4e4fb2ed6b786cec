"""A person steers a run in a real window: places, plans, approval, votes."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from by_hand import show_section
from mouse import click
from napari_hae.agent.goal import Goal
from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import LoopSettings
from napari_hae.experiment.votes import Vote
from napari_hae.types import ChosenBy
from steered import add_labels, entries, place, proposals, step, until

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton
CONTROL = Qt.KeyboardModifier.ControlModifier


def test_a_click_with_control_measures_there_next(paused, qtbot):
    paused.experiment.reason.setText("looks odd")
    for pixel in ((30, 20), (12, 40)):
        click(paused.viewer, place(paused, *pixel), CONTROL)
    queue = paused.experiment.queue
    until(qtbot, lambda: queue.list.count() == 2)
    assert "nm" in queue.list.item(0).text()
    assert paused.experiment.reason.text() == ""
    step(paused, qtbot, 2)
    assert proposals(paused, 12) == [(30, 20), (12, 40)]
    until(qtbot, lambda: queue.list.count() == 0)
    layer = paused.session.layers.measured_layer
    until(qtbot, lambda: len(layer.data) == 14)
    assert list(layer.features["chosen_by"][-2:]) == [str(ChosenBy.HUMAN)] * 2
    assert [x["why"] for x in entries(paused, "queue")] == ["looks odd", ""]


def test_a_click_with_control_paints_nothing(paused, qtbot):
    qtbot.mouseClick(paused.experiment.regions.paint_forbidden, LEFT)
    layer = paused.viewer.layers.selection.active
    click(paused.viewer, place(paused, 30, 20), CONTROL)
    until(qtbot, lambda: paused.experiment.queue.list.count() == 1)
    assert not np.any(layer.data)
    assert layer.mode == "paint"
    click(paused.viewer, place(paused, 40, 40))
    until(qtbot, lambda: np.any(layer.data))


def test_places_are_taken_off_the_list_with_its_buttons(paused, qtbot):
    for pixel in ((30, 20), (12, 40), (5, 5)):
        click(paused.viewer, place(paused, *pixel), CONTROL)
    queue = paused.experiment.queue
    until(qtbot, lambda: queue.list.count() == 3)
    queue.list.item(0).setSelected(True)
    qtbot.mouseClick(queue.remove, LEFT)
    until(qtbot, lambda: queue.list.count() == 2)
    step(paused, qtbot)
    assert proposals(paused, 12) == [(12, 40)]
    qtbot.mouseClick(queue.empty, LEFT)
    until(qtbot, lambda: queue.list.count() == 0)
    step(paused, qtbot)
    assert paused.session.live.measurements[-1].proposal.chosen_by is ChosenBy.AGENT


def test_points_and_lines_of_other_layers_are_queued(paused, qtbot):
    frame = paused.session.layers.frame
    scale = {"scale": frame.pixel_nm, "translate": frame.origin_nm}
    common = {**scale, "units": ("nm", "nm")}
    queue, viewer = paused.experiment.queue, paused.viewer
    viewer.add_points([[3, 4], [50, 60]], name="mine", **common)
    queue.layer.setCurrentText("mine")
    qtbot.mouseClick(queue.add, LEFT)
    until(qtbot, lambda: queue.list.count() == 2)
    line = viewer.add_shapes(name="profile", **common)
    line.add_lines([[[10, 10], [10, 14]]])
    queue.layer.setCurrentText("profile")
    qtbot.mouseClick(queue.add, LEFT)
    until(qtbot, lambda: queue.list.count() == 7)
    step(paused, qtbot, 3)
    assert proposals(paused, 12) == [(3, 4), (50, 60), (10, 10)]


def test_the_objects_of_a_segmentation_are_measured_then_the_agent_goes_on(
    paused, qtbot
):
    labels = np.zeros(paused.session.layers.frame.shape, int)
    labels[10:13, 20:23], labels[40:45, 50:55] = 1, 2
    add_labels(paused, labels)
    plan = paused.experiment.plan
    plan.layer.setCurrentText("particles")
    plan.form.choice.setCurrentIndex(plan.form.choice.findData("objects"))
    step(paused, qtbot, 3)
    assert proposals(paused, 12)[:2] == [(11, 21), (42, 52)]
    assert paused.session.live.measurements[-1].proposal.chosen_by is ChosenBy.AGENT
    change = entries(paused, "settings")[-1]["changes"]["plan"]
    assert (change["old"]["kind"], change["new"]["kind"]) == ("agent", "objects")


def test_a_good_spectrum_becomes_the_goal_and_a_bad_one_is_discarded(paused, qtbot):
    spectra, session = paused.monitor.spectra, paused.session
    layer = session.layers.measured_layer
    assert not spectra.judging.follow.isEnabled()
    layer.selected_data = {3}
    qtbot.mouseClick(spectra.judging.votes[Vote.GOOD], LEFT)
    until(qtbot, lambda: session.runner.votes == {3: Vote.GOOD})
    until(qtbot, spectra.judging.follow.isEnabled)
    qtbot.mouseClick(spectra.judging.follow, LEFT)
    layer.selected_data = {5}
    qtbot.mouseClick(spectra.judging.discard, LEFT)
    until(qtbot, lambda: spectra.judging.discard.text() == "Restore")
    step(paused, qtbot)
    measured = session.live.measurements
    assert isinstance(session.settings.scalarizer, SimilarityToVotes)
    assert measured[3].target == pytest.approx(1.0)
    assert not measured[5].usable
    assert str(session.layers.measured_layer.symbol[5]) == "x"
    qtbot.mouseClick(spectra.judging.discard, LEFT)
    step(paused, qtbot)
    assert session.live.measurements[5].usable
    assert [x["vote"] for x in entries(paused, "vote")] == ["good"]
    assert [x["is_discarded"] for x in entries(paused, "discard")] == [True, False]


def test_a_proposal_that_waits_can_be_replaced_or_trusted_for_some_steps(paused, qtbot):
    session, controls = paused.session, paused.experiment.controls
    session.configure(loop=LoopSettings(approve=True))
    qtbot.mouseClick(controls.pause, LEFT)
    until(qtbot, lambda: session.state is RunPhase.WAITING)
    click(paused.viewer, place(paused, 7, 9), CONTROL)
    until(
        qtbot,
        lambda: (
            len(session.live.measurements) == 13 and session.state is RunPhase.WAITING
        ),
    )
    assert proposals(paused, 12) == [(7, 9)]
    controls.alone_steps.setValue(4)
    qtbot.mouseClick(controls.alone, LEFT)
    until(
        qtbot,
        lambda: (
            len(session.live.measurements) == 17 and session.state is RunPhase.WAITING
        ),
    )


def test_a_runner_up_is_measured_from_its_row(paused, qtbot):
    step(paused, qtbot)
    panel = paused.monitor.reasons
    paused.monitor.tabs.setCurrentWidget(panel)
    until(qtbot, lambda: panel.table.rowCount() > 2)
    panel.table.selectRow(2)
    until(qtbot, panel.take.isVisible)
    place = panel._places[2]
    done = len(paused.session.live.measurements)
    qtbot.mouseClick(panel.take, LEFT)
    step(paused, qtbot)
    assert proposals(paused, done) == [place]


def test_going_back_begins_a_record_that_shares_the_past(paused, qtbot):
    session, back = paused.session, paused.experiment.back
    old, path = session.record_path, proposals(paused, 0)
    show_section(paused.experiment, "Record", back.button, qtbot)
    back.step.setValue(6)
    qtbot.mouseClick(back.button, LEFT)
    until(
        qtbot,
        lambda: session.record_path != old and session.state is RunPhase.PAUSED,
    )
    until(qtbot, lambda: len(session.live.measurements) == 6)
    layers = session.layers
    until(qtbot, lambda: layers.measured_layer and len(layers.measured_layer.data) == 6)
    step(paused, qtbot, 2)
    assert proposals(paused, 0)[:6] == path[:6]
    assert entries(paused, "branch")[0]["step"] == 6


def drawn(plot):
    """The curves of a spectrum plot, by name; the shown one has none."""
    items = plot.plot.getPlotItem().listDataItems()
    return {item.name(): item.getData()[1] for item in items}


def test_several_spectra_the_best_and_the_mean_of_a_region_are_drawn_together(
    paused, qtbot
):
    spectra, session = paused.monitor.spectra, paused.session
    measured = session.live.measurements
    session.layers.measured_layer.selected_data = {2, 5, 7}
    until(qtbot, lambda: len(drawn(spectra.plot)) == 3)
    curves = drawn(spectra.plot)
    np.testing.assert_array_equal(curves[None], measured[2].spectrum.counts)
    np.testing.assert_array_equal(curves["step 6"], measured[5].spectrum.counts)
    session.layers.measured_layer.selected_data = set()
    qtbot.mouseClick(spectra.beside.best, LEFT)
    best = max(measured, key=lambda m: m.target)
    if best is not measured[-1]:
        name = f"best: step {best.step + 1}"
        until(qtbot, lambda: name in drawn(spectra.plot))
        np.testing.assert_array_equal(drawn(spectra.plot)[name], best.spectrum.counts)
    mask = np.zeros(session.layers.frame.shape, bool)
    for each in measured[:4]:
        mask[each.proposal.row, each.proposal.column] = True
    session.layers.show_selection(mask)
    qtbot.mouseClick(spectra.beside.mean, LEFT)
    until(qtbot, lambda: "mean of 4" in drawn(spectra.plot))
    np.testing.assert_allclose(
        drawn(spectra.plot)["mean of 4"],
        np.mean([m.spectrum.counts for m in measured[:4]], axis=0),
    )


def title(spectra) -> str:
    return spectra.plot.title.text()


def test_a_paused_spectrum_follows_band_goal_and_discard(paused, qtbot):
    spectra, session = paused.monitor.spectra, paused.session
    scalarizer = session.settings.scalarizer
    moved = scalarizer.with_band(0.6, 0.9)

    def extreme(choose) -> int:
        return choose(session.live.measurements, key=lambda m: m.target).step

    def is_best(choose) -> bool:
        return f"best: step {extreme(choose) + 1}" in drawn(spectra.plot)

    new = [moved(m.spectrum) for m in session.live.measurements]
    first, then = extreme(max), int(np.argmax(new))
    assert first != then
    # One that is none of the best: those are drawn beside it.
    shown = ({*range(12)} - {first, then, int(np.argmin(new))}).pop()
    session.layers.measured_layer.selected_data = {shown}
    qtbot.mouseClick(spectra.beside.best, LEFT)
    until(qtbot, lambda: is_best(max))
    session.configure(scalarizer=moved)
    until(qtbot, lambda: f"target {new[shown]:.4g}" in title(spectra))
    assert extreme(max) == then
    until(qtbot, lambda: is_best(max))
    session.configure(goal=Goal(direction="minimise"))
    until(qtbot, lambda: is_best(min))
    qtbot.mouseClick(spectra.judging.discard, LEFT)
    until(qtbot, lambda: "no target" in title(spectra))


def test_a_paused_mean_follows_selection_and_region(paused, qtbot):
    spectra, session = paused.monitor.spectra, paused.session
    measured, shape = session.live.measurements, session.layers.frame.shape

    def around(count: int) -> np.ndarray:
        mask = np.zeros(shape, bool)
        for each in measured[:count]:
            mask[each.proposal.row, each.proposal.column] = True
        return mask

    qtbot.mouseClick(spectra.beside.mean, LEFT)
    session.layers.show_selection(around(4))
    until(qtbot, lambda: "mean of 4" in drawn(spectra.plot))
    session.layers.show_selection(around(3))
    until(qtbot, lambda: "mean of 3" in drawn(spectra.plot))
    session.layers.clear_selection()
    until(qtbot, lambda: set(drawn(spectra.plot)) == {None})
    qtbot.mouseClick(paused.experiment.regions.paint_interest, LEFT)
    region = paused.viewer.layers.selection.active
    region.data = around(5).astype(region.data.dtype)
    until(qtbot, lambda: "mean of 5" in drawn(spectra.plot))
    region.data = around(2).astype(region.data.dtype)
    until(qtbot, lambda: "mean of 2" in drawn(spectra.plot))


def test_of_many_selected_spectra_the_newest_are_drawn_and_it_is_said(paused, qtbot):
    spectra = paused.monitor.spectra
    layer = paused.session.layers.measured_layer
    layer.selected_data = set(range(6))
    others = {f"step {step}" for step in range(2, 7)}
    until(qtbot, lambda: set(drawn(spectra.plot)) == {None} | others)
    assert "selected" not in title(spectra)
    layer.selected_data = set(range(9))
    others = {f"step {step}" for step in range(5, 10)}
    until(qtbot, lambda: set(drawn(spectra.plot)) == {None} | others)
    assert title(spectra).startswith("Step 4,")
    assert "newest 6 of 9 selected" in title(spectra)
