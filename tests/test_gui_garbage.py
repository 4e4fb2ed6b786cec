"""What nothing refers to any more is collected on Qt's thread."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from qtpy.QtCore import QObject

from in_thread import ended, in_thread
from steered import until

pytestmark = pytest.mark.gui
MANY = 100_000
"""So many objects are enough for Python to collect."""


class Cycle(QObject):
    """A part of a closed window."""

    def __init__(self):
        super().__init__()
        self.itself = self


def make_many():
    return [[] for _ in range(MANY)]


def test_qt_objects_are_never_destroyed_on_a_worker_thread(cockpit, qtbot):
    gone_on = []
    weakref.finalize(Cycle(), lambda: gone_on.append(threading.current_thread()))
    worker, _ = in_thread(make_many)
    ended(worker)
    assert not gone_on
    until(qtbot, lambda: gone_on)
    assert gone_on == [threading.main_thread()]


def test_without_a_window_python_collects_as_before(cockpit):
    assert gc.get_threshold()[0] > MANY
    cockpit.session.close()
    assert gc.get_threshold()[0] < MANY
    assert gc.isenabled()
