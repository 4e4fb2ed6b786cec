"""The wheel scrolls a dock past all of its controls, and changes none."""

from __future__ import annotations

import pytest
from acts import connect, disconnect

WHEELED = ["QComboBox", "QAbstractSpinBox", "QAbstractSlider"]


def wheeled(hand, dock: str) -> dict[int, object]:
    """The controls of a dock that are shown, and know the wheel."""
    return {
        control.id: control
        for control in hand.controls(kinds=WHEELED)
        if control.shown
        and "QScrollBar" not in control.kinds
        and any(name.startswith(dock) for name in control.within)
    }


def scroll_area(hand, dock: str):
    """What scrolls in a dock at the side."""
    return max(
        (
            control
            for control in hand.controls(kinds=["QScrollArea"])
            if any(name.startswith(dock) for name in control.within)
        ),
        key=lambda area: area.rect[3],
    )


def scroll_over_all(hand, dock: str) -> int:
    """Scroll a dock to its end and back, with the pointer on each of its controls.

    Twice: where the dock is low, a turn of the wheel goes past more than one.
    """
    area, passed = scroll_area(hand, dock), set()
    for down in (True, False, True, False):
        there = True
        while there:
            whole = [each for each in wheeled(hand, dock).values() if each.is_whole]
            new = [each for each in whole if each.id not in passed]
            under = (new or whole or [area])[0]
            there = hand.scroll(area, under.middle, down=down)
            if there and under is not area:
                passed.add(under.id)
        # At the end nothing scrolls, and the wheel is turned over all that is there.
        for control in new:
            hand.wheel(control.middle, down=down, times=1)
            hand.ask("pointer")
            passed.add(control.id)
    return len(passed)


@pytest.mark.parametrize("dock", ["Microscope", "Experiment", "Forensics"])
def test_scrolling_a_dock_changes_no_setting(hand, dock):
    if dock == "Microscope":
        # All of its fields can be changed then.
        disconnect(hand)
    else:
        connect(hand)
    hand.pick(f"{dock} (napari-hae)", of="QTabBar")
    hand.expand_all(dock)
    if dock == "Forensics":
        hand.click("Another acquisition function")
        hand.click("Another scalarizer")
    settings = hand.ask("run")["settings"]
    before = {number: each.value for number, each in wheeled(hand, dock).items()}
    assert scroll_over_all(hand, dock) == len(before)
    after = {number: each.value for number, each in wheeled(hand, dock).items()}
    assert after == before
    assert hand.ask("run")["settings"] == settings


def test_the_wheel_over_the_monitor_changes_no_choice(hand):
    before = wheeled(hand, "Monitor")
    for control in before.values():
        if control.is_whole:
            hand.wheel(control.middle, down=True, times=2)
            hand.ask("pointer")
    after = wheeled(hand, "Monitor")
    assert {x: after[x].value for x in after} == {x: before[x].value for x in before}


def test_a_number_in_focus_follows_the_wheel(hand):
    disconnect(hand)
    number = hand.click("Particles", within="Microscope")
    value = int(hand.again(number).value)
    hand.wheel(number.middle, down=False)
    hand.until(lambda: int(hand.again(number).value) == value + 1, "one more is shown")
    hand.wheel(number.middle, down=True)
    hand.until(lambda: int(hand.again(number).value) == value, "and one fewer again")
