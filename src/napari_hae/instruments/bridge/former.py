"""Reply to clients of napari-hae 0.1, which used a different bridge."""

from __future__ import annotations

import struct

from napari_hae.instruments.bridge import PROTOCOL
from napari_hae.version import __version__

_BEGINS = b"PYRO"
_REFUSAL, _MSGPACK, _SHORT_TEXT = 3, 4, b"\xd9"
_HEADER = struct.Struct("!4sHBBHHII16sHH")


def is_client(received: bytes | bytearray) -> bool:
    """Return whether this comes from a plugin of version 0.1: a header of Pyro5."""
    return received[: len(_BEGINS)] == _BEGINS


def refusal() -> bytes:
    """Return the message that such a plugin shows as the server's."""
    text = (
        f"the server is napari-hae {__version__} (version {PROTOCOL} of the bridge), "
        "this side is older: install the same on both"
    ).encode()
    text = _SHORT_TEXT + bytes([len(text)]) + text
    header = (_BEGINS, 502, _REFUSAL, _MSGPACK, 0, 0, len(text), 0, bytes(16), 0)
    return _HEADER.pack(*header, 0x4DC5) + text
