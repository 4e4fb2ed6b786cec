"""The connections of a remote instrument to its server, with failures in words.

A connection carries one call at a time, so that each call under way has one of its own:
an abort must not wait for what another call asked of the microscope.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari_hae import __version__
from napari_hae.instruments.base import InstrumentError, NotConnected
from napari_hae.instruments.bridge import OBJECT, PROTOCOL
from napari_hae.instruments.bridge.pyro import SERIALIZER, pyro, pyro_errors
from napari_hae.instruments.bridge.wire import packed, unpacked, unpacked_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from dataclasses import dataclass

    from napari_hae.instruments.base import Status
else:
    from dataclasses import dataclass


class LineCut(NotConnected):
    """The line to the server failed; what it carried is lost."""


@dataclass(frozen=True)
class Reply:
    """What the server answered.

    Attributes
    ----------
    reading
        The number of the reading of `status`; higher is later.
    error
        What the call raised there; None where it did not.
    """

    value: Any
    status: Status
    reading: int
    error: InstrumentError | None


class Line:
    """One connection, for one call at a time, from whatever thread.

    Parameters
    ----------
    host, port
        Where the server listens.
    secret
        The token.
    session, identity
        Which client this is a connection of, and which remote instrument.
    timeout_s
        How long connecting may take.

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
        self._where = f"{host}:{port}"
        in_url = f"[{host}]" if ":" in host else host
        self._proxy = pyro().Proxy(f"PYRO:{OBJECT}@{in_url}:{port}")
        self._proxy._pyroSerializer = SERIALIZER
        self._proxy._pyroTimeout = timeout_s
        self._proxy._pyroHandshake = {
            "token": secret,
            "protocol": PROTOCOL,
            "version": __version__,
            "session": session,
            "identity": identity,
            "name": _own_name(),
        }
        try:
            self._proxy._pyroBind()
        except Exception as error:
            raise LineCut(self._why_not(error, timeout_s)) from error
        self._socket = self._proxy._pyroConnection.sock

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Reply:
        """Call a method of the server.

        Raises
        ------
        LineCut
            If no answer comes in time, or the line is closed.
        """
        proxy = self._proxy
        # To Pyro it belongs to the thread that called last.
        proxy._pyroClaimOwnership()
        if proxy._pyroConnection is None:
            # Pyro would connect anew by itself, as a client that nobody knows.
            raise LineCut(f"the line to the server at {self._where} is closed")
        try:
            proxy._pyroTimeout = timeout_s
            reply = proxy._pyroInvoke(method, [packed(each) for each in arguments], {})
            error = unpacked_error(reply["error"]) if "error" in reply else None
            value = unpacked(reply.get("value"))
            return Reply(value, unpacked(reply["status"]), reply["reading"], error)
        except pyro_errors().TimeoutError as error:
            text = f"the server at {self._where} does not answer within {timeout_s:g} s"
            raise LineCut(f"{text}: the line may be cut") from error
        except (pyro_errors().PyroError, OSError) as error:
            text = f"the line to the server at {self._where} is closed"
            raise LineCut(
                f"{text}: the server ended, or let go of this client: {error}"
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            raise LineCut(
                f"what the server at {self._where} answers cannot be read: {error}"
            ) from error

    def cut(self) -> None:
        """Close the line at once; a call that waits for its answer ends."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def _why_not(self, error: Exception, timeout_s: float) -> str:
        """Why there is no connection, and what to do."""
        errors, text = pyro_errors(), str(error)
        _, rejected, reason = text.partition("rejected: ")
        if rejected and "unknown object" not in reason:
            return f"the server at {self._where} refused: {reason}"
        cause = error.__cause__ or error
        if isinstance(cause, ConnectionRefusedError):
            return (
                f"nothing listens at {self._where}: start napari-hae serve on the "
                "microscope's PC, and look at host, port and SSH tunnel"
            )
        if isinstance(cause, (TimeoutError, errors.TimeoutError)):
            return (
                f"{self._where} does not answer within {timeout_s:g} s: look at host, "
                "port and network, and whether napari-hae serve runs there"
            )
        if isinstance(cause, errors.ConnectionClosedError):
            return (
                f"{self._where} closes the line at once: no napari-hae server is "
                "behind it; if this is an SSH tunnel, start napari-hae serve at its end"
            )
        if rejected or isinstance(cause, errors.ProtocolError):
            return (
                f"what answers at {self._where} is no napari-hae server: look at the "
                "port"
            )
        return f"{self._where} cannot be reached: {cause}"


class Lines:
    """As many lines of one client as there are calls at once.

    Parameters
    ----------
    open_line
        Opens one more.
    ready
        How many to open now, so that the first calls need not wait for that.

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
        """A line that no other call uses; a new one where all are in use.

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
            # While it was being opened.
            line.cut()
        return line


def _own_name() -> str:
    """Who this is, for the others: user, computer and process."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
