"""Clients of the server, and the connections of each."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.bridge.admission import Refused

if TYPE_CHECKING:
    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.bridge.admission import Caller

MOST_CLIENTS, MOST_CONNECTIONS = 8, 16
"""Limits on clients, and on connections of one client: each costs a thread."""


@dataclass(eq=False)
class Client:
    """A remote instrument that is connected.

    Attributes
    ----------
    session
        The same for all its connections, and no other client's.
    identity
        The same when that instrument connects again.
    name
        Its name, for messages.
    heard_s
        Time of its last sign of life, on the clock `time.monotonic`.
    told
        The capabilities that were sent to it.
    """

    session: str
    identity: str
    name: str
    heard_s: float = field(default_factory=time.monotonic)
    connections: list[Any] = field(default_factory=list)
    told: Capabilities | None = None

    def hear(self) -> None:
        """Note that it is alive."""
        self.heard_s = time.monotonic()

    def hang_up(self) -> None:
        """Close its connections, even with calls under way."""
        for connection in self.connections:
            connection.close()


class Clients:
    """All clients; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_session: dict[str, Client] = {}

    def admit(self, connection: Any, caller: Caller, address: str) -> Client:
        """Accept a connection, of a new client or of a known one.

        Raises
        ------
        Refused
            If there are too many.
        """
        with self._lock:
            client = self._by_session.get(caller.session)
            if client is None:
                if len(self._by_session) >= MOST_CLIENTS:
                    raise Refused(
                        f"{MOST_CLIENTS} clients are connected, and no more are "
                        "admitted: try again when one has gone",
                        "too many clients",
                    )
                name = f"{caller.name}, {address}"
                client = Client(caller.session, caller.identity, name)
                self._by_session[caller.session] = client
            if len(client.connections) >= MOST_CONNECTIONS:
                raise Refused(
                    f"this client has {MOST_CONNECTIONS} connections, and gets no more",
                    "too many connections of one client",
                )
            client.connections.append(connection)
            return client

    def holds(self, client: Client) -> bool:
        """Return whether a client is connected and has not been dropped."""
        with self._lock:
            return self._by_session.get(client.session) is client

    def all(self) -> tuple[Client, ...]:
        """Return all connected clients."""
        with self._lock:
            return tuple(self._by_session.values())

    def forget(self, client: Client) -> bool:
        """Drop a client; return False if it was dropped before."""
        with self._lock:
            return self._by_session.pop(client.session, None) is not None
