"""A person changes the policy and the model of a run in a real window."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from steered import entries, show_section, step, until

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton


def enter(control, text, qtbot):
    """Type a value into a field of text, and leave it."""
    native = control.native
    native.setFocus()
    native.selectAll()
    qtbot.keyClicks(native, text)
    qtbot.keyClick(native, Qt.Key.Key_Return)


def choose(control, name, qtbot):
    """Choose an entry with the arrow keys."""
    native = control.native
    for _ in range(native.findText(name) - native.currentIndex()):
        qtbot.keyClick(native, Qt.Key.Key_Down)
    for _ in range(native.currentIndex() - native.findText(name)):
        qtbot.keyClick(native, Qt.Key.Key_Up)
    assert native.currentText() == name


def test_exploration_follows_a_schedule_from_the_step_it_was_set(paused, qtbot):
    session, form = paused.session, paused.experiment.forms["acquisition"]
    show_section(paused.experiment, "Policy", form.choice, qtbot)
    form.choice.setCurrentIndex(form.choice.findData("ucb"))
    controls = form.form.controls
    assert not controls["until"].native.isVisible()
    enter(controls["beta"], "9", qtbot)
    paused.experiment.reason.setText("first wide, then narrow")
    choose(controls["schedule"], "linear", qtbot)
    until(qtbot, controls["until"].native.isVisible)
    enter(controls["until"], "1", qtbot)
    controls["over"].value = 4
    step(paused, qtbot, 6)
    measured = session.live.measurements[12:]
    insights = [m.proposal.insight for m in measured]
    for insight, value in zip(insights, (9, 7, 5, 3, 1, 1), strict=True):
        # Where a trap is left, no function is asked.
        assert insight.trapped or insight.parameter == value
    assert not all(insight.trapped for insight in insights)
    assert session.settings.acquisition.since == 12
    new = entries(paused, "settings")[-1]["changes"]["acquisition"]["new"]
    assert (new["schedule"], new["beta"], new["until"]) == ("linear", 9.0, 1.0)
    assert (new["over"], new["since"]) == (4, 12)
    whys = [entry["why"] for entry in entries(paused, "settings")]
    assert [why for why in whys if why] == ["first wide, then narrow"]
    monitor = paused.monitor
    monitor.tabs.setCurrentWidget(monitor.reasons)
    if not insights[-1].trapped:
        until(qtbot, lambda: "Exploration parameter 1." in monitor.reasons.text.text())
    monitor.tabs.setCurrentWidget(monitor.story)
    told = 'let "Exploration β" go from 9 to 1 over 4 steps from step 13 on'
    until(qtbot, lambda: told in monitor.story.text.toPlainText())


def test_a_schedule_that_cannot_be_is_told_and_hidden_with_its_fields(paused, qtbot):
    form = paused.experiment.forms["acquisition"]
    show_section(paused.experiment, "Policy", form.choice, qtbot)
    controls = form.form.controls
    choose(controls["schedule"], "geometric", qtbot)
    assert "needs values above 0" in form.form.problems[""]
    assert paused.session.settings.acquisition.schedule == "linear"
    enter(controls["until"], "many", qtbot)
    choose(controls["schedule"], "constant", qtbot)
    assert form.form.problems == {}
    assert not controls["until"].native.isVisible()


def test_the_learning_rate_is_there_for_fitted_networks_and_rebuilds_them(
    paused, qtbot
):
    session, form = paused.session, paused.experiment.forms["model"]
    show_section(paused.experiment, "Model", form, qtbot)
    controls = form.controls
    rate = controls["learning_rate"]
    assert not rate.native.isVisible()
    choose(controls["network"], "classic", qtbot)
    until(qtbot, rate.native.isVisible)
    step(paused, qtbot)
    before = session.live.measurements[-1].proposal
    session.go_back(12)
    until(
        qtbot,
        lambda: len(session.live.measurements) == 12 and session.runner is not None,
    )
    choose(controls["network"], "classic", qtbot)
    enter(rate, "0.3", qtbot)
    step(paused, qtbot)
    after = session.live.measurements[-1].proposal
    assert (before.known, after.known) == (12, 12)
    assert (before.mean, before.std) != (after.mean, after.std)
    change = entries(paused, "settings")[-1]["changes"]["model"]
    assert (change["old"]["learning_rate"], change["new"]["learning_rate"]) == (
        None,
        0.3,
    )
    monitor = paused.monitor
    monitor.tabs.setCurrentWidget(monitor.story)
    told = 'changed "Learning rate" from none to 0.3'
    until(qtbot, lambda: told in monitor.story.text.toPlainText())
    choose(controls["network"], "none", qtbot)
    assert not rate.native.isVisible()
