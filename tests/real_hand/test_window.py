"""The window stays within its screen."""

from __future__ import annotations

import pytest
from acts import active_layer, connect, remove_layer


@pytest.mark.parametrize("kind", ["Labels", "Points", "Shapes"])
def test_the_window_stays_within_its_screen_with_any_layer(hand, kind):
    connect(hand)
    # Without a selection napari makes no Labels layer.
    hand.pick("Survey HAADF", of="QtLayerList")
    tip = f"Create a new {kind.lower()} layer"
    hand.click_at(hand.find(kind="QPushButton", tip=tip).middle)
    name = hand.until(lambda: active_layer(hand, kind), "there is the layer")
    left, top, width, height = hand.ask("window")
    *_, screen_width, screen_height = hand.ask("screen")
    assert left >= 0
    assert top >= 0
    assert left + width <= screen_width
    assert top + height <= screen_height
    assert hand.see("Discard").is_whole
    remove_layer(hand, name)
