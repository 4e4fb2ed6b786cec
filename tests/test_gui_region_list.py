"""The list of regions in a real window, used with mouse and keys."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from mouse import LEFT, NO_BUTTON, NO_MODIFIER, paint_stroke
from napari_hae.agent.acquisition import UpperConfidenceBound
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import Budget
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layer_data import Role, calibration
from napari_hae.gui.layers import role_of
from napari_hae.gui.region_choice import NOTHING_OPEN
from napari_hae.gui.regions import Terms
from napari_hae.gui.sections import WIDTH_PX
from napari_hae.regions.regions import RegionKind
from steered import TIMEOUT_MS, until

pytestmark = pytest.mark.gui


@pytest.fixture
def window(connected):
    """The cockpit with the dock Experiment in front."""
    connected.show_experiment()
    QApplication.processEvents()
    return connected


def add_labels(window, name: str, rows: slice, columns: slice):
    """A Labels layer of another plugin, on the field's pixels."""
    frame = window.session.layers.frame
    data = np.zeros(frame.shape, np.uint8)
    data[rows, columns] = 2
    return window.viewer.add_labels(data, name=name, **calibration(frame))


def row_of(window, layer):
    return window.experiment.regions.rows[layer]


def tick(qtbot, box) -> None:
    qtbot.mouseClick(box, LEFT, pos=QPoint(10, box.height() // 2))


def enter(qtbot, box, text: str) -> None:
    """Type a number into a spin box."""
    box.setFocus()
    box.selectAll()
    qtbot.keyClicks(box, text)
    qtbot.keyClick(box, Qt.Key.Key_Return)


def choose_kind(qtbot, row, name: str) -> None:
    row.kind.setFocus()
    qtbot.keyClicks(row.kind, name)


def open_mask(window) -> np.ndarray:
    session = window.session
    return session.watcher.regions.mask(session.layers.frame)


def in_effect(window, qtbot) -> np.ndarray:
    """The newest picture of the regions in effect."""
    session = window.session
    closed = ~open_mask(window)
    until(
        qtbot,
        lambda: (
            session.in_effect.layer is not None
            and np.array_equal(session.in_effect.layer.data[..., 3] == 140, closed)
        ),
    )
    return session.in_effect.layer.data


def start(window, qtbot, *, steps: int) -> None:
    session = window.session
    session.configure(budget=Budget(steps=steps), acquisition=UpperConfidenceBound())
    with qtbot.waitSignal(session.started, timeout=TIMEOUT_MS):
        qtbot.mouseClick(window.experiment.controls.start, LEFT)


def pause(window, qtbot) -> None:
    qtbot.mouseClick(window.experiment.controls.pause, LEFT)
    until(qtbot, lambda: window.session.state is RunPhase.PAUSED)


def run_to_the_end(window, qtbot):
    until(qtbot, lambda: not window.session.is_running)
    return open_run(window.session.record_path)


def test_two_named_regions_are_switched_separately(window, qtbot):
    top = add_labels(window, "top", slice(0, 10), slice(0, 64))
    left = add_labels(window, "left", slice(0, 64), slice(0, 10))
    # In the order of the layer list.
    until(qtbot, lambda: row_of(window, left).y() < row_of(window, top).y())
    assert open_mask(window).all()
    for layer in (top, left):
        tick(qtbot, row_of(window, layer).switch)
    both = open_mask(window)
    assert both[:10].all()
    assert both[:, :10].all()
    assert not both[10:, 10:].any()
    tick(qtbot, row_of(window, top).switch)
    only_left = open_mask(window)
    np.testing.assert_array_equal(only_left, left.data > 0)
    picture = in_effect(window, qtbot)
    assert (picture[only_left] == 0).all()
    start(window, qtbot, steps=14)
    stored = run_to_the_end(window, qtbot)
    assert all(m.proposal.column < 10 for m in stored.measurements)
    named = {region.name: region.is_empty for region in stored.regions.interest}
    assert named == {"top": True, "left": False}


def test_only_edges_are_measured_and_the_layer_stays_as_it_is(window, qtbot):
    layer = add_labels(window, "grain", slice(16, 48), slice(16, 48))
    before = layer.data.copy()
    row = row_of(window, layer)
    tick(qtbot, row.switch)
    start(window, qtbot, steps=90)
    pause(window, qtbot)
    qtbot.mouseClick(row.more, LEFT)
    tick(qtbot, row.edges_only)
    pixel_nm = window.session.layers.frame.pixel_nm[0]
    enter(qtbot, row.edges_nm, f"{6 * pixel_nm:.2f}")
    known = len(window.session.live.measurements)
    mask = open_mask(window)
    # Three pixels on either side.
    assert mask[30, 13:19].all()
    assert not mask[30, [11, 21, 30]].any()
    picture = in_effect(window, qtbot)
    assert (picture[30, 30] == (0, 0, 0, 140)).all()
    qtbot.mouseClick(window.experiment.controls.pause, LEFT)
    stored = run_to_the_end(window, qtbot)
    later = [m.proposal for m in stored.measurements[known:]]
    assert len(later) > 20
    assert all(mask[p.row, p.column] for p in later)
    np.testing.assert_array_equal(layer.data, before)
    (region,) = stored.regions.interest
    assert region.edges_nm == pytest.approx(6 * pixel_nm, abs=0.01)
    assert "edges only" not in row.summary.text()
    qtbot.mouseClick(row.more, LEFT)
    assert "edges only" in row.summary.text()


def test_a_forbidden_zone_grows_and_is_not_shrunk(window, qtbot):
    layer = add_labels(window, "contamination", slice(20, 40), slice(20, 40))
    row = row_of(window, layer)
    choose_kind(qtbot, row, "Forbidden")
    tick(qtbot, row.switch)
    np.testing.assert_array_equal(open_mask(window), layer.data == 0)
    pixel_nm = window.session.layers.frame.pixel_nm[0]
    qtbot.mouseClick(row.more, LEFT)
    assert not row.edges_only.isVisible()
    enter(qtbot, row.grow_nm, f"{5.6 * pixel_nm:.2f}")
    grown = open_mask(window)
    assert not grown[30, 15:45].any()
    assert grown[30, [13, 46]].all()
    assert grown[15, 15], "the corners are round"
    enter(qtbot, row.grow_nm, "-4")
    assert row.problem.isVisible()
    assert "'contamination' cannot be shrunk (by 4 nm)" in row.problem.text()
    assert row.grow_nm.value() == pytest.approx(5.6 * pixel_nm, abs=0.01)
    np.testing.assert_array_equal(open_mask(window), grown)
    start(window, qtbot, steps=12)
    stored = run_to_the_end(window, qtbot)
    assert all(grown[m.proposal.row, m.proposal.column] for m in stored.measurements)


def test_a_region_that_becomes_forbidden_is_forbidden_whole(window, qtbot):
    layer = add_labels(window, "grain", slice(20, 40), slice(20, 40))
    row = row_of(window, layer)
    terms = Terms(RegionKind.ROI, edges_nm=5.0, grow_nm=-4.0)
    window.session.watcher.set_terms(layer, terms)
    assert (row.edges_only.isChecked(), row.grow_nm.value()) == (True, -4.0)
    choose_kind(qtbot, row, "Forbidden")
    np.testing.assert_array_equal(open_mask(window), layer.data == 0)
    assert "All that is drawn is forbidden" in row.problem.text()


@pytest.mark.parametrize(("key", "is_left"), [("End", True), ("Home", False)])
def test_a_painted_soft_region_moves_the_agent_and_closes_nothing(
    window, qtbot, key, is_left
):
    session, viewer = window.session, window.viewer
    start(window, qtbot, steps=90)
    until(qtbot, lambda: len(session.live.measurements) >= 9)
    pause(window, qtbot)
    qtbot.mouseClick(window.experiment.regions.paint_soft, LEFT)
    layer = viewer.layers.selection.active
    assert (role_of(layer), layer.mode, layer.opacity) == (Role.SOFT, "paint", 0.5)
    layer.brush_size = 24
    height_nm, width_nm = session.layers.frame.fov_nm
    across = 0.2 * width_nm
    paint_stroke(viewer, [(0.2 * height_nm, across), (0.8 * height_nm, across)])
    inside = layer.data > 0
    row = row_of(window, layer)
    assert row.switch.isChecked()
    qtbot.mouseClick(row.more, LEFT)
    row.weight.setFocus()
    qtbot.keyClick(row.weight, getattr(Qt.Key, f"Key_{key}"))
    (soft,) = session.watcher.regions.soft
    assert soft.weight == (3.0 if is_left else -3.0)
    assert open_mask(window).all()
    picture = in_effect(window, qtbot)
    assert set(map(tuple, picture[picture[..., 3] > 0])) == {(0x75, 0x70, 0xB3, 255)}
    known = len(session.live.measurements)
    qtbot.mouseClick(window.experiment.controls.pause, LEFT)
    stored = run_to_the_end(window, qtbot)
    later = [m.proposal for m in stored.measurements[known:]]
    shares = [inside[p.row, p.column] for p in later]
    assert len(later) > 20
    assert np.mean(shares) > 0.7 if is_left else np.mean(shares) < 0.05
    assert stored.regions.soft[0].weight == soft.weight


def test_a_region_with_nothing_left_is_told_of(window, qtbot):
    layer = add_labels(window, "grain", slice(20, 40), slice(20, 40))
    choice, row = window.experiment.regions, row_of(window, layer)
    tick(qtbot, row.switch)
    qtbot.mouseClick(row.more, LEFT)
    enter(qtbot, row.grow_nm, "-5000")
    until(qtbot, lambda: choice.problem.text() == NOTHING_OPEN)
    tick(qtbot, row.switch)
    until(qtbot, lambda: choice.problem.text() == "")
    assert window.session.in_effect.layer is None


def test_a_painted_layer_takes_the_look_of_its_kind(window, qtbot):
    qtbot.mouseClick(window.experiment.regions.paint_interest, LEFT)
    layer = window.viewer.layers.selection.active
    row = row_of(window, layer)
    choose_kind(qtbot, row, "Soft")
    assert (layer.name, role_of(layer), layer.contour) == ("Soft region", Role.SOFT, 0)
    assert window.session.watcher.terms[layer].kind is RegionKind.SOFT
    layer.name = "mine"
    qtbot.keyClick(row.kind, Qt.Key.Key_Home)
    assert layer.name == "mine"
    assert layer.contour > 0


def test_the_wheel_passes_by_what_is_not_in_focus(window, qtbot):
    layer = add_labels(window, "grain", slice(20, 40), slice(20, 40))
    row = row_of(window, layer)
    tick(qtbot, row.switch)
    row.switch.setFocus()
    middle = QPointF(row.kind.rect().center())
    wheel = QWheelEvent(
        middle,
        QPointF(row.kind.mapToGlobal(middle.toPoint())),
        QPoint(0, 0),
        QPoint(0, -120),
        NO_BUTTON,
        NO_MODIFIER,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(row.kind, wheel)
    assert window.session.watcher.terms[layer].kind is RegionKind.ROI


def test_the_tab_key_goes_through_the_rows_from_top_to_bottom(window, qtbot):
    first = add_labels(window, "first", slice(0, 2), slice(0, 2))
    second = add_labels(window, "second", slice(0, 2), slice(0, 2))
    above, below = row_of(window, second), row_of(window, first)
    qtbot.mouseClick(above.more, LEFT)
    until(qtbot, lambda: above.grow_nm.isVisible() and below.more.isVisible())
    wanted = [
        *(above.kind, above.more, above.edges_only, above.grow_nm),
        *(below.switch, below.kind, below.more),
    ]
    control, found = above.switch, []
    while len(found) < len(wanted):
        control = control.nextInFocusChain()
        takes_tabs = (
            control.focusPolicy() & Qt.FocusPolicy.TabFocus
            and control.focusProxy() is None
        )
        if takes_tabs and control.isVisible() and control.isEnabled():
            found.append(control)
    assert found == wanted


def test_a_long_list_scrolls_inside_and_the_dock_keeps_its_width(window, qtbot):
    for number in range(12):
        name = f"a long name of a segmentation & its label number {number}"
        add_labels(window, name, slice(0, 2), slice(0, 2))
    choice = window.experiment.regions
    until(qtbot, lambda: choice._scroll.verticalScrollBar().maximum() > 0)
    assert window.experiment.width() <= WIDTH_PX
    for row in choice.rows.values():
        qtbot.mouseClick(row.more, LEFT)
    until(qtbot, lambda: choice._list.width() <= choice._scroll.viewport().width())
    assert window.experiment.width() <= WIDTH_PX
