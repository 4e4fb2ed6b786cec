"""Buttons that are pressed by a real mouse, by Space and by Enter."""

from __future__ import annotations

import pytest
from acts import connect, disconnect


@pytest.mark.presses("Microscope: Connect", "Microscope: Disconnect")
def test_connect_and_disconnect_by_mouse(hand):
    disconnect(hand)
    connect(hand)
    disconnect(hand)


@pytest.mark.parametrize("key", ["space", "Return"])
def test_connect_by_key(hand, key):
    disconnect(hand)
    hand.click("Sample seed", within="Microscope")
    hand.tab_to(hand.see("Connect", within="Microscope"), back=True)
    hand.key(key)
    hand.until_run("a microscope is connected", connected=True, busy=False)
