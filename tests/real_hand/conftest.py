"""The real program on a screen of its own, and a hand to work it with."""

from __future__ import annotations

import pytest
from acts import KNOWN, pause, settle, start
from claims import promised
from desk import Desk
from screen import screen

from virtual_display import missing

SIZES = ("1366x768", pytest.param("1280x1024", marks=pytest.mark.nightly))
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session", params=SIZES)
def desk(request: pytest.FixtureRequest, tmp_path_factory):
    """A screen under a window manager, and the program on it."""
    if lacking := missing("xdotool"):
        pytest.skip(f"the real hand needs {', '.join(lacking)}")
    with screen(request.param) as environment:
        desk = Desk(environment, tmp_path_factory.mktemp("desk"))
        yield desk
        desk.leave()


@pytest.fixture
def hand(desk: Desk, request: pytest.FixtureRequest):
    """A hand at the cockpit; a program that ended, or went wrong, is started anew."""
    hand = desk.sit_down()
    hand.ask("clicks")
    yield hand
    failed = request.node.stash.get(_FAILED, False)
    try:
        if not (failed or desk.has_ended):
            # The next one may go on with what is paused.
            if hand.ask("run").get("state") != "paused":
                settle(hand)
            assert not hand.ask("errors")
            assert "Traceback" not in desk.said
            assert promised(request.node) <= set(hand.ask("clicks"))
    except BaseException:
        failed = True
        raise
    finally:
        if failed:
            desk.picture(request.node.name)
            desk.leave()


@pytest.fixture
def paused(hand):
    """A run that is paused, whose model has made proposals; an earlier test's will do.

    That has shown what it did, and taken its layers away.
    """
    run = hand.ask("run")
    if run.get("state") == "paused" and run["taken"] >= KNOWN:
        return run
    start(hand, known=KNOWN)
    return pause(hand)
