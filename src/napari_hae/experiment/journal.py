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
"""2: targets of band scalarizers are per second, and have errors.
3: reasons are codes; a format line tells where an older record was gone on with."""
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


class NewerFormat(ValueError):
    """A newer program wrote the journal."""

    def __init__(self, start: dict[str, Any]) -> None:
        super().__init__(
            f"has format {start['format']}, written by napari-hae "
            f"{start.get('version')}; this version reads up to {FORMAT}"
        )


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
        self._format = max((format_of(line) for line in self.lines), default=0)
        sync_directory(path.parent)

    def append(self, event: Kind) -> Kind:
        """Write one line and wait until it is on disk; returns what can be read of it.

        Within `at_once` nothing is waited for.

        Raises
        ------
        ValueError
            If the line is one that could not be read; nothing is written then.
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


def read_journal(path: Path) -> list[JournalEvent]:
    """Read the events of a journal; a torn last line is dropped with a warning.

    Lines of older formats are read as events of this one.

    Raises
    ------
    BrokenJournal
        If a line before the last is damaged, missing or not in its place.
    NewerFormat
        If a newer program wrote it.
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
    """The first lines of a journal as they are, for a record that shares them."""
    return b"".join(path.read_bytes().splitlines(keepends=True)[:count])


def renumbered(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of a journal from which others were left out, with their new numbers."""
    for number, line in enumerate(lines):
        values = _decoded(line)
        if "n" in values:
            values["n"] = number
        yield json.dumps(values, ensure_ascii=False).encode() + b"\n"


def events_of(lines: Iterable[bytes]) -> list[JournalEvent]:
    """The events of lines that were written or read before."""
    version, events = FORMAT, []
    for number, line in enumerate(lines):
        version = format_of(line) or version
        events.append(_read(line, number, version))
    return events


def encoded(event: JournalEvent) -> bytes:
    """An event as a line of a journal; what is not known need not be in it."""
    # The line is read once more, which finds what pydantic would warn of here.
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
    """The format that a line says it and those after it have; 0 if it says nothing."""
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
    """The event of one line, which is of a format. Raises one of `UNREADABLE`."""
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
    """The event of a line, if it can be told in the window, where nothing may fail."""
    try:
        event = kind.model_validate_json(line, strict=True)
    except ValidationError as error:
        code = kind.model_fields["event"].default
        raise ValueError(f"{code}: {mistake(error)}") from error
    sentence(event)
    return event


def damaged(path: Path, number: int, why: object) -> BrokenJournal:
    """The error for a line, counted from 0, that cannot be read."""
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
    """Wait until the names in a directory are on disk, where the system can do that."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
