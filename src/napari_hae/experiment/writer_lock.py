"""One writer for each record: a lock of the system, and who holds it in words."""

from __future__ import annotations

import json
import os
import platform
from datetime import datetime
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

LOCK = "writer.lock"
WRITER = "writer.json"


class RecordInUse(ValueError):
    """Another program, or another part of this one, writes the record."""


class WriterLock:
    """Holds a record for writing until it is closed; who only reads needs none.

    The system lets go of the lock when its process ends, however it ends: so a number
    of a process that is used again does not matter. What is left of a writer on another
    host is believed, as no one here can tell whether it still writes.

    Raises
    ------
    RecordInUse
        If somebody else writes the record; the text says who, and since when.
    OSError
        If the lock cannot be made, as in a folder that is read-only.
    """

    def __init__(self, record: Path) -> None:
        self._writer = record / WRITER
        # Who closes a record may be on another thread than who opened it.
        self._lock = FileLock(record / LOCK, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RecordInUse(f"{record} is being written {self._whose()}") from error
        try:
            self._check_host(record)
            self._sign()
        except BaseException:
            self._lock.release()
            raise

    def close(self) -> None:
        """Let the next writer have it; a second call does nothing."""
        if self._lock.is_locked:
            self._writer.unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> WriterLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_host(self, record: Path) -> None:
        """Refuse what was left by another host: its lock may not reach this one."""
        host = self._left().get("host", platform.node())
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
            return {name: str(left[name]) for name in ("host", "process", "since")}
        # None yet, or half of it: its writer has just begun, or was killed then.
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _sign(self) -> None:
        signed = {
            "host": platform.node(),
            "process": os.getpid(),
            "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        }
        self._writer.write_text(json.dumps(signed) + "\n", encoding="utf-8")
