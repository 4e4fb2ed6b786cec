"""A record opened by napari's menu, and by a drop from another program."""

from __future__ import annotations

import pytest
from acts import disconnect, end, start


@pytest.fixture
def record(hand) -> str:
    """The record of a run that is not shown any more: there was another one since."""
    paths = []
    for _ in range(2):
        paths.append(start(hand)["record"])
        end(hand)
    disconnect(hand)
    return paths[0]


def test_a_record_is_opened_by_the_menu(hand, record):
    hand.pick("File", of="QMenuBar")
    hand.pick("Open Folder...", of="QMenu")
    name = hand.find(kind="QLineEdit", within="QFileDialog")
    hand.click_at(name.middle)
    hand.write(record)
    hand.key("Return")
    is_shown(hand, record)


def test_a_record_is_opened_by_a_drop(desk, hand, record):
    with desk.dragged(record) as source:
        source.drop(hand, hand.find(kind="CanvasBackendDesktop").middle)
        is_shown(hand, record)


def is_shown(hand, record: str) -> None:
    run = hand.until_run("the record is shown", record=record, busy=False)
    assert run["taken"] > 3
    assert not run["connected"]
