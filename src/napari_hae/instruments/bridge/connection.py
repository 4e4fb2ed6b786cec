"""A connection of an admitted client, and the thread that answers its calls."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from napari_hae.instruments.bridge.channel import (
    MOST_BODY,
    MOST_HEAD,
    Channel,
    ChannelClosed,
)
from napari_hae.instruments.bridge.wire import call_in, reply_bytes

if TYPE_CHECKING:
    import socket

    from napari_hae.instruments.bridge.admission import Proofs
    from napari_hae.instruments.bridge.clients import Client
    from napari_hae.instruments.bridge.service import Service

logger = logging.getLogger(__name__)

_BYSTANDER_PAUSE_S = 0.02
"""Pause, in s, between calls of a client without the microscope: nobody can keep the
server too busy for its owner."""
_MOST_OF_BYSTANDER = 1 << 12
"""Largest body of such a call, in bytes."""
_TAKING_S = 60.0
"""Longest time, in s, in which the client may accept no part of an answer."""


class Connection:
    """Answering of the calls of one connection, one after the other."""

    def __init__(self, sock: socket.socket, proofs: Proofs, service: Service) -> None:
        self._sock = sock
        from_client, from_server = proofs.keys()
        self._channel = Channel(sock, sends=from_server, receives=from_client)
        self._service = service

    def start(self, client: Client) -> None:
        """Begin to answer calls, in a separate thread."""
        thread = threading.Thread(
            target=self._serve, args=(client,), name="napari-hae-calls", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            self._service.end(client, "no more threads can be started")

    def close(self) -> None:
        """Close the connection at once, even with a call under way."""
        self._channel.close()

    def _serve(self, client: Client) -> None:
        owns = self._service.ownership.is_owner
        try:
            while True:
                self._channel.settimeout(None)
                head, body = self._channel.receive(
                    MOST_HEAD, lambda: MOST_BODY if owns(client) else _MOST_OF_BYSTANDER
                )
                reply = self._service.answer(client, *call_in(head, body))
                self._channel.settimeout(_TAKING_S)
                self._channel.send(reply_bytes(reply))
                if not owns(client):
                    time.sleep(_BYSTANDER_PAUSE_S)
        except (ChannelClosed, OSError) as error:
            why = "its connection was closed"
            logger.debug("%s: %s", client.name, error)
        except ValueError as error:
            why = f"what it sends cannot be read: {error}"
        except Exception:
            logger.exception("a connection of %s failed", client.name)
            why = "its connection failed"
        self._service.end(client, why)
        self.close()
