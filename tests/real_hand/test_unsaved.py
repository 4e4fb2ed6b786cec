"""A record that vanishes in mid-run, and its spectra saved elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from acts import answer, end


@pytest.mark.presses("Experiment: Save the unsaved spectra to…")
def test_the_spectra_of_a_record_that_vanished_are_saved(hand, paused, tmp_path):
    shutil.rmtree(paused["record"])
    hand.click("Step", within="Experiment")
    save = hand.click("Save the unsaved spectra to…", within="Experiment")
    answer(hand, tmp_path)
    hand.until(lambda: not hand.again(save).enabled, "all is saved")
    (saved,) = tmp_path.glob("*.hae")
    lines = (Path(saved) / "journal.jsonl").read_text().splitlines()
    assert sum('"event": "measurement"' in line for line in lines) >= paused["taken"]
    end(hand)
