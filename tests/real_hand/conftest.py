"""The real program on a screen of its own, and a hand to work it with."""

from __future__ import annotations

import pytest
from acts import settle
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
    yield hand
    failed = request.node.stash.get(_FAILED, False)
    try:
        if not (failed or desk.has_ended):
            settle(hand)
            assert not hand.ask("errors")
            assert "Traceback" not in desk.said
    except BaseException:
        failed = True
        raise
    finally:
        if failed:
            desk.picture(request.node.name)
            desk.leave()
