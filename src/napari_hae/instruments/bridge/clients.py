"""Who is connected to the server, and over which connections."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_hae.instruments.base import Capabilities


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
        Who it is, in words.
    heard_s
        When it was heard last, on the clock `time.monotonic`.
    told
        The capabilities that it knows of.
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
        """Close its connections, whatever runs over them."""
        for connection in self.connections:
            connection.close()


class Clients:
    """All clients; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_session: dict[str, Client] = {}

    def admit(self, connection: Any, session: str, identity: str, name: str) -> None:
        """Take in a connection, of a new client or of one that is there."""
        with self._lock:
            client = self._by_session.get(session)
            if client is None:
                client = self._by_session[session] = Client(session, identity, name)
            client.connections.append(connection)

    def of(self, connection: Any) -> Client | None:
        """Whose connection this is; None if the client was let go."""
        with self._lock:
            clients = self._by_session.values()
            return next((c for c in clients if connection in c.connections), None)

    def all(self) -> tuple[Client, ...]:
        """Everybody who is connected."""
        with self._lock:
            return tuple(self._by_session.values())

    def forget(self, client: Client) -> bool:
        """Let go of a client; False if that was done before."""
        with self._lock:
            return self._by_session.pop(client.session, None) is not None
