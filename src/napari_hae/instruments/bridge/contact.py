"""Contact of a remote instrument with its server, and the thread that maintains it.

That thread sends new regions and dose limits, and the sign of life that the server's
watchdog waits for. No call waits for the answer to another one, so that abort and blank
reach the server whatever it is busy with.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    InstrumentError,
    Status,
)
from napari_hae.instruments.bridge.line import Line, LineCut, Lines
from napari_hae.types import BeamState

if TYPE_CHECKING:
    from napari_hae.instruments.bridge.line import Reply
    from napari_hae.instruments.bridge.orders import Orders
    from napari_hae.instruments.bridge.settings import RemoteSettings

logger = logging.getLogger(__name__)

_USUAL_LINES = 3
"""Lines opened at first: for a move or an acquisition, for orders and signs of life,
and for an abort."""


class Contact:
    """Contact of a remote instrument with its server; one for each connection.

    Parameters
    ----------
    identity
        Identity of this remote instrument: the server lets it take over from itself.
    orders
        Orders for the server's gate.

    Raises
    ------
    NotConnected
        If the server cannot be reached or does not let this client in.
    ValueError
        If there is no token.
    """

    def __init__(self, settings: RemoteSettings, identity: str, orders: Orders) -> None:
        self._settings = settings
        self._orders = orders
        self._latest = threading.Lock()
        self._reading = 0
        self._status = Status(False, BeamState.UNVERIFIED, None)
        self._heard_s = time.monotonic()
        self._due_s = math.inf
        self._is_overdue = False
        self._is_over = threading.Event()
        self._why_over = ""
        self._lines = self._opened(identity)
        self.about: dict[str, Any] = json.loads(self.urgently("hello"))
        """The server's own description: title, version, watchdog_s, owner."""
        self._thread = threading.Thread(
            target=self._keep, name="napari-hae-remote", daemon=True
        )
        self._thread.start()

    @property
    def is_over(self) -> bool:
        """True if the line was cut or closed."""
        return self._is_over.is_set()

    @property
    def why_over(self) -> str:
        """Reason why the line was cut."""
        return self._why_over

    @property
    def status(self) -> Status:
        """Latest state received; unverified if it is too old."""
        with self._latest:
            status, heard_s = self._status, self._heard_s
        silent_s = time.monotonic() - heard_s
        if self.is_over or silent_s > self.about["watchdog_s"]:
            return Status(
                not self.is_over, BeamState.UNVERIFIED, status.position, status.busy
            )
        return status

    def work(self, method: str, *arguments: Any, takes_s: float = 0.0) -> Any:
        """Move the beam or acquire, once the server has obeyed all orders.

        Raises
        ------
        AcquisitionTimeout
            If it takes much longer than `takes_s`; it is aborted then.
        InstrumentError
            What the server raises, and `NotConnected` if the line is cut.
        """
        number = self._orders.settled(self._settings.line_timeout_s)
        return self._slowly(method, number, *arguments, takes_s=takes_s)

    def claim(self) -> Any:
        """Take the microscope; return its capabilities. Raises like `work`."""
        able = self._slowly("claim", takes_s=0.0)
        self._orders.begin()
        return able

    def urgently(self, method: str, *arguments: Any) -> Any:
        """Make an urgent call to the server. Raises like `work`."""
        timeout_s = self._settings.line_timeout_s
        return self._call(method, *arguments, timeout_s=timeout_s)

    def release(self) -> Status:
        """Give the microscope back, and end; return its final state.

        Raises
        ------
        LineCut
            If the server cannot be told.
        """
        timeout_s = self._settings.reply_timeout_s
        try:
            self._call("release", timeout_s=timeout_s)
            return self._status
        finally:
            self.end("disconnected")

    def end(self, why: str) -> None:
        """Close all lines at once; callers waiting for an answer get the reason."""
        if not self._is_over.is_set():
            self._why_over = why
            self._is_over.set()
        self._orders.close()
        self._lines.cut()

    def _opened(self, identity: str) -> Lines:
        settings, session = self._settings, uuid.uuid4().hex
        where = (settings.host, settings.port, settings.secret(), session, identity)
        return Lines(lambda: Line(*where, settings.connect_timeout_s), _USUAL_LINES)

    def _slowly(self, method: str, *arguments: Any, takes_s: float) -> Any:
        patience_s = takes_s + self._settings.reply_timeout_s
        self._is_overdue, self._due_s = False, time.monotonic() + patience_s
        # The thread below aborts what is overdue, and the answer to that comes here.
        longest_s = patience_s + 3 * self._settings.line_timeout_s
        try:
            return self._call(method, *arguments, timeout_s=longest_s)
        except Aborted as error:
            if self._is_overdue:
                raise AcquisitionTimeout(
                    f"the remote microscope did not deliver within {patience_s:g} s "
                    "and was aborted"
                ) from error
            raise
        finally:
            self._due_s = math.inf

    def _call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        try:
            with self._lines.free() as line:
                reply = line.call(method, *arguments, timeout_s=timeout_s)
        except LineCut as error:
            if not self.is_over:
                logger.warning("%s", error)
            self.end(str(error))
            raise LineCut(self._why_over) from error
        self._note(reply)
        if reply.error is not None:
            raise reply.error
        return reply.value

    def _note(self, reply: Reply) -> None:
        """Keep the newest state; answers on several lines may overtake each other."""
        with self._latest:
            self._heard_s = time.monotonic()
            if reply.reading > self._reading:
                self._reading, self._status = reply.reading, reply.status

    def _keep(self) -> None:
        beat_s = min(self.about["watchdog_s"] / 5, 1.0)
        while not self._is_over.is_set():
            left_s = max(self._due_s - time.monotonic(), 0.0)
            order = self._orders.next(min(beat_s, left_s))
            try:
                if order is not None:
                    self._orders.answered(order, self._refusal(order))
                else:
                    self.urgently("beat")
                if time.monotonic() > self._due_s:
                    self._is_overdue, self._due_s = True, math.inf
                    self.urgently("abort")
            except LineCut:
                return
            # Whatever the server answers, it has heard that this side is alive.
            except InstrumentError:
                logger.info("the sign of life was refused", exc_info=True)

    def _refusal(self, order: Any) -> InstrumentError | None:
        """Send an order; return the objection of the server or of the line."""
        try:
            self.urgently("obey", order.number, order.to_json())
        except LineCut:
            raise
        except InstrumentError as error:
            return error
        return None
