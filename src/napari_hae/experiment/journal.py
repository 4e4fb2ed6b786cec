"""Journal of a run: one JSON object per line, synced to disk; each line is a commit."""

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
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from pydantic import ValidationError

from napari_hae.experiment.journal_events import (
    EVENTS,
    FormatEvent,
    JournalEvent,
    StartEvent,
    mistake,
)
from napari_hae.experiment.journal_format_2 import upgraded
from napari_hae.experiment.sentences import sentence
from napari_hae.printable import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

logger = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=JournalEvent)

FORMAT = 3
"""2: targets of band scalarizers are per second, and have errors. 3: reasons are codes;
a format line marks where an older record was continued."""
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RecursionError,
    MemoryError,
)
"""Errors by which a line turns out not to be a valid event."""


class BrokenJournal(ValueError):
    """Error for an unreadable journal; the text names the line and the reason."""


class NewerFormat(ValueError):
    """Error for a journal that a newer version of the program wrote."""

    def __init__(self, start: dict[str, Any]) -> None:
        super().__init__(
            f"has format {start['format']}, written by napari-hae "
            f"{start.get('version')}; this version reads up to {FORMAT}"
        )


def _without_nan(value: Any) -> Any:
    """Replace NaN, which JSON lacks, by None, and numpy numbers by Python's.

    Instruments and scalarizers may return numbers of numpy, which JSON lacks as well.
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
    """Writer that appends lines to a journal; an incomplete last line is cut off."""

    def __init__(
        self, path: Path, attempt: Callable[[Callable[[], None]], None] | None = None
    ) -> None:
        self._path = path
        self._attempt = attempt or _once
        # Unbuffered: a failed write must not be completed later.
        self._file = path.open("a+b", buffering=0)
        self.lines: list[bytes] = []
        """All lines, including those that could not be written."""
        self._held: list[bytes] | None = None
        self.disk_s = 0.0
        """Total time spent writing, in s."""
        self._lines = self._cut_torn_line()
        self._format = max((format_of(line) for line in self.lines), default=0)
        sync_directory(path.parent)

    def append(self, event: Kind) -> Kind:
        """Write one line and wait until it is on disk; return it as it will be read.

        Within `at_once` it does not wait.

        Raises
        ------
        ValueError
            If the line would not be readable; nothing is written then.
        """
        if self._format < FORMAT and not isinstance(event, StartEvent):
            self._format = FORMAT
            self.append(FormatEvent(format=FORMAT))
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        stamped = event.model_copy(update={"time": now, "n": self._lines})
        try:
            line = encoded(stamped)
            written = _checked(type(event), line)
        except UNREADABLE as error:
            raise ValueError(f"a record cannot hold this: {error}") from error
        self._lines += 1
        if isinstance(event, StartEvent):
            self._format = event.format
        if self._held is None:
            self._commit(line)
        else:
            self._held.append(line)
        return written

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Collect the lines of a block, and write them together at its end."""
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
        """Cut off an incomplete last line; return the number of lines."""
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
    """Raise `OSError` if the file at a path is no longer the one that was opened."""
    try:
        found = path.stat()
    except FileNotFoundError:
        found = None
    if found is None or not os.path.samestat(found, opened):
        raise FileNotFoundError(
            errno.ENOENT, "it was deleted, moved or replaced", str(path)
        )


def read_journal(path: Path) -> list[JournalEvent]:
    """Read the events of a journal; an incomplete last line is dropped with a warning.

    Lines of older formats are converted to events of the current one.

    Raises
    ------
    BrokenJournal
        If a line before the last is damaged, missing or out of order.
    NewerFormat
        If a newer version of the program wrote it.
    """
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        logger.warning("the last line of %s is torn and was dropped", path)
    events: list[JournalEvent] = []
    version = FORMAT
    for number, line in enumerate(lines):
        try:
            version = format_of(line) or version
            event = _read(line, number, version)
        except NewerFormat:
            raise
        except UNREADABLE as error:
            raise damaged(path, number, error) from error
        if event.n != number:
            reason = f"it was written as line {event.n + 1}"
            raise damaged(path, number, reason)
        events.append(event)
    return events


def first_lines(path: Path, count: int) -> bytes:
    """Return the first lines of a journal unchanged, for a record that shares them."""
    return b"".join(path.read_bytes().splitlines(keepends=True)[:count])


def renumbered(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Return lines of a journal with new numbers, after others were removed."""
    for number, line in enumerate(lines):
        values = _decoded(line)
        if "n" in values:
            values["n"] = number
        yield json.dumps(values, ensure_ascii=False).encode() + b"\n"


def events_of(lines: Iterable[bytes]) -> list[JournalEvent]:
    """Return the events of lines that were written or read before."""
    version, events = FORMAT, []
    for number, line in enumerate(lines):
        version = format_of(line) or version
        events.append(_read(line, number, version))
    return events


def encoded(event: JournalEvent) -> bytes:
    """Return an event as a line of a journal; unknown values may be left out."""
    # The line is validated again, which finds problems that pydantic would warn of
    # here.
    fields = event.model_dump(warnings=False)
    known = {
        name: value
        for name, value in fields.items()
        if value not in (None, {}) or type(event).model_fields[name].is_required()
    }
    values = {"event": event.event, "time": event.time, **known, "n": event.n}
    line = json.dumps(_without_nan(values), ensure_ascii=False, allow_nan=False)
    return line.encode() + b"\n"


def format_of(line: bytes) -> int:
    """Return the format that a line declares for itself and later lines; 0 if none."""
    if b'"start"' not in line and b'"format"' not in line:
        return 0
    values = _decoded(line)
    version = values.get("format")
    if values.get("event") not in ("start", "format") or not isinstance(version, int):
        return 0
    if version > FORMAT:
        raise NewerFormat(values)
    return version


def _read(line: bytes, number: int, version: int) -> JournalEvent:
    """Return the event of one line of a format. Raises one of `UNREADABLE`."""
    values = _decoded(line)
    code = values.get("event")
    if version < FORMAT:
        values = upgraded(values, number)
        line = json.dumps(values).encode()
    kind = EVENTS.get(code) if isinstance(code, str) else None
    if kind is None:
        raise ValueError(f"there is no event {shortened(code)}")
    missing = {"time", "n"} - values.keys()
    if missing:
        raise ValueError(f"{code}: {min(missing)} is missing")
    return _checked(kind, line)


def _checked(kind: type[Kind], line: bytes) -> Kind:
    """Return the event of a line, if it can be described: the window must not fail."""
    try:
        event = kind.model_validate_json(line, strict=True)
    except ValidationError as error:
        code = kind.model_fields["event"].default
        raise ValueError(f"{code}: {mistake(error)}") from error
    sentence(event)
    return event


def damaged(path: Path, number: int, why: object) -> BrokenJournal:
    """Return the error for an unreadable line, counted from 0."""
    reason = (str(why) or type(why).__name__).splitlines()[0].rstrip(".")
    return BrokenJournal(
        f"line {number + 1} of {path} is damaged: {reason}; the lines before it can be "
        "read after removing it and what follows"
    )


def _decoded(line: bytes) -> dict[str, Any]:
    values = json.loads(line, parse_constant=_refuse, parse_float=_finite)
    if not isinstance(values, dict):
        raise ValueError("it holds no event")
    return values


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is no JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:20]}, which is too large")
    return value


def sync_directory(path: Path) -> None:
    """Wait until the names in a directory are on disk, if the system supports it."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
