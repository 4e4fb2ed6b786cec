"""The sections of the docks, closed and opened by their heads."""

from __future__ import annotations

import pytest
from control import heads

SECTIONS = {
    "Microscope": ("Instrument", "Survey image"),
    "Experiment": (
        *("Goal", "Policy", "Regions", "Measure next", "Finer image", "Measurement"),
        *("Survey again", "Budget", "Initial design", "Loop", "Model", "Record"),
    ),
    "Forensics": ("Compare with",),
}


@pytest.mark.presses(
    *(f"{dock}: {name}" for dock, names in SECTIONS.items() for name in names)
)
def test_each_section_is_closed_and_opened(hand):
    for dock, names in SECTIONS.items():
        every = hand.controls(kinds=["QCollapsible", "QPushButton"])
        found = {
            head.name: head
            for head in heads(every)
            if any(name.startswith(dock) for name in head.within)
        }
        for name in names:
            was = found[name].value
            for now in (not was, was):
                hand.click_on(found[name])
                hand.until(
                    lambda head=found[name], now=now: hand.again(head).value is now,
                    f"{name!r} is open, or closed",
                )
