"""What is done with the record of a run that has ended."""

from __future__ import annotations

from pathlib import Path

import pytest
from acts import answer, disconnect, settle, start, words

STEPS = 12
"""So many are analysed in seconds."""


@pytest.fixture(scope="module")
def records():
    """The record of a short run, made once."""
    return {}


@pytest.fixture
def record(hand, desk, records) -> str:
    """The record of a short run, shown or not."""
    if desk.home not in records:
        start(hand, steps=STEPS, known=1)
        run = hand.until_run("it has ended", state="idle", busy=False)
        records[desk.home] = run["record"]
    settle(hand)
    return records[desk.home]


RESULTS = ("Regret", "Live model", "Against", "Interventions")
FIT = "Fit the plot to its data"


@pytest.mark.presses(
    *(f"Forensics: {name}" for name in ("Open record…", "Analyse", "Cancel")),
    *(f"Forensics: {name}" for name in ("Save report…", FIT, *RESULTS)),
)
def test_a_record_is_analysed_and_its_report_saved(hand, record, tmp_path):
    hand.click("Open record…", within="Forensics")
    answer(hand, record)
    name = Path(record).name
    hand.until(lambda: name in words(hand, "Forensics"), "the record is chosen")
    hand.click("Analyse", within="Forensics")
    hand.click("Cancel", within="Forensics")
    hand.until(lambda: "Cancelled." in words(hand, "Forensics"), "it is cancelled")
    hand.click("Analyse", within="Forensics")
    hand.click("Save report…", within="Forensics")
    report = tmp_path / "report.html"
    answer(hand, report)
    hand.until(lambda: f"Report: {report}" in words(hand, "Forensics"), "it is saved")
    assert "</html>" in report.read_text()[-20:]
    for name in RESULTS:
        head = hand.see(name, within="Forensics", kind="QPushButton", shown=None)
        for now in (not head.value, head.value):
            hand.click_on(head)
            hand.until(lambda h=head, now=now: hand.again(h).value is now, "it follows")
    regret = hand.see("Regret", within="Forensics", kind="QPushButton")
    (plot,) = hand.controls(kinds=["PlotWidget"], inside=regret.around[0])
    hand.wheel(hand.bring(plot).middle, down=False, times=2)
    fit = hand.until(
        lambda: hand.all_of(FIT, within="Regret"), "its view can be fitted"
    )[0]
    hand.click_on(fit)
    hand.until(lambda: not hand.again(fit).shown, "there is nothing to fit any more")


@pytest.mark.presses("Monitor: Open record…")
def test_a_record_is_opened_by_its_button(hand, record):
    disconnect(hand)
    hand.click("Open record…", within="Monitor")
    answer(hand, record)
    hand.until_run("it is shown", record=record, busy=False, taken=STEPS)


@pytest.mark.presses("Experiment: Learn from an earlier run…")
def test_the_model_learns_from_a_record(hand, record):
    hand.click("Learn from an earlier run…", within="Experiment")
    answer(hand, record)
    run = hand.until_run(
        "it is learned from", settings=lambda now: now["model"]["earlier"], busy=False
    )
    assert Path(record).stem in run["settings"]["model"]["earlier"]
    hand.type_into("Earlier run", "", within="Experiment")
    hand.key("Return")
    hand.until_run("it is forgotten", settings=lambda now: not now["model"]["earlier"])
