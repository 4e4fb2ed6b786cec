"""Ends a command that holds a beam when the system says so: the beam is blanked first.

Ctrl+C, `kill`, a closed terminal and a shutdown are signals. What they order is done on
a thread of its own, woken by the system itself: the main thread may be waiting for an
instrument, or be in Qt's event loop, where Python hears no signal.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from napari_hae.cli.exit_codes import BY_SIGNAL
from napari_hae.instruments.broken_off import told

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
PATIENCE_S = 5.0
"""So long may blanking take before the program ends without it."""
_TWICE_S = 1.0
"""A terminal that is closed tells so twice: its shell does, and the system."""
_HANG_UP = getattr(signal, "SIGHUP", None)

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal came before there was a run that it could have ended."""


class Stopping:
    """Listens for signals while it is entered; used on the main thread.

    The first signal calls what ends the command, which blanks the beam before all else.
    A second one only blanks, and ends the program at once. A signal that was ignored
    when the program began, as `nohup` has it for SIGHUP, stays ignored.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The first signal; None while there was none."""
        self._lock = threading.RLock()
        self._end: Callable[[str], None] | None = None
        self._blank: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._since_s = 0.0

    def __enter__(self) -> Stopping:
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        for number in SIGNALS:
            before = signal.getsignal(number)
            if number is not _HANG_UP or before is not signal.SIG_IGN:
                self._before[number] = before
        self._fd_before = signal.set_wakeup_fd(-1)
        self.listen()
        self._listener = threading.Thread(
            target=self._listen, name="napari-hae-signals", daemon=True
        )
        self._listener.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._fd_before)
        for number, before in self._before.items():
            signal.signal(number, before)
        # 0 is no signal: nothing more will come.
        with suppress(BlockingIOError):
            self._mouth.send(b"\0")
        self._listener.join(PATIENCE_S)
        self._mouth.close()
        self._ear.close()

    def listen(self) -> None:
        """Have the signals told here, also where another library took them over."""
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in self._before:
            signal.signal(number, self._note)

    def reach(self, end: Callable[[str], None], blank: Callable[[], None]) -> None:
        """Let a signal end what goes on from now on; one that came does so now.

        Parameters
        ----------
        end
            Given the signal's name, blanks at once and has the rest ended; may be
            called on any thread.
        blank
            Blanks, and no more.
        """
        with self._lock:
            self._end, self._blank = end, blank
            received = self.received
        if received is not None:
            end(received.name)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.received is not None:
            raise Interrupted(f"interrupted by {self.received.name}")

    def run(self, command: Callable[[], int]) -> int:
        """Run a command to its end; returns its exit code, or that of the signal."""
        try:
            code = command()
        except Exception as error:
            if self.received is None:
                raise
            logger.debug("interrupted", exc_info=True)
            # The terminal may be closed.
            with suppress(OSError):
                print(f"napari-hae: {error}", file=sys.stderr)
            code = 0
        if self.received is None:
            return code
        return BY_SIGNAL + self.received

    def _note(self, number: int, _: FrameType | None) -> None:
        """Do nothing: the thread that listens has been told already."""

    def _listen(self) -> None:
        while True:
            for number in self._ear.recv(64):
                if not number:
                    return
                if number in SIGNALS:
                    self._hear(signal.Signals(number))

    def _hear(self, number: signal.Signals) -> None:
        with self._lock:
            is_first = self.received is None
            if is_first:
                self.received, self._since_s = number, time.monotonic()
            end, blank = self._end, self._blank
        if is_first:
            if end is not None:
                _on_a_thread(partial(end, number.name))
        elif number is not _HANG_UP or time.monotonic() - self._since_s > _TWICE_S:
            _leave(blank, BY_SIGNAL + number)


def _on_a_thread(act: Callable[[], None]) -> threading.Thread:
    """Do something that may hang, or fail."""

    def work() -> None:
        try:
            act()
        # An instrument may raise what would end the thread without a word.
        except BaseException as error:
            logger.critical("%s", told(error))

    thread = threading.Thread(target=work, name="napari-hae-ending", daemon=True)
    thread.start()
    return thread


def _leave(blank: Callable[[], None] | None, code: int) -> None:
    """Blank, and end the program without anything else."""
    if blank is not None:
        blanking = _on_a_thread(blank)
        blanking.join(PATIENCE_S)
        if blanking.is_alive():
            logger.critical(
                "the instrument does not answer for %g s: blank the beam by hand",
                PATIENCE_S,
            )
    os._exit(code)
