"""The band and the lasso, drawn with the mouse in the plots."""

from __future__ import annotations

import numpy as np
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


def test_the_lasso_selects_what_is_alike(hand):
    start(hand)
    pause(hand)
    hand.pick("Feature space", of="QTabBar")
    hand.choose("Space", "Descriptors")
    lasso = hand.click("Lasso")
    hand.until(lambda: hand.again(lasso).value, "the lasso is taken")
    plot = hand.see("Candidates")
    (left, right), (low, high) = hand.ask("view", number=plot.id)
    corners = np.array([(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.25)])
    corners = corners * (right - left, high - low) + (left, low)
    hand.drag(hand.ask("plot", number=plot.id, points=corners.tolist()))
    hand.until(lambda: selected(hand), "candidates are selected")
    hand.click("Clear")
    hand.until(lambda: not selected(hand), "nothing is selected")
    hand.click("Lasso")
    hand.pick("Learning", of="QTabBar")


def band(scalarizer: dict) -> tuple[float, float]:
    return scalarizer["low_ev"], scalarizer["high_ev"]


def width_of_pixel(hand, plot) -> float:
    (left, right), _ = hand.ask("view", number=plot.id)
    return (right - left) / plot.rect[2]


def selected(hand) -> bool:
    return any(
        isinstance(each.value, str) and each.value.endswith(" selected")
        for each in hand.controls()
        if each.seen
    )
