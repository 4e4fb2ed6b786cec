"""A server that offers one microscope."""

from __future__ import annotations

import ipaddress
import logging
from functools import partial
from typing import TYPE_CHECKING

from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.bridge.clients import Client, Clients
from napari_hae.instruments.bridge.connection import Connection
from napari_hae.instruments.bridge.door import Door
from napari_hae.instruments.bridge.ownership import Ownership
from napari_hae.instruments.bridge.served import ServedInstrument
from napari_hae.instruments.bridge.service import Service
from napari_hae.instruments.bridge.watchdog import Watchdog
from napari_hae.instruments.bridge.wire import msgpack

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from napari_hae.instruments.base import Instrument
    from napari_hae.instruments.bridge.admission import Caller, Proofs

logger = logging.getLogger(__name__)


class Server:
    """Server for the plugin that guards the microscope whatever the plugin does.

    Parameters
    ----------
    make
        Makes the bare instrument; each owner gets one of its own.
    title
        Name of the instrument.
    host, port
        Address to listen on; port 0 takes a free one.
    secret
        The token that clients must know.
    watchdog_s
        Longest silence of a client before the beam is blanked.
    """

    def __init__(
        self,
        make: Callable[[], Instrument],
        title: str,
        host: str,
        port: int,
        secret: str,
        watchdog_s: float,
    ) -> None:
        msgpack()
        self._make = make
        self._watchdog_s = watchdog_s
        self._newest: ServedInstrument | None = None
        self._clients = Clients()
        self._ownership = Ownership(self._guarded)
        self._service = Service(self._ownership, self._clients, title, watchdog_s)
        try:
            self._door = Door(host, port, secret, self._admit)
        except OSError as error:
            raise OSError(f"{host}:{port} cannot be listened at: {error}") from error
        self._watchdog = Watchdog(self._clients, watchdog_s, self._on_silent)

    @property
    def address(self) -> str:
        """Address on which it listens, as `host:port`."""
        return self._door.address

    def start(self) -> None:
        """Try the microscope once, then listen.

        Raises
        ------
        InstrumentError
            If the microscope cannot be connected or blanked.
        """
        gate = self._guarded()
        try:
            gate.connect()
            gate.disconnect()
        except InstrumentError:
            self._door.close()
            raise
        self._watchdog.start()
        self._door.open()

    def stop(self) -> None:
        """Drop every client, blank and disconnect, and stop listening."""
        self._door.close()
        for client in self._clients.all():
            self._clients.forget(client)
            self._ownership.let_go(client, "the server ends")
            client.hang_up()
        self._watchdog.stop()

    def _admit(
        self, sock: socket.socket, caller: Caller, proofs: Proofs, address: str
    ) -> Callable[[], None]:
        connection = Connection(sock, proofs, self._service)
        client = self._clients.admit(connection, caller, address)
        return partial(connection.start, client)

    def abort(self) -> None:
        """Blank at once, whoever has the microscope, and end what is running.

        Raises what the instrument raises, and `BlankingFailed`.
        """
        if self._newest is not None:
            self._newest.abort()

    def _guarded(self) -> ServedInstrument:
        # One at a time is connected, by one owner or when the server starts.
        self._newest = ServedInstrument(self._make())
        return self._newest

    def _on_silent(self, client: Client) -> None:
        self._service.end(client, f"nothing was heard for {self._watchdog_s:g} s")


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable only from programs on the same PC."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
