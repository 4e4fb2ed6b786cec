"""Messages of limited size between two sides that have proved their identity.

A message is the sizes of head and body, a keyed digest, head and body. The digest
counts the messages too: nobody who is between the two can put one in, leave one out,
change one, or send it again.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Content = bytes | bytearray

_SIZES = struct.Struct("!II")
_COUNT = struct.Struct("!Q")
_DIGEST_BYTES = 16

MOST_HEAD = 1 << 16
"""Largest head of a call, in bytes: unpacking it holds up all threads."""
MOST_BODY = 1 << 25
"""Largest body of a call, in bytes: regions, as text."""
MOST_REPLY = 1 << 30
"""Largest answer, in bytes: several images of 8192 x 8192 pixels."""


class ChannelClosed(Exception):
    """The other side has closed the line, or sent an invalid message."""


class Channel:
    """A connection after both sides have proved their identity.

    Parameters
    ----------
    sends, receives
        The keys of the messages of this side, and of the other side.
    """

    def __init__(self, sock: socket.socket, sends: bytes, receives: bytes) -> None:
        self._socket = sock
        self._sends, self._receives = sends, receives
        self._sent = self._received = 0

    def settimeout(self, timeout_s: float | None) -> None:
        """Set the longest wait for data to arrive or to be accepted."""
        self._socket.settimeout(timeout_s)

    def send(self, head: bytes, body: bytes = b"") -> None:
        """Send a message.

        Raises
        ------
        OSError
            If the line is closed, or `TimeoutError` if nothing is taken in time.
        """
        sizes = _SIZES.pack(len(head), len(body))
        digest = _digest(self._sends, self._sent, sizes, head, body)
        self._sent += 1
        self._socket.sendall(sizes + digest + head + body)

    def receive(
        self, most_head: int, most_body: Callable[[], int] = lambda: 0
    ) -> tuple[bytearray, bytearray]:
        """Wait for a message; return its head and body.

        Parameters
        ----------
        most_head, most_body
            Largest sizes. The second one is called when a message comes.

        Raises
        ------
        ChannelClosed
            If the other side closed the line, or sends what is larger or has another
            digest; nothing more can be read then.
        OSError
            If the line is closed here, or `TimeoutError` if nothing comes in time.
        """
        start = self._read(_SIZES.size + _DIGEST_BYTES)
        sizes, digest = start[: _SIZES.size], start[_SIZES.size :]
        head_size, body_size = _SIZES.unpack(sizes)
        if head_size > most_head or (body_size and body_size > most_body()):
            raise ChannelClosed(f"a message of {head_size + body_size} bytes came")
        head, body = self._read(head_size), self._read(body_size)
        expected = _digest(self._receives, self._received, sizes, head, body)
        if not hmac.compare_digest(expected, bytes(digest)):
            raise ChannelClosed("a message came that the other side has not sent")
        self._received += 1
        return head, body

    def close(self) -> None:
        """Close the line at once; a thread waiting for a message gets an error."""
        close(self._socket)

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        view, got = memoryview(content), 0
        while got < size:
            count = self._socket.recv_into(view[got:])
            if not count:
                raise ChannelClosed("the other side has closed the line")
            got += count
        return content


def close(sock: socket.socket) -> None:
    """Close a connection at once, also for a thread that waits for it."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


def _digest(
    key: bytes, count: int, sizes: Content, head: Content, body: Content
) -> bytes:
    digest = hashlib.blake2b(
        _COUNT.pack(count) + sizes, key=key, digest_size=_DIGEST_BYTES
    )
    digest.update(head)
    digest.update(body)
    return digest.digest()
