"""Signal handling: blank the beam first, then end whatever is using it.

Ctrl+C, `kill`, a closed terminal and a shutdown are signals. What they order is done on
a thread of its own, woken by the system itself: the main thread may be waiting for an
instrument, or be in Qt's event loop, where Python hears no signal.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from napari_hae.instruments.broken_off import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType
    from typing import Any, Self

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
BY_SIGNAL = 128
"""Base of the exit code of a program ended by a signal, as in shells: the signal's
number is added."""
PATIENCE_S = 5.0
"""Longest time for blanking, in s, before the program ends without it."""
_TWICE_S = 1.0
"""Interval, in s, in which a repeated hang-up counts once: on closing a terminal both
the shell and the system send one."""
_HANG_UP = getattr(signal, "SIGHUP", None)
_OVER, _NOTED = 0, 128
"""Wake-up bytes: no further signals will come; a handler has noted a signal."""

_left_open: list[tuple[socket.socket, socket.socket]] = []

logger = logging.getLogger(__name__)


class SignalListener:
    """Listener for signals, active while entered; used on the main thread.

    The first signal ends the current work, which blanks the beam before anything
    else. A second one only blanks, and ends the program at once. A signal that was
    ignored when the program began, as `nohup` has it for SIGHUP, stays ignored.

    Parameters
    ----------
    signals
        Signals to listen for.
    """

    current: ClassVar[SignalListener | None] = None
    """The active listener of this program; there is at most one."""

    def __init__(self, signals: Iterable[signal.Signals] = SIGNALS) -> None:
        self.received: signal.Signals | None = None
        """First signal received; None before any."""
        self._signals = tuple(signals)
        self._lock = threading.RLock()
        self._end: Callable[[str], None] | None = None
        self._blank: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._since_s = 0.0

    def __enter__(self) -> Self:
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        for number in self._signals:
            before = signal.getsignal(number)
            if number is not _HANG_UP or before is not signal.SIG_IGN:
                self._before[number] = before
        self._fd_before = signal.set_wakeup_fd(-1)
        self.listen()
        self._listener = threading.Thread(
            target=self._listen, name="napari-hae-signals", daemon=True
        )
        self._listener.start()
        SignalListener.current = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        SignalListener.current = None
        # Whoever took the signals over since, and goes on, keeps them.
        woken = signal.set_wakeup_fd(-1)
        is_ours = woken == self._mouth.fileno()
        signal.set_wakeup_fd(self._fd_before if is_ours else woken)
        for number, before in self._before.items():
            if signal.getsignal(number) == self._note:
                signal.signal(number, before)
        self._tell(_OVER)
        self._listener.join(PATIENCE_S)
        if is_ours:
            self._mouth.close()
            self._ear.close()
        else:
            # They will have the system tell it again when they are done.
            _left_open.append((self._mouth, self._ear))

    def listen(self) -> None:
        """Receive signals here, even if another library took over their handlers."""
        signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)
        for number in self._before:
            signal.signal(number, self._note)

    def reach(self, end: Callable[[str], None], blank: Callable[[], None]) -> None:
        """Let signals end the current work from now on; apply one already received.

        Parameters
        ----------
        end
            Takes the signal's name, blanks at once and starts ending the rest; may be
            called on any thread.
        blank
            Blanks, and no more.
        """
        with self._lock:
            self._end, self._blank = end, blank
            received = self.received
        if received is not None:
            end(received.name)

    def _note(self, number: int, _: FrameType | None) -> None:
        """Notify the listening thread, not woken if others took over the wake-up."""
        self._tell(_NOTED + number)

    def _tell(self, byte: int) -> None:
        with suppress(BlockingIOError):
            self._mouth.send(bytes([byte]))

    def _listen(self) -> None:
        woken, noted = Counter[int](), Counter[int]()
        while True:
            for byte in self._ear.recv(64):
                if byte == _OVER:
                    return
                # Each signal comes by both ways, or by one of them.
                by_note, number = divmod(byte, _NOTED)
                one, other = (noted, woken) if by_note else (woken, noted)
                one[number] += 1
                if number in self._before and one[number] > other[number]:
                    self._hear(signal.Signals(number))

    def _hear(self, number: signal.Signals) -> None:
        with self._lock:
            is_first = self.received is None
            if is_first:
                self.received, self._since_s = number, time.monotonic()
            end, blank = self._end, self._blank
        if is_first:
            if end is not None:
                on_a_thread(partial(end, number.name))
        elif number is not _HANG_UP or time.monotonic() - self._since_s > _TWICE_S:
            _leave(blank, BY_SIGNAL + number)


def on_a_thread(act: Callable[[], None]) -> threading.Thread:
    """Run a function that may hang or fail on a thread of its own."""

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
    """Blank, and end the program without any further clean-up."""
    if blank is not None:
        blanking = on_a_thread(blank)
        blanking.join(PATIENCE_S)
        if blanking.is_alive():
            logger.critical(
                "the instrument does not answer for %g s: blank the beam by hand",
                PATIENCE_S,
            )
    os._exit(code)
