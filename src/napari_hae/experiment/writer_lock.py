"""One writer per record: a lock of the system, and a note on its holder."""

from __future__ import annotations

import errno
import json
import os
import platform
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from napari_hae.experiment.journal import check_same
from napari_hae.experiment.record_files import check_plain

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

LOCK = "writer.lock"
WRITER = "writer.json"
_CLOCK_S = 2.0
"""Tolerance in s for clock adjustments when a process is identified by its start
time."""


class RecordInUse(ValueError):
    """Error for a record that another program, or part of this one, is writing."""


class WriterLock:
    """Exclusive lock on a record for writing, until it is closed; readers need none.

    The system releases the lock when its process ends, however it ends. If its file is
    deleted meanwhile, two processes could hold one each: therefore the signature of a
    living process is respected, and a writer checks the lock before each commit. The
    signature of a process on another host is respected as well, since its state cannot
    be determined from here.

    Raises
    ------
    RecordInUse
        If another writer holds the record; the text names it and the time.
    NotARecord
        If the record contains links, including hard links, pipes or devices; nothing
        was written.
    OSError
        If the lock cannot be created, for example in a read-only folder.
    """

    def __init__(self, record: Path) -> None:
        check_plain(record, is_written=True)
        self._path, self._writer = record / LOCK, record / WRITER
        # A record may be closed on another thread than the one that opened it.
        self._lock = FileLock(self._path, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RecordInUse(f"{record} is being written {self._whose()}") from error
        try:
            self._opened = self._path.stat()
            self._check_left(record)
            self._signed = self._sign()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Release the lock for the next writer; a second call does nothing."""
        if self._lock.is_locked:
            # If the lock was deleted, another writer may have signed since.
            with suppress(FileNotFoundError):
                if self._writer.read_bytes() == self._signed:
                    self._writer.unlink()
            self._lock.release()

    def check(self) -> None:
        """Raise `OSError` if the lock was deleted, so that others may write, too."""
        try:
            check_same(self._path, self._opened)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                errno.ENOENT, f"its {LOCK} was deleted or replaced", str(self._path)
            ) from error

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_left(self, record: Path) -> None:
        """Refuse the signature of a live process, or of one on another host.

        The lock of another host may not be visible here.
        """
        left = self._left()
        host = left.get("host", platform.node())
        if host == platform.node() and _lives(left):
            raise RecordInUse(f"{record} is being written {self._whose()}")
        if host != platform.node():
            raise RecordInUse(
                f"{record} is being written {self._whose()}, or was when that host was "
                f"switched off: if nobody writes it any more, delete {self._writer}"
            )

    def _whose(self) -> str:
        left = self._left()
        if not left:
            return "by another program"
        return f"by process {left['process']} on {left['host']} since {left['since']}"

    def _left(self) -> dict[str, str]:
        try:
            left = json.loads(self._writer.read_text(encoding="utf-8"))
            signed = {name: str(left[name]) for name in ("host", "process", "since")}
            # Older versions did not store their start time.
            return {**signed, "began": str(left.get("began", ""))}
        # No signature, or an incomplete one: its writer has just started, or was killed
        # then.
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def _sign(self) -> bytes:
        signed = {
            "host": platform.node(),
            "process": os.getpid(),
            "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
            "began": psutil.Process().create_time(),
        }
        content = json.dumps(signed).encode() + b"\n"
        self._writer.write_bytes(content)
        return content


def _lives(signed: dict[str, str]) -> bool:
    """Return whether the process that signed is alive, and its number not reused."""
    try:
        began = float(signed["began"])
        found = float(psutil.Process(int(signed["process"])).create_time())
    except (KeyError, ValueError, OverflowError, psutil.Error):
        return False
    return abs(found - began) < _CLOCK_S
