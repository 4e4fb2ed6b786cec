"""One writer for each record: a lock of the system, and who holds it in words."""

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
"""By how much the clock may be set while a process is known by when it began."""


class RecordInUse(ValueError):
    """Another program, or another part of this one, writes the record."""


class WriterLock:
    """Holds a record for writing until it is closed; who only reads needs none.

    The system lets go of the lock when its process ends, however it ends. Its file may
    be deleted meanwhile, and then two could have one each: so a process that signed and
    still lives is believed, and who writes checks before each commit. What is left of a
    writer on another host is believed, as no one here can tell whether it still writes.

    Raises
    ------
    RecordInUse
        If somebody else writes the record; the text says who, and since when.
    NotARecord
        If there are links, pipes or devices in the record, hard links included;
        nothing was written.
    OSError
        If the lock cannot be made, as in a folder that is read-only.
    """

    def __init__(self, record: Path) -> None:
        check_plain(record, is_written=True)
        self._path, self._writer = record / LOCK, record / WRITER
        # Who closes a record may be on another thread than who opened it.
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
        """Let the next writer have it; a second call does nothing."""
        if self._lock.is_locked:
            # Where the lock was deleted, another writer may have signed since.
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
        """Refuse what is signed by a process that lives, or may on another host.

        Such a host's lock may not reach this one.
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
            # Older programs did not tell when they began.
            return {**signed, "began": str(left.get("began", ""))}
        # None yet, or half of it: its writer has just begun, or was killed then.
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
    """Whether the process that signed still runs, and not another of its number."""
    try:
        began = float(signed["began"])
        found = float(psutil.Process(int(signed["process"])).create_time())
    except (KeyError, ValueError, OverflowError, psutil.Error):
        return False
    return abs(found - began) < _CLOCK_S
