"""Shutdown of all windows' beams when the system ends the program.

napari itself exits at a signal without notice, and receives Ctrl+C only while the
window is otherwise idle.
"""

from __future__ import annotations

import signal
import threading
from functools import cache, partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt, QThread, QTimer, Signal

from napari_hae.signal_listener import SIGNALS, SignalListener, on_a_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.gui.session import Session

_AGAIN_MS = 50


class SystemSignals(QObject):
    """Signal handling while a window has an instrument; used on Qt's main thread.

    The first signal aborts in every window, lets the runs write their end, disconnects,
    and then has its original effect. Where the command line handles signals already,
    its handler calls the functions here.
    """

    _ended = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._held: list[Session] = []
        self._listener: SignalListener | None = None
        self._is_in_loop = False
        """True if the handler was installed after the event loop had started."""
        self._ended.connect(self._on_ended, Qt.ConnectionType.QueuedConnection)

    def hold(self, session: Session) -> None:
        """Handle signals from now on: a window connects an instrument."""
        if session not in self._held:
            self._held.append(session)
        self._begin()

    def release(self, session: Session) -> None:
        """Stop handling signals if this was the last window with an instrument."""
        if session in self._held:
            self._held.remove(session)
        if not self._held:
            self._stop()

    def interrupt(self, by: str) -> None:
        """Abort in every window, and wait for it; on any thread.

        Parameters
        ----------
        by
            The name of the signal, for the records.
        """
        _in_each(self._held, lambda session: session.interrupt(by))

    def blank(self) -> None:
        """Blank in every window, and wait for it; on any thread."""
        _in_each(self._held, lambda session: session.blank())

    def _begin(self) -> None:
        """Install the handler; again in the event loop, when napari takes signals over.

        The last handler installed is called first, and passes signals on to the one
        before.
        """
        if not self._held or self._is_in_loop:
            return
        thread = QThread.currentThread()
        self._is_in_loop = thread is not None and thread.loopLevel() > 0
        if self._is_in_loop or self._listener is None:
            self._stop_listener()
            self._start_listener()
        if not self._is_in_loop:
            QTimer.singleShot(_AGAIN_MS, self._begin)

    def _start_listener(self) -> None:
        # Python receives signals on its own main thread only.
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and SignalListener.current is None:
            self._listener = SignalListener(_ending()).__enter__()
            self._listener.reach(self._end, self.blank)

    def _stop(self) -> None:
        self._is_in_loop = False
        self._stop_listener()

    def _stop_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.__exit__(None, None, None)

    def _end(self, by: str) -> None:
        try:
            _in_each(self._held, partial(_let_go, by=by))
        finally:
            self._ended.emit(signal.Signals[by])

    def _on_ended(self, number: int) -> None:
        sessions, self._held = self._held, []
        for session in sessions:
            # A run that was about to begin when the signal came.
            if (runner := session.runner) is not None:
                runner.interrupt(signal.Signals(number).name)
                runner.wait()
            session.unsaved.close(session.runner)
            session.connection.forget()
        self._stop()
        signal.raise_signal(number)


@cache
def system_signals() -> SystemSignals:
    """Return the signal handling of this program."""
    return SystemSignals()


def _ending() -> list[signal.Signals]:
    """Return the signals that end this program, by default or by a handler of its own.

    Ctrl+C is one where napari's own event loop handles it. In a console and in a
    notebook it interrupts the user's input there.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    return [
        number
        for number, handler in handlers.items()
        if handler not in (None, signal.SIG_IGN)
        and (number != signal.SIGINT or _is_of_napari(handler))
    ]


def _is_of_napari(handler: object) -> bool:
    return getattr(handler, "__module__", "").partition(".")[0] == "napari"


def _let_go(session: Session, by: str) -> None:
    """Abort, wait until the run has ended, and release the instrument."""
    runner = session.runner
    try:
        session.interrupt(by)
    finally:
        if runner is not None:
            runner.wait()
        session.connection.let_go()


def _in_each(sessions: list[Session], act: Callable[[Session], None]) -> None:
    """Run an action in each, in parallel: one that hangs must not delay the others."""
    for thread in [on_a_thread(partial(act, each)) for each in list(sessions)]:
        thread.join()
