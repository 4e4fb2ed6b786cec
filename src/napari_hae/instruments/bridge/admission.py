"""Mutual proof that both sides know the token, without sending it.

Four short messages, each `NHAE`, the version of the protocol, and a payload of at most
2 kB:

1. client: a nonce, and its version of napari-hae;
2. server: a nonce, and its own;
3. client: a proof, and who it is;
4. server: its proof, or why it does not admit the client.

A proof is an HMAC, keyed with the token, of the side, the version of the protocol, both
nonces and what is said with it, so that none can be used a second time, by the other
side, or for another client. The keys of all later messages are made the same way.
"""

from __future__ import annotations

import hmac
import json
import secrets
import struct
from dataclasses import asdict, dataclass

MAGIC = b"NHAE"
MOST_BYTES = 2048
"""Largest payload of a message, in bytes."""
NONCE_BYTES = PROOF_BYTES = 32
LONGEST_NAME = 300

_HEAD = struct.Struct("!4sHH")
MOST_IN_ALL = _HEAD.size + MOST_BYTES
_ADMITTED, _REFUSED = b"\x01", b"\x00"


class NoAdmission(Exception):
    """The other side speaks another protocol, or its proof is wrong."""


class Refused(NoAdmission):
    """A client is not admitted; it gets the message, the log gets the short form."""

    def __init__(self, words: str, short: str = "") -> None:
        super().__init__(words)
        self.short = short or words


@dataclass(frozen=True)
class Message:
    """One of the four messages: the protocol version of its sender, and the payload."""

    protocol: int
    payload: bytes

    def to_bytes(self) -> bytes:
        """Return the message as bytes for sending."""
        return _HEAD.pack(MAGIC, self.protocol, len(self.payload)) + self.payload


def missing(received: bytes | bytearray) -> int:
    """Return the number of bytes of a message still to come, as far as known.

    Raises
    ------
    NoAdmission
        If it is none, or too long.
    """
    begun = bytes(received[: len(MAGIC)])
    if begun != MAGIC[: len(begun)]:
        raise NoAdmission("it speaks another language")
    if len(received) < _HEAD.size:
        return _HEAD.size - len(received)
    _, _, size = _HEAD.unpack_from(received)
    if size > MOST_BYTES:
        raise NoAdmission(f"its message of {size} bytes is too long")
    return _HEAD.size + int(size) - len(received)


def message(received: bytes | bytearray) -> Message:
    """Return the message, once no bytes are missing."""
    _, protocol, _ = _HEAD.unpack_from(received)
    return Message(protocol, bytes(received[_HEAD.size :]))


@dataclass(frozen=True)
class Caller:
    """Identity of the client behind a connection.

    Attributes
    ----------
    session
        The same for all connections of one client.
    identity
        The same when that remote instrument connects again.
    name
        Its name, for messages.
    """

    session: str
    identity: str
    name: str

    def to_bytes(self) -> bytes:
        """Return the identity as bytes, as sent by the client."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Caller:
        """Decode the output of `to_bytes`. Raises `NoAdmission` for anything else."""
        try:
            values = json.loads(content)
            given = [values[name] for name in ("session", "identity", "name")]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise NoAdmission("it does not say who it is") from error
        if not all(isinstance(each, str) and each for each in given):
            raise NoAdmission("it does not say who it is")
        session, identity, name = given
        return cls(session, identity, _printable(name, LONGEST_NAME))


class Proofs:
    """The proofs and keys of one connection.

    Parameters
    ----------
    token
        The secret that both sides know.
    client, server
        Whole payloads of the first two messages: with nonce and version.
    """

    def __init__(self, token: str, protocol: int, client: bytes, server: bytes) -> None:
        self._token = token.encode()
        said = hmac.digest(client, server, "sha256")
        self._of_this = struct.pack("!H", protocol) + client[:NONCE_BYTES]
        self._of_this += server[:NONCE_BYTES] + said

    def of_client(self, caller: bytes) -> bytes:
        """Return the proof that only a client that knows the token can make."""
        return self._made(b"client", caller)

    def of_server(self) -> bytes:
        """Return the proof that only a server that knows the token can make."""
        return self._made(b"server", b"")

    def keys(self) -> tuple[bytes, bytes]:
        """Return the keys of the messages sent by the client, and by the server."""
        return self._made(b"from client", b""), self._made(b"from server", b"")

    def _made(self, what: bytes, content: bytes) -> bytes:
        said = what.ljust(16, b"\0") + self._of_this + content
        return hmac.digest(self._token, said, "sha256")


def nonce_and(version: str) -> bytes:
    """Return the payload of each side's first message."""
    return secrets.token_bytes(NONCE_BYTES) + version.encode()[:64]


def version_in(payload: bytes) -> str:
    """Return the napari-hae version in a first message. Raises `NoAdmission`."""
    if len(payload) < NONCE_BYTES:
        raise NoAdmission("its first message is too short")
    return _printable(payload[NONCE_BYTES:].decode("utf-8", "replace"), 64)


def checked_caller(payload: bytes, proofs: Proofs) -> Caller:
    """Return the client if it proves that it knows the token. Raises `Refused`."""
    proof, caller = payload[:PROOF_BYTES], payload[PROOF_BYTES:]
    if not hmac.compare_digest(proof, proofs.of_client(caller)):
        raise Refused(
            "the token is wrong: enter the one that napari-hae serve uses",
            "wrong token",
        )
    return Caller.from_bytes(caller)


def admitted(proofs: Proofs) -> bytes:
    """Return the payload that admits a client."""
    return _ADMITTED + proofs.of_server()


def refused(words: str) -> bytes:
    """Return the payload that tells a client why it is not admitted."""
    return _REFUSED + words.encode()[: MOST_BYTES - 1]


def check_admitted(payload: bytes, proofs: Proofs) -> None:
    """Raise `Refused` with the server's message, or `NoAdmission` without a proof.

    Only a server that knows the token is believed to have admitted anybody.
    """
    if payload[:1] == _REFUSED:
        raise Refused(_printable(payload[1:].decode("utf-8", "replace"), 500))
    if not hmac.compare_digest(payload[1:], proofs.of_server()):
        raise NoAdmission("it does not know the token")


def other_version(
    there: str, protocol_there: int, here: str, protocol_here: int
) -> str:
    """Return why client and server are incompatible, as shown by the client."""
    return (
        f"the server is napari-hae {there} (version {protocol_there} of the bridge), "
        f"this side is napari-hae {here} (version {protocol_here}): install the same "
        "on both"
    )


def _printable(text: str, longest: int) -> str:
    return "".join(each if each.isprintable() else " " for each in text[:longest])
