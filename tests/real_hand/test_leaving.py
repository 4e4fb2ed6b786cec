"""The window closed by its window manager while the beam goes."""

from __future__ import annotations

import json
from pathlib import Path

from acts import start

CLOSE = "alt+F4"


def test_closing_the_window_in_mid_run_leaves_nothing_behind(desk, hand):
    run = start(hand, steps=4000)
    process = desk.process
    hand.key(CLOSE)
    # napari asks before it closes.
    hand.click("Close", kind="QPushButton", shown=True)
    hand.until(lambda: process.poll() is not None, "the program has ended")
    assert process.returncode == 0, desk.said
    lines = (Path(run["record"]) / "journal.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["event"] == "end"
    assert desk.said.splitlines()[-1] == "beams: ['blanked']"
    assert "Traceback" not in desk.said
