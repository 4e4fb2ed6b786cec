"""The connections of a remote instrument to its server, with readable errors.

A connection carries one call at a time, so that each call under way has one of its own:
an abort must not wait for what another call asked of the microscope.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import InstrumentError, NotConnected
from napari_hae.instruments.bridge import PROTOCOL, admission
from napari_hae.instruments.bridge.admission import Caller, NoAdmission, Proofs, Refused
from napari_hae.instruments.bridge.channel import (
    MOST_BODY,
    MOST_REPLY,
    Channel,
    ChannelClosed,
    close,
)
from napari_hae.instruments.bridge.wire import (
    call_bytes,
    msgpack,
    reply_in,
    unpacked,
    unpacked_error,
)
from napari_hae.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import dataclass

    from napari_hae.instruments.base import Status
else:
    from dataclasses import dataclass


class LineCut(NotConnected):
    """The line to the server failed; the call that it carried is lost."""


@dataclass(frozen=True)
class Reply:
    """Answer of the server.

    Attributes
    ----------
    reading
        The number of the reading of `status`; higher is later.
    error
        Error that the call raised there; None if it raised none.
    """

    value: Any
    status: Status
    reading: int
    error: InstrumentError | None


class Line:
    """One connection, for one call at a time, from any thread.

    Parameters
    ----------
    host, port
        Address on which the server listens.
    secret
        The token.
    session, identity
        The client that this connection belongs to, and its remote instrument.
    timeout_s
        Longest time for connecting.

    Raises
    ------
    LineCut
        If the server cannot be reached or does not admit this client.
    Unsupported
        If the extra `remote` is not installed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        secret: str,
        session: str,
        identity: str,
        timeout_s: float,
    ) -> None:
        msgpack()
        self._where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._timeout_s = timeout_s
        caller = Caller(session, identity, _own_name())
        try:
            self._channel = _opened(host, port, secret, caller, timeout_s)
        except (NoAdmission, OSError, ChannelClosed) as error:
            raise LineCut(self._why_not(error)) from error
        self._is_cut = False

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Reply:
        """Call a method of the server.

        Raises
        ------
        LineCut
            If no answer comes in time, or the line is closed.
        InstrumentError
            If what is to be sent is larger than the server takes.
        """
        head, body = call_bytes(method, arguments)
        if len(body) > MOST_BODY:
            raise InstrumentError(
                f"regions of {len(body) / 1e6:.3g} MB are too large to be sent, at "
                f"most {MOST_BODY / 1e6:.3g} MB: draw fewer, or with larger pixels"
            )
        if self._is_cut:
            raise LineCut(f"the line to the server at {self._where} is closed")
        try:
            self._channel.settimeout(timeout_s)
            self._channel.send(head, body)
            reply = reply_in(self._channel.receive(MOST_REPLY)[0])
            error = unpacked_error(reply["error"]) if "error" in reply else None
            value = unpacked(reply.get("value"))
            return Reply(value, unpacked(reply["status"]), reply["reading"], error)
        except TimeoutError as error:
            text = f"the server at {self._where} does not answer within {timeout_s:g} s"
            raise self._closed(f"{text}: the line may be cut") from error
        except (ChannelClosed, OSError) as error:
            text = f"the line to the server at {self._where} is closed"
            raise self._closed(
                f"{text}: the server ended, or let go of this client: {error}"
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise self._closed(
                f"what the server at {self._where} answers cannot be read: {error}"
            ) from error

    def cut(self) -> None:
        """Close the line at once; a call that waits for its answer ends."""
        self._is_cut = True
        self._channel.close()

    def _closed(self, why: str) -> LineCut:
        """Close the line: a late answer must not be taken for that of the next call."""
        self.cut()
        return LineCut(why)

    def _why_not(self, error: Exception) -> str:
        """Return why there is no connection, and the remedy."""
        if isinstance(error, Refused):
            return f"the server at {self._where} refused: {error}"
        if isinstance(error, _OtherVersion):
            return f"the server at {self._where} cannot be used: {error}"
        if isinstance(error, NoAdmission):
            return (
                f"what answers at {self._where} is no napari-hae server with this "
                f"token ({error}): look at the port"
            )
        if isinstance(error, ConnectionRefusedError):
            return (
                f"nothing listens at {self._where}: start napari-hae serve on the "
                "microscope's PC, and look at host, port and SSH tunnel"
            )
        if isinstance(error, TimeoutError):
            return (
                f"{self._where} does not answer within {self._timeout_s:g} s: look at "
                "host, port and network, and whether napari-hae serve runs there"
            )
        if isinstance(error, (ChannelClosed, ConnectionError)):
            return (
                f"{self._where} closes the line at once: no napari-hae server is "
                "behind it, or one of version 0.1; if this is an SSH tunnel, start "
                "napari-hae serve at its end, the same version as here"
            )
        return f"{self._where} cannot be reached: {error}"


class _OtherVersion(NoAdmission):
    """The server speaks another version of the protocol."""


def _opened(
    host: str, port: int, token: str, caller: Caller, timeout_s: float
) -> Channel:
    """Connect, and prove to each other that both know the token.

    Raises `NoAdmission`, `ChannelClosed` and `OSError`.
    """
    until_s = time.monotonic() + timeout_s
    sock = socket.create_connection((host, port), timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        own = admission.nonce_and(__version__)
        _say(sock, own)
        theirs = _heard(sock, until_s)
        version = admission.version_in(theirs.payload)
        if theirs.protocol != PROTOCOL:
            raise _OtherVersion(
                admission.other_version(version, theirs.protocol, __version__, PROTOCOL)
            )
        proofs = Proofs(token, PROTOCOL, own, theirs.payload)
        who = caller.to_bytes()
        _say(sock, proofs.of_client(who) + who)
        admission.check_admitted(_heard(sock, until_s).payload, proofs)
    except BaseException:
        close(sock)
        raise
    from_client, from_server = proofs.keys()
    return Channel(sock, sends=from_client, receives=from_server)


def _say(sock: socket.socket, payload: bytes) -> None:
    sock.sendall(admission.Message(PROTOCOL, payload).to_bytes())


def _heard(sock: socket.socket, until_s: float) -> admission.Message:
    """Return the next message, received as a whole within the time."""
    received = bytearray()
    while missing := admission.missing(received):
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        if not (more := sock.recv(missing)):
            raise ChannelClosed("the other side has closed the line")
        received += more
    return admission.message(received)


class Lines:
    """Lines of one client, as many as there are simultaneous calls.

    Parameters
    ----------
    open_line
        Opens one more.
    ready
        Number of lines to open now, so that the first calls need not wait for that.

    Raises
    ------
    InstrumentError
        What `open_line` raises.
    """

    def __init__(self, open_line: Callable[[], Line], ready: int) -> None:
        self._open_line = open_line
        self._lock = threading.Lock()
        self._all: list[Line] = []
        self._free: list[Line] = []
        self._is_cut = False
        try:
            for _ in range(ready):
                self._free.append(self._opened())
        except InstrumentError:
            self.cut()
            raise

    @contextmanager
    def free(self) -> Iterator[Line]:
        """Return an unused line; open a new one if all are in use.

        Raises
        ------
        LineCut
            If the lines were cut, or no more can be opened.
        """
        with self._lock:
            line = self._free.pop() if self._free else None
        if line is None:
            line = self._opened()
        try:
            yield line
        finally:
            with self._lock:
                self._free.append(line)

    def cut(self) -> None:
        """Close all lines at once, for good."""
        with self._lock:
            self._is_cut = True
            lines = tuple(self._all)
        for line in lines:
            line.cut()

    def _opened(self) -> Line:
        if self._is_cut:
            raise LineCut("the line to the server is closed")
        line = self._open_line()
        with self._lock:
            self._all.append(line)
            is_cut = self._is_cut
        if is_cut:
            # Cut while the line was being opened.
            line.cut()
        return line


def _own_name() -> str:
    """Return this client's name for others: user, computer and process."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
