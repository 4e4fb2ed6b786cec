"""A button that is pressed stays under the pointer until it is let go."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QLineEdit, QPushButton, QVBoxLayout, QWidget

from napari_hae.gui.held_still import HeldStill
from napari_hae.gui.sections import pinned
from napari_hae.gui.sentences import Sentence

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(qtbot):
    """A dock with a sentence above a field and a button, in an active window."""
    dock = QWidget()
    dock.sentence, dock.field, dock.button = Sentence(), QLineEdit(), QPushButton("Do")
    dock.field.editingFinished.connect(lambda: dock.sentence.say("It holds now."))
    dock.group = QWidget()
    layout = QVBoxLayout(dock.group)
    layout.addWidget(dock.field)
    layout.addWidget(dock.button)
    pinned(dock, QWidget(), dock.sentence, dock.group)
    qtbot.addWidget(dock)
    with qtbot.waitActive(dock):
        dock.show()
        dock.activateWindow()
    dock.still = HeldStill(dock)
    return dock


def aim(dock) -> QPoint:
    """The middle of the button, in the window."""
    return dock.button.mapTo(dock, dock.button.rect().center())


def press(dock) -> None:
    """Press where the button is, in the way of the window system."""
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(dock.windowHandle(), left, none, aim(dock))


def let_go(dock, place: QPoint) -> None:
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mouseRelease(dock.windowHandle(), left, none, place)


def type_into(dock, qtbot) -> None:
    dock.field.setFocus()
    qtbot.keyClicks(dock.field, "0.05")


def test_a_click_that_ends_an_edit_is_a_click(dock, qtbot):
    type_into(dock, qtbot)
    place = aim(dock)
    with qtbot.waitSignal(dock.button.clicked):
        press(dock)
        assert dock.sentence.text()
        let_go(dock, place)
    qtbot.waitUntil(lambda: aim(dock).y() > place.y())


def test_what_comes_while_a_button_is_pressed_is_laid_out_later(dock, qtbot):
    place = aim(dock)
    press(dock)
    dock.sentence.say("Something happened.")
    dock.resize(dock.width(), dock.height() + 40)
    assert aim(dock) == place
    with qtbot.waitSignal(dock.button.clicked):
        let_go(dock, place)
    qtbot.waitUntil(lambda: aim(dock).y() > place.y())


def test_a_click_may_remove_what_was_pressed(dock, qtbot):
    dock.button.clicked.connect(dock.group.deleteLater)
    place = aim(dock)
    with qtbot.waitSignal(dock.group.destroyed):
        press(dock)
        let_go(dock, place)
    dock.sentence.say("It is gone.")
    qtbot.waitUntil(lambda: dock.sentence.height() > 0)


def grows(line, text: str, qtbot) -> None:
    """Say something that is wrapped to several lines."""
    height = line.height()
    line.setText(text)
    qtbot.waitUntil(lambda: line.height() > height)


def places(*buttons: QPushButton):
    return [(each.mapTo(each.window(), QPoint()), each.size()) for each in buttons]


def test_the_buttons_of_a_run_stay_where_they_are_whatever_is_told(cockpit, qtbot):
    """ABORT first of all."""
    cockpit.show_experiment()
    controls = cockpit.experiment.controls
    row = (controls.start, controls.pause, controls.step, controls.stop, controls.abort)
    qtbot.waitUntil(lambda: controls.abort.isVisible() and controls.state.height() > 0)
    before = places(*row)
    grows(controls.state, "running   fitting the model to what is known … " * 4, qtbot)
    controls.message.say("Something happened. " * 9)
    controls.pause.setText("Resume")
    grows(controls.message, "Something else happened. " * 30, qtbot)
    assert places(*row) == before


def test_abort_stays_where_it_is_while_a_microscope_is_named(cockpit, qtbot):
    microscope = cockpit.microscope
    qtbot.waitUntil(microscope.abort.isVisible)
    before = places(microscope.abort)
    grows(microscope.state, "A microscope with a long name. " * 9, qtbot)
    assert places(microscope.abort) == before
