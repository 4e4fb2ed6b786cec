"""The wheel over every control of every dock, those that are made later too."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication, QComboBox, QScrollBar, QWidget

from mouse import NO_BUTTON, NO_MODIFIER
from napari_hae.gui.forms import ChoiceForm
from napari_hae.gui.layer_data import calibration
from napari_hae.gui.wheel import CONTROLS

pytestmark = pytest.mark.gui


def turn(control: QWidget) -> bool:
    """Turn the wheel one notch over a control; whether the control takes it."""
    middle = QPointF(control.rect().center())
    event = QWheelEvent(
        middle,
        QPointF(control.mapToGlobal(middle.toPoint())),
        QPoint(0, 0),
        QPoint(0, -120),
        NO_BUTTON,
        NO_MODIFIER,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(control, event)
    return event.isAccepted()


def value(control: QWidget):
    if isinstance(control, QComboBox):
        return control.currentIndex()
    return control.value()


def controls(cockpit) -> list[QWidget]:
    docks = (cockpit.microscope, cockpit.experiment, cockpit.forensics, cockpit.monitor)
    return [
        control
        for dock in docks
        for control in dock.findChildren(QWidget)
        if isinstance(control, CONTROLS) and not isinstance(control, QScrollBar)
    ]


def test_the_wheel_goes_past_all_controls_that_nobody_went_into(connected):
    frame = connected.session.layers.frame
    labels = np.zeros(frame.shape, np.uint8)
    labels[20:40, 20:40] = 2
    # Its row is made when it comes.
    connected.viewer.add_labels(labels, **calibration(frame))
    for form in connected.microscope.window().findChildren(ChoiceForm):
        # So is the form of a kind, when it is chosen.
        for index in reversed(range(form.choice.count())):
            form.choice.setCurrentIndex(index)
    all_of_them = controls(connected)
    before = [value(control) for control in all_of_them]
    passed = [not turn(control) for control in all_of_them if not control.hasFocus()]
    assert len(passed) > 50
    assert all(passed)
    assert [value(control) for control in all_of_them] == before
    # Nor does the wheel lead into them.
    wheel = Qt.FocusPolicy.WheelFocus
    assert all(control.focusPolicy() != wheel for control in all_of_them)
