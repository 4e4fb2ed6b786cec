"""A person is asked before each step, and answers in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from by_hand import ENTER, enter, say_why, show_section, tick
from mouse import LEFT, click
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layers import Role, find_layer
from napari_hae.types import ChosenBy
from steered import click_on_row, entries, place, proposals, show, until

pytestmark = pytest.mark.gui
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def asked(paused, qtbot):
    """A run that waits for an answer, as a person switched that on in mid-run."""
    box = paused.experiment.forms["loop"].controls["approve"]
    show_section(paused.experiment, "Loop", box.native, qtbot)
    tick(box, qtbot)
    qtbot.mouseClick(paused.experiment.controls.pause, LEFT)
    waits(paused, qtbot, after=12)
    show(paused, "Why here")
    return paused


def waits(cockpit, qtbot, *, after: int, unlike=None) -> None:
    """Until the run waits after so many steps, with another proposal than one."""
    session, controls = cockpit.session, cockpit.experiment.controls

    def is_asked():
        proposal = session.live.proposal
        return (
            session.state is RunPhase.WAITING
            and len(session.live.measurements) == after
            and proposal is session.runner.latest_proposal
            and proposal is not unlike
            and controls.approve.isVisible()
        )

    until(qtbot, is_asked)
    proposal = session.live.proposal
    shown = [pixel(each) for each in (proposal, *proposal.insight.runners_up)]
    if cockpit.monitor.reasons.isVisible():
        until(qtbot, lambda: listed(cockpit) == shown)


def pixel(place) -> tuple[int, int]:
    return place.row, place.column


def listed(cockpit) -> list[tuple[int, int]]:
    """The proposed places, read off the table."""
    table, frame = cockpit.monitor.reasons.table, cockpit.session.layers.frame
    found = []
    for row in range(table.rowCount()):
        x_nm, y_nm = (float(table.item(row, column).text()) for column in (1, 2))
        found.append(frame.pixel(frame.position_at(y_nm, x_nm)))
    return found


def values(cockpit) -> np.ndarray:
    """The map of the acquisition function; NaN where nothing may be measured."""
    return np.array(cockpit.session.layers.map_layer(Role.ACQUISITION).data)


def test_asking_is_switched_on_in_mid_run_and_off_again(asked, qtbot):
    change = entries(asked, "settings")[-1]
    loop = change["changes"]["loop"]
    assert (loop["old"]["approve"], loop["new"]["approve"]) == (False, True)
    assert (change["who"], change["step"]) == ("human", 12)
    proposal = asked.session.live.proposal
    qtbot.mouseClick(asked.experiment.controls.approve, LEFT)
    waits(asked, qtbot, after=13)
    assert proposals(asked, 12) == [pixel(proposal)]
    tick(asked.experiment.forms["loop"].controls["approve"], qtbot)
    until(qtbot, lambda: len(asked.session.live.measurements) > 15)


def test_each_proposed_place_says_why(asked, qtbot):
    table, insight = asked.monitor.reasons.table, asked.session.live.proposal.insight
    words = [table.item(row, 6).text() for row in range(table.rowCount())]
    shares = [insight.exploring, *(each.exploring for each in insight.runners_up)]
    for share, told in zip(shares, words, strict=True):
        if share > 2 / 3:
            assert told == "exploring"
        elif share < 1 / 3:
            assert told == "exploiting"
        else:
            assert told == ("both" if share == share else "")
    assert any(words[1:])


def test_a_runner_up_is_clicked_and_measured_in_place_of_the_proposal(asked, qtbot):
    panel, proposal = asked.monitor.reasons, asked.session.live.proposal
    taken = listed(asked)[2]
    click_on_row(panel.table, 2)
    ring = find_layer(asked.viewer, Role.RUNNER_UP, "points")
    assert [tuple(point) for point in ring.data] == [taken]
    say_why(asked, "sharper", qtbot)
    qtbot.mouseClick(panel.take, LEFT)
    waits(asked, qtbot, after=13)
    assert proposals(asked, 12) == [taken] != [pixel(proposal)]
    assert asked.session.live.measurements[-1].proposal.chosen_by is ChosenBy.HUMAN
    (queued,) = entries(asked, "queue")
    assert (queued["old"], queued["pixels"]) == ([], [list(taken)])
    assert (queued["step"], queued["who"], queued["why"]) == (12, "human", "sharper")
    assert entries(asked, "refusal")[-1]["reason"] == "superseded"
    assert find_layer(asked.viewer, Role.RUNNER_UP, "points") is None
    layer = asked.session.layers.measured_layer
    until(qtbot, lambda: tuple(layer.data[-1].astype(int)) == taken)


def test_a_runner_up_is_vetoed_for_the_whole_run(asked, qtbot):
    panel, proposal = asked.monitor.reasons, asked.session.live.proposal
    vetoed = listed(asked)[1]
    assert np.isfinite(values(asked)[vetoed])
    click_on_row(panel.table, 1)
    say_why(asked, "dirt", qtbot)
    qtbot.mouseClick(panel.veto, LEFT)
    waits(asked, qtbot, after=12, unlike=proposal)
    (veto,) = entries(asked, "veto")
    assert (veto["row"], veto["column"]) == vetoed
    assert (veto["step"], veto["who"], veto["why"]) == (12, "human", "dirt")
    assert vetoed not in listed(asked)
    assert len(listed(asked)) == 6
    until(qtbot, lambda: np.isnan(values(asked)[vetoed]))
    row, column = vetoed
    story = show(asked, "Journal").text
    told = f"Step 13: you kept row {row}, column {column} out, because: dirt."
    until(qtbot, lambda: told in story.toPlainText())
    assert open_run(asked.session.record_path).vetoed == {vetoed}


def test_the_proposal_is_vetoed_from_its_row_or_by_the_button(asked, qtbot):
    panel, first = asked.monitor.reasons, asked.session.live.proposal
    click_on_row(panel.table, 0)
    qtbot.mouseClick(panel.veto, LEFT)
    waits(asked, qtbot, after=12, unlike=first)
    second = asked.session.live.proposal
    say_why(asked, "a hole", qtbot)
    qtbot.mouseClick(asked.experiment.controls.veto, LEFT)
    waits(asked, qtbot, after=12, unlike=second)
    third = asked.session.live.proposal
    refusals = entries(asked, "refusal")[-2:]
    for refusal, why in zip(refusals, ("", "a hole"), strict=True):
        assert (refusal["reason"], refusal["who"]) == ("vetoed", "human")
        assert refusal["why"] == why
    both = {pixel(first), pixel(second)}
    assert pixel(third) not in both
    assert not both & set(listed(asked))
    until(qtbot, lambda: all(np.isnan(values(asked)[each]) for each in both))
    assert open_run(asked.session.record_path).vetoed == both


def test_another_place_is_taken_on_the_image(asked, qtbot):
    click(asked.viewer, place(asked, 7, 9), CONTROL)
    waits(asked, qtbot, after=13)
    assert proposals(asked, 12) == [(7, 9)]
    assert entries(asked, "queue")[-1]["pixels"] == [[7, 9]]


def test_the_agent_goes_alone_for_as_many_steps_as_are_typed(asked, qtbot):
    controls, offered = asked.experiment.controls, asked.session.live.proposal
    steps = controls.alone_steps
    qtbot.mouseDClick(steps.lineEdit(), LEFT)
    qtbot.keyClicks(steps.lineEdit(), "3")
    qtbot.keyClick(steps.lineEdit(), ENTER)
    say_why(asked, "a quiet area", qtbot)
    qtbot.mouseClick(controls.alone, LEFT)
    waits(asked, qtbot, after=15)
    assert proposals(asked, 12)[0] == pixel(offered)
    chosen = [m.proposal.chosen_by for m in asked.session.live.measurements[12:]]
    assert chosen == [ChosenBy.AGENT] * 3
    (alone,) = entries(asked, "alone")
    # The step that waited was one of the three.
    assert (alone["steps"], alone["why"]) == (2, "a quiet area")
    assert (alone["step"], alone["who"]) == (13, "human")


def test_a_person_chooses_how_many_places_are_proposed(asked, qtbot):
    control = asked.experiment.forms["moves"].controls["places"]
    before, offered = listed(asked), asked.session.live.proposal
    assert len(before) == 6
    show_section(asked.experiment, "Policy", control.native, qtbot)
    enter(control, "3", qtbot)
    waits(asked, qtbot, after=12, unlike=offered)
    until(qtbot, lambda: len(listed(asked)) == 3)
    moves = entries(asked, "settings")[-1]["changes"]["moves"]
    assert (moves["old"]["places"], moves["new"]["places"]) == (6, 3)
    assert len(asked.session.live.proposal.insight.runners_up) == 2
