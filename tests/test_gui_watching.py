"""A person changes something and looks: marks, reasons, and the run as it was."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QImage
from qtpy.QtTest import QTest

from by_hand import enter, pick
from mouse import LEFT
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.settings import Budget
from napari_hae.gui.plots import BEST_COLOR, TARGET_COLOR
from steered import entries, show, step, until

pytestmark = pytest.mark.gui
CURVES = (
    *("Target and best", "Uncertainty", "One-step-ahead error"),
    *("Calibration", "Marginal likelihood"),
)


def pixels(widget) -> np.ndarray:
    """A widget as it is drawn, `(height, width, 3)`."""
    shot = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    flat = np.frombuffer(shot.constBits().asstring(shot.sizeInBytes()), np.uint8)
    return flat.reshape(shot.height(), shot.width(), 4)[..., :3].astype(int)


def column_of(plot, step: float) -> int:
    """Where a step is drawn, in pixels from the left of the plot."""
    at = plot.plot.getViewBox().mapViewToScene(QPointF(step, 0))
    return plot.plot.mapFromScene(at).x()


def is_drawn(plot, marker) -> bool:
    """Whether a marker is seen: the plot without it looks different there, and only
    there."""
    with_it = pixels(plot.plot)
    marker.setVisible(False)
    differs = (with_it != pixels(plot.plot)).any(axis=-1).any(axis=0)
    marker.setVisible(True)
    columns = np.flatnonzero(differs)
    at = column_of(plot, marker.value())
    return bool(len(columns)) and bool((abs(columns - at) <= 2).all())


def test_a_change_is_seen_as_a_line_in_each_curve(paused, qtbot):
    learning = show(paused, "Learning")
    plots = {name: learning.plots[name] for name in CURVES}
    assert not any(plot._markers for plot in plots.values())
    policy = paused.experiment.forms["acquisition"]
    enter(policy.form.controls["xi"], "0.05", qtbot)
    step(paused, qtbot, 3)
    (change,) = [
        x for x in entries(paused, "settings") if "acquisition" in x["changes"]
    ]
    for name, plot in plots.items():
        pick(learning.choice, name, qtbot)
        until(qtbot, lambda plot=plot: plot.isVisible() and not plot.is_empty)
        (marker,) = plot._markers
        assert marker.value() == change["step"] + 0.5
        assert "0.05" in marker.toolTip()
        assert is_drawn(plot, marker), name


def table_rows(panel) -> list[list[str]]:
    table = panel.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def expected_rows(cockpit, proposal) -> list[list[float]]:
    """Place, prediction and value of the chosen place and its runners-up."""
    frame = cockpit.session.layers.frame
    rows = []
    for each in (proposal, *proposal.insight.runners_up):
        y_nm, x_nm = frame.nm(frame.position(each.row, each.column))
        rows.append([x_nm, y_nm, each.mean, each.std, each.value])
    return rows


def assert_shows(cockpit, panel, proposal) -> None:
    rows = table_rows(panel)
    shown = np.array([[float(text) for text in row[1:6]] for row in rows])
    np.testing.assert_allclose(shown, expected_rows(cockpit, proposal), rtol=1e-3)
    assert rows[0][0] == "chosen"


def test_the_table_of_reasons_goes_back_with_the_keys_of_the_slider(paused, qtbot):
    step(paused, qtbot, 4)
    session, slider = paused.session, paused.monitor.rewind.slider
    proposals = {m.step: m.proposal for m in session.live.measurements}
    why = show(paused, "Why here")
    until(qtbot, lambda: why.table.rowCount() > 1)
    # What is new is shown in turns: the slider follows a moment later.
    until(qtbot, lambda: slider.maximum() == 16)
    now = table_rows(why)
    slider.setFocus()
    for shown in (15, 14, 13):
        QTest.keyClick(slider, Qt.Key.Key_Left)
        assert session.live.shown_step == shown
        words = f"Step {shown + 1}:"
        until(qtbot, lambda words=words: why.text.text().startswith(words))
        assert_shows(paused, why, proposals[shown])
        features = session.layers.measured_layer.features
        assert list(features["step"]) == list(range(shown))
    QTest.keyClick(slider, Qt.Key.Key_PageDown)
    # Of the initial design the model said nothing.
    until(qtbot, lambda: why.table.rowCount() == 0)
    QTest.keyClick(slider, Qt.Key.Key_End)
    until(qtbot, lambda: table_rows(why) == now)


def test_reasons_follow_the_run_as_it_goes(paused, qtbot):
    session, why = paused.session, show(paused, "Why here")
    # So that it does not end before they were looked at.
    session.configure(budget=Budget(steps=1000))
    qtbot.mouseClick(paused.experiment.controls.pause, LEFT)
    seen = set()

    def note() -> bool:
        seen.add(why.text.text())
        return len(seen) >= 4

    until(qtbot, note)
    qtbot.mouseClick(paused.experiment.controls.pause, LEFT)
    until(qtbot, lambda: session.state is RunPhase.PAUSED)
    session.live.refresh()
    proposal = session.live.proposal
    until(qtbot, lambda: why.text.text().startswith(f"Step {proposal.step + 1}:"))
    assert proposal.reason in why.text.text()
    until(qtbot, lambda: table_rows(why)[0][0] == "chosen")
    assert_shows(paused, why, proposal)


def test_the_bar_shows_how_much_of_the_choice_is_exploring(paused, qtbot):
    session, why = paused.session, show(paused, "Why here")
    policy = paused.experiment.forms["acquisition"]
    pick(policy.choice, "Upper confidence bound", qtbot)
    for beta, color, words in (
        ("0", BEST_COLOR, "exploiting 100 %"),
        ("100", TARGET_COLOR, "exploring"),
    ):
        enter(policy.form.controls["beta"], beta, qtbot)
        # What was computed ahead did not know of it.
        step(paused, qtbot, 3)
        share = session.live.proposal.insight.exploring
        until(qtbot, lambda share=share: why.share.exploring == share)
        bar = pixels(why.share)
        row = bar[len(bar) // 2]
        colored = (row == QColor(color).getRgb()[:3]).all(axis=-1).mean()
        wanted = share if color == TARGET_COLOR else 1 - share
        assert wanted > 2 / 3
        assert colored == pytest.approx(wanted, abs=2 / len(row))
        assert words in why.exploiting.text() + why.exploring.text()
