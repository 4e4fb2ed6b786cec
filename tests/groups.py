"""What the workers of pytest-xdist share out: files, and the real hands as one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

TOGETHER = "real_hand"
"""The folder of tests that share a program, of which one is enough for two cores."""


def group_of(nodeid: str) -> str:
    """The tests that one worker does one after the other, with all of their fixtures.

    A file has fixtures of its own that are dear to make.
    """
    file = PurePosixPath(nodeid.split("::")[0])
    return TOGETHER if TOGETHER in file.parts else str(file)


def group_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share out groups by the names of tests.

    Not by marks `xdist_group`: pytest-xdist 3.8 leaves them out with pytest 9.2.
    """
    from xdist.scheduler import LoadFileScheduling

    class GroupScheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return GroupScheduling(config, log)
