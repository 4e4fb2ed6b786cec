"""The journal of a run: one JSON object per line, synced; a line is a commit."""

from __future__ import annotations

import json
import logging
import math
import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

Entry = dict[str, Any]


class BrokenJournal(ValueError):
    """The journal cannot be read; the text says which line, and why."""


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: None stands for a number that does not exist.

    Nor does it know the numbers of numpy, which instruments and scalarizers give.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


class Journal:
    """Appends lines to a journal; a torn last line of an earlier writer is cut off."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a+b")
        self._held: list[bytes] | None = None
        self.disk_s = 0.0
        """Seconds that writing took so far."""
        self._cut_torn_line()
        sync_directory(path.parent)

    def append(self, event: str, **fields: Any) -> Entry:
        """Write one line and wait until it is on disk; returns what was written.

        Within `at_once` nothing is waited for.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry: Entry = _without_nan({"event": event, "time": now, **fields})
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        encoded = line.encode() + b"\n"
        if self._held is None:
            self._commit(encoded)
        else:
            self._held.append(encoded)
        return entry

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Write what is appended meanwhile together, when that is over."""
        if self._held is not None:
            yield
            return
        held: list[bytes] = []
        self._held = held
        try:
            yield
        finally:
            self._held = None
            if held:
                self._commit(b"".join(held))

    def _commit(self, lines: bytes) -> None:
        begin_s = time.perf_counter()
        try:
            self._file.write(lines)
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self.disk_s += time.perf_counter() - begin_s

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _cut_torn_line(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            logger.warning("the last line of %s was torn and is cut", self._file.name)
            self._file.truncate(whole)


def read_journal(path: Path) -> list[Entry]:
    """The entries of a journal; a torn last line is dropped with a warning.

    Raises
    ------
    BrokenJournal
        If a line before the last is not JSON.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        logger.warning("the last line of %s is torn and was dropped", path)
    entries: list[Entry] = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            raise BrokenJournal(
                f"line {number} of {path} is not JSON ({error}); the lines before it "
                "can be read after removing it and what follows"
            ) from error
    return entries


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
