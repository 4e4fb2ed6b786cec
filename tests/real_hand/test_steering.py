"""Looking back, and going back, by hand."""

from __future__ import annotations

from pathlib import Path

from acts import journal, pause, start


def test_an_earlier_step_is_shown_and_gone_back_to(hand):
    start(hand)
    run = pause(hand)
    slider = hand.see("Step that is shown")
    hand.click_at((slider.rect[0] + slider.rect[2] // 3, slider.middle[1]))
    shown = hand.until_run("an earlier step is shown", shown_step=lambda n: n)
    assert 0 < shown["shown_step"] < run["taken"]
    hand.click("Live", within="Monitor")
    hand.until_run("the newest is shown", shown_step=None)
    hand.type_into("Step to go back to", "2")
    hand.click("Go back")
    back = hand.until_run(
        "a run goes on from there",
        record=lambda path: path != run["record"],
        state="paused",
        taken=2,
    )
    assert Path(run["record"]).is_dir()
    hand.click("Resume", within="Experiment")
    hand.until_run("it measures", taken=lambda n: n > 4)
    assert len(journal(back, "measurement")) >= 4
