"""The door of the server: the token is asked for before anything else is heard."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from napari_hae import __version__
from napari_hae.instruments.bridge import PROTOCOL, token
from napari_hae.instruments.bridge.pyro import SERIALIZER, pyro

if TYPE_CHECKING:
    from napari_hae.instruments.bridge.clients import Clients
    from napari_hae.instruments.bridge.service import Service

logger = logging.getLogger(__name__)

_PATIENCE_S = 10.0
"""So long may a connection take to present its token."""


class Refused(Exception):
    """A connection is not admitted; the words reach the other side."""


class BridgeDaemon(pyro().Daemon):  # type: ignore[misc]
    """A Pyro daemon that admits who knows the token and speaks the same version."""

    def __init__(
        self, host: str, port: int, secret: str, clients: Clients, service: Service
    ) -> None:
        _admit_msgpack_only()
        pyro().config.COMMTIMEOUT = _PATIENCE_S
        super().__init__(host, port)
        self._secret = secret
        self._clients = clients
        self._service = service

    def validateHandshake(self, conn: Any, data: Any) -> str:
        """Admit a connection, or raise `Refused`."""
        presented = data if isinstance(data, dict) else {}
        address = "{}:{}".format(*conn.sock.getpeername()[:2])
        if not token.is_same(self._secret, presented.get("token")):
            logger.warning("refused a connection from %s: wrong token", address)
            raise Refused(
                "the token is wrong: enter the one that napari-hae serve uses"
            )
        if presented.get("protocol") != PROTOCOL:
            logger.warning("refused a connection from %s: other version", address)
            raise Refused(
                f"the server is napari-hae {__version__} (version {PROTOCOL} of the "
                f"bridge), this side is napari-hae {presented.get('version')} (version "
                f"{presented.get('protocol')}): install the same on both"
            )
        name = f"{presented['name']}, {address}"
        self._clients.admit(conn, presented["session"], presented["identity"], name)
        conn.settimeout(None)
        return "welcome"

    def clientDisconnect(self, conn: Any) -> None:
        """Let go of a client whose connection is closed."""
        client = self._clients.of(conn)
        if client is not None:
            self._service.end(client, "its connection was closed")


def _admit_msgpack_only() -> None:
    """Forget the other serializers: the token's own message would choose one of them.

    Python says of marshal, one of them, that it is not safe against malicious data.
    """
    from Pyro5.serializers import serializers, serializers_by_id

    for number, serializer in list(serializers_by_id.items()):
        if serializer is not serializers[SERIALIZER]:
            del serializers_by_id[number]
