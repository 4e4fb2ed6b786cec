"""A person says in a real window where to measure next, with mouse and keys."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from by_hand import pick, reach, say_why
from mouse import LEFT, click, drag_row, paint_stroke
from napari_hae.gui.queue import PlaceList, QueuePanel
from napari_hae.types import ChosenBy
from steered import click_on_row, entries, place, proposals, show, step, until

pytestmark = pytest.mark.gui
CONTROL = Qt.KeyboardModifier.ControlModifier
PLACES = [(30, 20), (12, 40), (45, 8)]


@pytest.fixture
def queued(paused, qtbot):
    """Three places that wait, clicked in the image."""
    for pixel in PLACES:
        click(paused.viewer, place(paused, *pixel), CONTROL)
    until(qtbot, lambda: listed(paused) == PLACES)
    return paused


def listed(cockpit) -> list[tuple[int, int]]:
    """The pixels of the list, read off its rows."""
    rows, frame = cockpit.experiment.queue.list, cockpit.session.layers.frame
    texts = {
        "x = {1:.1f} nm, y = {0:.1f} nm".format(*place(cockpit, row, column)): (
            row,
            column,
        )
        for row in range(frame.shape[0])
        for column in range(frame.shape[1])
    }
    return [texts[rows.item(number).text()] for number in range(rows.count())]


def changes(cockpit) -> list[tuple[list, list]]:
    """What waited before and after each change, in the journal."""
    noted = entries(cockpit, "queue")
    assert all(each["who"] == "human" and each["step"] == 12 for each in noted)
    return [
        tuple([tuple(pixel) for pixel in each[when]] for when in ("old", "pixels"))
        for each in noted
    ]


def told(cockpit, text, qtbot) -> None:
    story = show(cockpit, "Journal").text
    until(qtbot, lambda: text in story.toPlainText())


def test_a_waiting_place_that_is_dragged_up_is_measured_first(queued, qtbot):
    rows = queued.experiment.queue.list
    reach(rows, qtbot)
    say_why(queued, "the edge first", qtbot)
    reach(rows, qtbot)
    drag_row(rows, 2, above=0)
    moved = [PLACES[2], PLACES[0], PLACES[1]]
    until(qtbot, lambda: changes(queued)[-1] == (PLACES, moved))
    until(qtbot, lambda: listed(queued) == moved)
    assert entries(queued, "queue")[-1]["why"] == "the edge first"
    told(queued, "Step 13: you put the queue in another order", qtbot)
    step(queued, qtbot, 3)
    assert proposals(queued, 12) == moved
    layer = queued.session.layers.measured_layer
    until(qtbot, lambda: len(layer.data) == 15)
    assert [tuple(point) for point in layer.data[12:].astype(int)] == moved
    until(qtbot, lambda: rows.count() == 0)


def test_a_waiting_place_is_removed_and_the_rest_emptied(queued, qtbot):
    queue = queued.experiment.queue
    reach(queue.list, qtbot)
    click_on_row(queue.list, 1, column=0)
    reach(queue.remove, qtbot)
    qtbot.mouseClick(queue.remove, LEFT)
    left = [PLACES[0], PLACES[2]]
    until(qtbot, lambda: changes(queued)[-1] == (PLACES, left))
    until(qtbot, lambda: listed(queued) == left)
    told(queued, "you took 1 place off the queue; 2 left", qtbot)
    qtbot.mouseClick(queue.empty, LEFT)
    until(qtbot, lambda: changes(queued)[-1] == (left, []))
    until(qtbot, lambda: queue.list.count() == 0)
    assert not queue.empty.isEnabled()
    step(queued, qtbot)
    (proposal,) = [m.proposal for m in queued.session.live.measurements[12:]]
    assert proposal.chosen_by is ChosenBy.AGENT
    assert (proposal.row, proposal.column) not in PLACES


def test_a_place_stays_selected_while_others_are_measured(queued, qtbot):
    queue = queued.experiment.queue
    reach(queue.list, qtbot)
    click_on_row(queue.list, 2, column=0)
    step(queued, qtbot)
    until(qtbot, lambda: listed(queued) == PLACES[1:])
    (selected,) = queue.list.selectedItems()
    assert queue.list.row(selected) == 1
    reach(queue.remove, qtbot)
    qtbot.mouseClick(queue.remove, LEFT)
    until(qtbot, lambda: listed(queued) == PLACES[1:2])


def test_a_place_is_dragged_while_another_one_is_measured(queued, qtbot):
    session, rows = queued.session, queued.experiment.queue.list
    reach(rows, qtbot)

    def measure_one() -> None:
        session.step()
        until(qtbot, lambda: session.live.queue == tuple(PLACES[1:]))
        session.measure_next([(50, 50)])
        until(qtbot, lambda: session.live.queue[-1] == (50, 50))
        assert rows.count() == len(PLACES)

    drag_row(rows, 2, above=0, meanwhile=measure_one)
    moved = [PLACES[2], PLACES[1], (50, 50)]
    assert listed(queued) == moved
    assert session.runner.queue.pixels == tuple(moved)
    until(qtbot, lambda: len(session.live.measurements) == 13)
    step(queued, qtbot, 2)
    assert proposals(queued, 12) == [PLACES[0], *moved[:2]]


def test_the_list_of_a_dock_that_is_made_in_mid_run_is_not_empty(queued, qtbot):
    again = QueuePanel(queued.session)
    qtbot.addWidget(again)
    texts = [
        [each.text() for each in panel.list.items()]
        for panel in (again, queued.experiment.queue)
    ]
    assert texts[0] == texts[1]
    assert len(texts[0]) == len(PLACES)
    assert again.empty.isEnabled()


def test_a_list_that_is_scrolled_stays_at_its_place(qtbot):
    rows = PlaceList()
    qtbot.addWidget(rows)
    rows.resize(200, 100)
    with qtbot.waitExposed(rows):
        rows.show()
    texts = {(0, column): f"column {column}" for column in range(40)}
    rows.show_places(texts)
    until(qtbot, lambda: rows.verticalScrollBar().maximum() > 10)
    rows.verticalScrollBar().setValue(10)
    top = rows.itemAt(1, 1)
    assert top.text() == "column 10"
    del texts[0, 0], texts[0, 4]
    rows.show_places({(9, 9): "new", **texts})
    assert rows.itemAt(1, 1) is top
    # Who sees the next place goes on seeing it.
    rows.verticalScrollBar().setValue(0)
    del texts[0, 1]
    rows.show_places(texts)
    assert rows.itemAt(1, 1).text() == "column 2"


def test_a_waiting_place_that_is_vetoed_is_not_measured(queued, qtbot):
    reasons = show(queued, "Why here")
    until(qtbot, lambda: reasons.table.rowCount() > 1)
    other = queued.session.live.proposal.insight.runners_up[0]
    vetoed = other.row, other.column
    click(queued.viewer, place(queued, *vetoed), CONTROL)
    until(qtbot, lambda: listed(queued) == [*PLACES, vetoed])
    click_on_row(reasons.table, 1)
    qtbot.mouseClick(reasons.veto, LEFT)
    until(qtbot, lambda: listed(queued) == PLACES)
    told(queued, f"you kept row {vetoed[0]}, column {vetoed[1]} out", qtbot)
    told(queued, "you took 1 place off the queue; 3 left", qtbot)
    step(queued, qtbot, 4)
    assert proposals(queued, 12)[:3] == PLACES
    assert vetoed not in proposals(queued, 0)


def test_points_and_a_line_that_are_drawn_are_measured(paused, qtbot):
    frame, viewer = paused.session.layers.frame, paused.viewer
    queue = paused.experiment.queue
    common = {
        "scale": frame.pixel_nm,
        "translate": frame.origin_nm,
        "units": ("nm", "nm"),
    }
    points = viewer.add_points(name="mine", ndim=2, **common)
    points.mode = "add"
    for pixel in PLACES[:2]:
        click(viewer, place(paused, *pixel))
    assert len(points.data) == 2
    pick(queue.layer, "mine", qtbot)
    reach(queue.add, qtbot)
    qtbot.mouseClick(queue.add, LEFT)
    until(qtbot, lambda: listed(paused) == PLACES[:2])
    lines = viewer.add_shapes(name="profile", ndim=2, **common)
    lines.mode = "add_line"
    paint_stroke(viewer, [place(paused, 20, 30), place(paused, 20, 36)])
    assert len(lines.data) == 1
    pick(queue.layer, "profile", qtbot)
    qtbot.mouseClick(queue.add, LEFT)
    along = [(20, column) for column in range(30, 37)]
    until(qtbot, lambda: listed(paused) == [*PLACES[:2], *along])
    everything = [*PLACES[:2], *along]
    assert changes(paused) == [([], PLACES[:2]), (PLACES[:2], everything)]
    told(paused, "you queued 7 places to measure next; 9 wait", qtbot)
    step(paused, qtbot, 4)
    assert proposals(paused, 12) == everything[:4]
    until(qtbot, lambda: listed(paused) == everything[4:])


def test_a_persons_place_says_what_the_agent_thinks_of_it(queued, qtbot):
    panel = show(queued, "Why here")
    step(queued, qtbot)
    proposal = queued.session.live.measurements[-1].proposal
    rank = proposal.insight.rank
    assert rank > 1
    until(qtbot, lambda: "chosen by you" in panel.text.text())
    assert f"number {rank:.0f} by the acquisition function" in panel.text.text()
    shown = [panel.table.item(0, column).text() for column in range(6)]
    assert shown[0] == "chosen"
    assert float(shown[5]) == pytest.approx(proposal.value, rel=1e-3)
    # The agent's own choice comes first among the others.
    values = [each.value for each in proposal.insight.runners_up]
    assert values[0] == max(values) > proposal.value
    assert entries(queued, "proposal")[-1]["insight"]["rank"] == rank
