"""What is being typed takes effect, and the focus stays where it is."""

from __future__ import annotations

import pytest
from magicgui.widgets import SpinBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QDoubleSpinBox,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hae.gui.pending_edit import commit_edit

pytestmark = pytest.mark.gui


@pytest.fixture
def part(qtbot):
    """Fields and a button in an active window, as in a dock."""
    part = QWidget()
    part.large = SpinBox(min=0, max=1000, value=5).native
    part.number, part.text, part.button = QDoubleSpinBox(), QLineEdit(), QPushButton()
    layout = QVBoxLayout(part)
    for each in (part.large, part.number, part.text, part.button):
        layout.addWidget(each)
    for box in (part.large, part.number):
        box.setKeyboardTracking(False)
    part.button.pressed.connect(commit_edit)
    qtbot.addWidget(part)
    with qtbot.waitActive(part):
        part.show()
        part.activateWindow()
    return part


@pytest.mark.parametrize("name", ["large", "number"])
def test_a_number_that_is_being_typed_counts_without_losing_the_focus(
    part, qtbot, name
):
    box = getattr(part, name)
    box.setFocus()
    box.selectAll()
    before = box.value()
    qtbot.keyClicks(box, "37")
    assert box.value() == before
    commit_edit()
    assert box.value() == 37
    assert QApplication.focusWidget() is box


def test_a_text_that_is_being_typed_is_finished_without_losing_the_focus(part, qtbot):
    part.text.setFocus()
    qtbot.keyClicks(part.text, "holes first")
    with qtbot.waitSignal(part.text.editingFinished):
        commit_edit()
    assert QApplication.focusWidget() is part.text


@pytest.mark.parametrize("act", ["mouse", "space"])
def test_a_button_that_has_the_focus_is_clicked(part, qtbot, act):
    part.button.setFocus()
    with qtbot.waitSignal(part.button.clicked):
        if act == "mouse":
            qtbot.mouseClick(part.button, Qt.MouseButton.LeftButton)
        else:
            qtbot.keyClick(part.button, Qt.Key.Key_Space)
