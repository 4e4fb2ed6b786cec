"""The plots: the band is dragged, the view moved and fitted."""

from __future__ import annotations

import numpy as np
import pytest
from acts import journal, pause, start


def test_the_band_is_dragged_by_its_edge(hand):
    start(hand)
    run = pause(hand)
    scalarizer = run["settings"]["scalarizer"]
    low, high = band(scalarizer)
    plot = hand.see("Spectrum")
    _, counts = hand.ask("view", number=plot.id)
    wanted = high + 0.4 * (high - low)
    places = [[high, float(np.mean(counts))], [wanted, float(np.mean(counts))]]
    hand.drag(hand.ask("plot", number=plot.id, points=places))
    pixel = width_of_pixel(hand, plot)
    run = hand.until_run(
        "the band is wider",
        settings=lambda now: abs(band(now["scalarizer"])[1] - wanted) < 4 * pixel,
    )
    assert abs(band(run["settings"]["scalarizer"])[0] - low) < pixel
    changes = hand.until(lambda: journal(run, "settings"), "the journal has it")
    assert changes[-1]["who"] == "human"


@pytest.mark.presses("Monitor: Fit the plot to its data")
def test_a_plot_that_was_moved_is_fitted_to_its_data(hand, paused):
    plot = hand.see("Spectrum")
    hand.wheel(plot.middle, down=False, times=3)
    fit = hand.see("Fit the plot to its data", within="Monitor")
    (left, right), _ = hand.ask("view", number=plot.id)
    hand.click_on(fit)
    hand.until(lambda: not hand.again(fit).shown, "there is nothing to fit any more")
    (first, last), _ = hand.ask("view", number=plot.id)
    assert first < left < right < last


def band(scalarizer: dict) -> tuple[float, float]:
    return scalarizer["low_ev"], scalarizer["high_ev"]


def width_of_pixel(hand, plot) -> float:
    (left, right), _ = hand.ask("view", number=plot.id)
    return (right - left) / plot.rect[2]
