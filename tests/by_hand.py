"""What a person does to the controls of a form, with mouse and keys."""

from __future__ import annotations

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QScrollArea
from superqt import QCollapsible

from mouse import click
from steered import LEFT, place, until

ENTER = Qt.Key.Key_Return


def reach(widget, qtbot):
    """Scroll to a widget: a person uses only what is seen and moves no more."""
    around, at = [], None
    parent = widget.parentWidget()
    while parent is not None:
        if isinstance(parent, QScrollArea):
            around.append(parent)
        parent = parent.parentWidget()

    def is_seen():
        nonlocal at
        for scroll in around:
            scroll.ensureWidgetVisible(widget)
        # A window is laid out in several turns after what is in it has changed.
        before, at = at, widget.mapToGlobal(widget.rect().bottomRight())
        is_still = at == before
        return is_still and widget.visibleRegion().contains(widget.rect().center())

    until(qtbot, is_seen)


def show_section(dock, title, widget, qtbot):
    """Open a section of the dock, and scroll to a widget in it."""
    (part,) = (s for s in dock.findChildren(QCollapsible) if s.text() == title)
    part.expand(animate=False)
    reach(widget, qtbot)


def enter(control, text, qtbot):
    """Click into a field, type something else in place of what is there, and Enter."""
    native = control.native
    edit = getattr(native, "lineEdit", lambda: native)()
    reach(native, qtbot)
    qtbot.mouseClick(edit, LEFT)
    edit.selectAll()
    qtbot.keyClicks(edit, text)
    qtbot.keyClick(edit, ENTER)


def choose(control, name, qtbot):
    """Choose an entry with the arrow keys."""
    native = control.native
    reach(native, qtbot)
    for _ in range(native.findText(name) - native.currentIndex()):
        qtbot.keyClick(native, Qt.Key.Key_Down)
    for _ in range(native.currentIndex() - native.findText(name)):
        qtbot.keyClick(native, Qt.Key.Key_Up)
    assert native.currentText() == name


def pick(combo, name, qtbot):
    """Open the list of a combo box, and click on an entry."""
    combo = getattr(combo, "native", combo)
    reach(combo, qtbot)
    combo.setFocus()
    # A click would open it, too, but Qt ignores the next one for a while.
    qtbot.keyClick(combo, Qt.Key.Key_Space)
    view = combo.view()
    until(qtbot, view.isVisible)
    index = combo.model().index(combo.findText(name), 0)
    assert index.isValid(), [combo.itemText(n) for n in range(combo.count())]
    view.scrollTo(index)
    qtbot.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    until(qtbot, lambda: combo.currentText() == name)


def tick(control, qtbot):
    """Click on the box of a check box."""
    native = control.native
    reach(native, qtbot)
    qtbot.mouseClick(native, LEFT, pos=QPoint(8, native.height() // 2))


def say_why(cockpit, text, qtbot):
    """Write the reason for what is changed next."""
    reason = cockpit.experiment.reason
    qtbot.mouseClick(reason, LEFT)
    reason.selectAll()
    qtbot.keyClicks(reason, text)


def select_by_click(cockpit, qtbot, step: int) -> None:
    """Click on a measured place with napari's tool for selecting points."""
    layer = cockpit.session.layers.measured_layer
    cockpit.viewer.layers.selection = {layer}
    layer.mode = "select"
    proposal = cockpit.session.live.measurements[step].proposal
    click(cockpit.viewer, place(cockpit, proposal.row, proposal.column))
    until(qtbot, lambda: set(layer.selected_data) == {step})
