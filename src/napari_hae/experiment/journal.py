"""The journal of a run: one JSON object per line, synced; a line is a commit."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.experiment.entry_models import check_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

Entry = dict[str, Any]


FORMAT = 2
"""2: targets of band scalarizers are per second, and have errors."""
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    MemoryError,
)
"""In how many ways a line may turn out to be nothing that was ever written."""


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
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


class Journal:
    """Appends lines to a journal; a torn last line of an earlier writer is cut off."""

    def __init__(
        self, path: Path, attempt: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        self._path = path
        self._attempt = attempt or _once
        # Without a buffer: what could not be written must not come later.
        self._file = path.open("a+b", buffering=0)
        self.lines: list[bytes] = []
        """All lines, those included that could not be written."""
        self._held: list[bytes] | None = None
        self.disk_s = 0.0
        """Seconds that writing took so far."""
        self._lines = self._cut_torn_line()
        sync_directory(path.parent)

    def append(self, event: str, **fields: Any) -> Entry:
        """Write one line and wait until it is on disk; returns what was written.

        Within `at_once` nothing is waited for.

        Raises
        ------
        ValueError
            If the line is one that could not be read; nothing is written then.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        values = {"event": event, "time": now, **fields, "n": self._lines}
        entry: Entry = _without_nan(values)
        line = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        encoded = line.encode() + b"\n"
        try:
            check_entry(entry, encoded)
        except UNREADABLE as error:
            raise ValueError(f"a record cannot hold this: {error}") from error
        self._lines += 1
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
        self.lines += lines.splitlines(keepends=True)
        begin_s = time.perf_counter()
        try:
            self._attempt(lambda: self._write(lines))
        finally:
            self.disk_s += time.perf_counter() - begin_s

    def _write(self, lines: bytes) -> None:
        """Write all of it, or nothing. Raises `OSError`."""
        check_same(self._path, os.fstat(self._file.fileno()))
        end = self._file.seek(0, os.SEEK_END)
        try:
            left = memoryview(lines)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(end)
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._file.close()

    def _cut_torn_line(self) -> int:
        """Cut a line without end off; returns how many lines there are."""
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            logger.warning("the last line of %s was torn and is cut", self._file.name)
            self._file.truncate(whole)
        self.lines = content[:whole].splitlines(keepends=True)
        return content.count(b"\n")


def _once(write: Callable[[], None]) -> None:
    write()


def check_same(path: Path, opened: os.stat_result) -> None:
    """Raise `OSError` if there is something else at a path than what was opened."""
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    if found is None or not os.path.samestat(found, opened):
        raise FileNotFoundError(
            errno.ENOENT, "it was deleted, moved or replaced", str(path)
        )


def read_journal(path: Path) -> list[Entry]:
    """The entries of a journal; a torn last line is dropped with a warning.

    Raises
    ------
    BrokenJournal
        If a line before the last is damaged, missing or not in its place.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        logger.warning("the last line of %s is torn and was dropped", path)
    entries: list[Entry] = []
    for number, line in enumerate(lines):
        try:
            entry = _decoded(line)
            is_newer = number == 0 and _is_newer(entry)
            if not is_newer:
                check_entry(entry, line)
        except UNREADABLE as error:
            raise damaged(path, number, error) from error
        if is_newer:
            return [entry]
        written = entry.get("n")
        if written is not None and written != number:
            reason = f"it was written as line {written + 1}"
            raise damaged(path, number, reason)
        entries.append(entry)
    return entries


def damaged(path: Path, number: int, why: object) -> BrokenJournal:
    """The error for a line, counted from 0, that cannot be read."""
    reason = (str(why) or type(why).__name__).splitlines()[0].rstrip(".")
    return BrokenJournal(
        f"line {number + 1} of {path} is damaged: {reason}; the lines before it can be "
        "read after removing it and what follows"
    )


def _decoded(line: bytes) -> Entry:
    entry = json.loads(line, parse_constant=_refuse, parse_float=_finite)
    if not isinstance(entry, dict):
        raise ValueError("it holds no event")
    return entry


def _is_newer(start: Entry) -> bool:
    """Whether a newer program wrote the record; its events may be others."""
    version = start.get("format")
    return (
        start.get("event") == "start" and isinstance(version, int) and version > FORMAT
    )


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:20]}, which is too large")
    return value


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
