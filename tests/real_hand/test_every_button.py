"""Every button of every dock: pressed once, and by a test that shows what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from acts import connect, dialogs, disconnect, pause, start
from buttons import titles
from claims import all_promised
from control import heads

from napari_hae.gui.forms import ChoiceForm
from steered import LEFT

if TYPE_CHECKING:
    from control import Control
    from hand import Hand

NAPARIS = "QTitleBar"
DOCKS = ("Microscope", "Experiment", "Forensics")
PANELS = ("Learning", "Feature space", "Why here", "Time", "Journal")
ENDS = (
    *("Go back", "Image here", "Back to the wider image", "Survey again"),
    *("Step", "Resume", "Start", "Stop", "ABORT", "Connect", "Disconnect"),
)
"""What ends what the others need, or begins it anew: pressed after them, in this order.
"""

OTHER_WORDS = {
    "Experiment: Resume": "Experiment: Pause",
    "Forensics: Cancel": "Forensics: Analyse",
    "Microscope: Connect": "Microscope: Disconnect",
    "Monitor: Restore": "Monitor: Discard",
}
"""What a button says at one time and at another."""
NEED_MORE = {
    *("Approve", "Veto", "Go on for", "Back to the wider image"),
    *("Remove", "Empty", "Clear", "Measure there", "Make region of interest"),
    *("Make forbidden zone", "Follow again", "Live", "Look for what I like"),
    *("Fit the plot to its data", "Save report…", "Cancel"),
    "Save the unsaved spectra to…",
    *("Scroll Left", "Scroll Right"),
    *(f"Select file: {name}" for name in ("Spectrum image", "Survey image")),
    *(f"Select file: {name}" for name in ("Token file", "Target spectrum")),
}
"""What can be pressed only after something else was done."""


@pytest.mark.gui
def test_every_button_is_pressed_by_a_test_that_shows_what_it_does(connected, qtbot):
    docks = (connected.microscope, connected.experiment, connected.forensics)
    for choice in (each for dock in docks for each in dock.findChildren(ChoiceForm)):
        kinds = range(choice.choice.count())
        for kind in (*kinds, choice.choice.currentIndex()):
            choice.choice.setCurrentIndex(kind)
    qtbot.mouseClick(connected.experiment.regions.paint_soft, LEFT)
    window = connected.viewer.window._qt_window
    promised = {OTHER_WORDS.get(name, name) for name in all_promised()}
    assert titles(window) == promised


def test_every_button_does_no_harm(desk, hand):
    pressed: dict[str, str] = {}
    disconnect(hand)
    for dock in DOCKS:
        hand.expand_all(dock)
    press_all(hand, pressed)
    connect(hand)
    press_all(hand, pressed)
    start(hand)
    pause(hand)
    # The lasso needs candidates that are shown, whatever becomes of the run.
    hand.pick("Feature space", of="QTabBar")
    hand.choose("Space", "Descriptors", within="Monitor")
    hand.until(lambda: hand.see("Lasso").enabled, "the lasso can be taken")
    press_all(hand, pressed)
    for button, after in pressed.items():
        print(f"{button}: {after}")
    names = {name.split(": ", 1)[1] for name in set(buttons(hand)) - set(pressed)}
    assert names <= NEED_MORE
    assert "Traceback" not in desk.said
    # Others begin with less.
    desk.leave()


def press_all(hand: Hand, pressed: dict[str, str]) -> None:
    """Press all that can be pressed and was not yet."""
    for panel in PANELS:
        hand.pick(panel, of="QTabBar")
        while possible := {
            name: control
            for name, control in buttons(hand).items()
            if control.shown and control.enabled and name not in pressed
        }:
            name = min(possible, key=lambda name: order(possible[name].name))
            pressed[name] = press(hand, possible[name])


def order(name: str) -> int:
    return ENDS.index(name) if name in ENDS else -1


def press(hand: Hand, control: Control) -> str:
    """Press a button, take back what it asks, and tell what became of it."""
    before = told(hand)
    hand.ask("clicks")
    hand.click_at(hand.bring(control).middle)
    asked = []
    hand.until(lambda: is_heard(hand, control), f"{control.name!r} is pressed")
    while open_ := dialogs(hand):
        asked.append(open_[-1].title or open_[-1].name)
        hand.key("Escape")
        hand.ask("pointer")
    hand.until_run("it is done", busy=False)
    assert hand.ask("errors") == [], control.name
    after = told(hand)
    changed = [f"{name} {after[name]}" for name in after if after[name] != before[name]]
    return ", ".join([*(f"asks {title!r}" for title in asked), *changed])


def is_heard(hand: Hand, control: Control) -> bool:
    """Whether a button was clicked, or asks something, or can be pressed no more."""
    can_be = any(each.enabled for each in hand.controls(numbers=[control.id]))
    return bool(hand.ask("clicks") or dialogs(hand) or not can_be)


def told(hand: Hand) -> dict[str, object]:
    """What a button may change."""
    run = hand.ask("run")
    layers = [each["name"] for each in hand.ask("layers")]
    chosen = ("state", "connected", "taken", "settings", "shown_step", "queue")
    return {**{name: run.get(name) for name in chosen}, "layers": layers}


def buttons(hand: Hand) -> dict[str, Control]:
    """The buttons of the docks, by dock and name."""
    found: dict[str, Control] = {}
    controls = hand.controls(kinds=["QCollapsible", "QPushButton", "QToolButton"])
    sections = {head.id for head in heads(controls)}
    for control in controls:
        docks = [name for name in control.within if "(napari-hae)" in name]
        is_button = {"QPushButton", "QToolButton"}.intersection(control.kinds)
        # Those of napari, in a dock's title bar, close it.
        is_own = control.name and not control.name.startswith(NAPARIS)
        if is_button and docks and is_own and control.id not in sections:
            found[f"{docks[-1].split()[0]}: {control.name}"] = control
    return found
