"""What hostile programs may do at the port of a server, each until it is told to end.

An attack is a function of the address, the token and an event that ends it. It goes on
round by round; who attacks without the token ignores the token.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import uuid
import zlib
from contextlib import ExitStack, suppress

import msgpack

from napari_hae.instruments.bridge import PROTOCOL, admission
from napari_hae.instruments.bridge.admission import Message, Proofs
from napari_hae.instruments.bridge.channel import Channel, ChannelClosed
from napari_hae.instruments.bridge.wire import call_bytes
from napari_hae.version import __version__

MIB = 1 << 20
SILENT = 100


def connect(address):
    sock = socket.create_connection(address, timeout=5)
    sock.settimeout(5)
    return sock


def send(sock, content):
    """Send what the other side takes; it may close the line at any time."""
    with suppress(OSError):
        sock.sendall(content)


def drained(sock):
    with suppress(OSError):
        while sock.recv(1 << 16):
            pass


def rounds(attack):
    """Make of one round an attack that goes on until it is told to end."""

    def attacking(address, token, is_over):
        while not is_over.is_set():
            # The server may refuse, or close the line at any moment.
            with suppress(OSError, ChannelClosed, admission.NoAdmission):
                attack(address, token)

    attacking.__name__ = attack.__name__
    return attacking


def holds(count):
    """Make of what one connection does first an attack that holds many of them."""

    def decorated(begin):
        def attacking(address, token, is_over):
            with ExitStack() as stack:
                for _ in range(count):
                    with suppress(OSError):
                        sock = stack.enter_context(connect(address))
                        begin(sock)
                is_over.wait()

        attacking.__name__ = begin.__name__
        return attacking

    return decorated


@holds(SILENT)
def silent_connections(sock):
    """More than there are threads or places; nobody says anything."""


@holds(SILENT)
def half_a_message(sock):
    sock.sendall(Message(PROTOCOL, bytes(40)).to_bytes()[:20])


@rounds
def connects_and_closes(address, token):
    connect(address).close()


@rounds
def connects_and_resets(address, token):
    with connect(address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def one_byte_after_the_other(address, token, is_over):
    """Slowly, so that each wait for a byte is short."""
    hello = Message(PROTOCOL, bytes(2000)).to_bytes()
    while not is_over.is_set():
        with suppress(OSError), ExitStack() as stack:
            socks = [stack.enter_context(connect(address)) for _ in range(20)]
            for at in range(len(hello)):
                for sock in socks:
                    sock.sendall(hello[at : at + 1])
                if is_over.wait(0.05):
                    return


@rounds
def garbage(address, token):
    with connect(address) as sock:
        send(sock, os.urandom(MIB))
        drained(sock)


@rounds
def a_length_of_4_gb(address, token):
    with connect(address) as sock:
        send(sock, struct.pack("!4sHH", b"NHAE", PROTOCOL, 0xFFFF) + bytes(MIB))
        drained(sock)


def old_call(payload, flags, annotations=b"", size=None):
    """A message of Pyro5, in which version 0.1 spoke."""
    size = len(payload) if size is None else size
    header = (b"PYRO", 502, 1, 4, flags, 0, size, len(annotations), bytes(16), 0)
    head = struct.pack("!4sHBBHHII16sHH", *header, 0x4DC5)
    return head + annotations + payload


NILS = zlib.compress(b"\xdd" + struct.pack("!I", 64 * MIB) + b"\xc0" * (64 * MIB), 9)
"""64 kB that a reader of any message unpacks to half a gigabyte."""


@rounds
def a_bomb_of_nils(address, token):
    with connect(address) as sock:
        send(sock, old_call(NILS, flags=2))
        drained(sock)


@rounds
def huge_annotations(address, token):
    with connect(address) as sock:
        send(sock, old_call(b"", 0, annotations=bytes(4 * MIB), size=2**31))
        drained(sock)


def handshake(sock, token, session=None, *, replay=None):
    """Admit a connection by hand; gives its channel and what was sent as proof."""
    own = admission.nonce_and(__version__) if replay is None else replay[0]
    sock.sendall(Message(PROTOCOL, own).to_bytes())
    theirs = heard(sock)
    proofs = Proofs(token, PROTOCOL, own, theirs.payload)
    who = caller(session).to_bytes()
    proof = proofs.of_client(who) + who if replay is None else replay[1]
    sock.sendall(Message(PROTOCOL, proof).to_bytes())
    admission.check_admitted(heard(sock).payload, proofs)
    from_client, from_server = proofs.keys()
    return Channel(sock, from_client, from_server), (own, proof)


def caller(session=None):
    session = session or uuid.uuid4().hex
    return admission.Caller(session, uuid.uuid4().hex, "somebody hostile")


def heard(sock):
    received = bytearray()
    while missing := admission.missing(received):
        more = sock.recv(missing)
        if not more:
            raise ChannelClosed("closed")
        received += more
    return admission.message(received)


@rounds
def a_wrong_token(address, token):
    with connect(address) as sock:
        handshake(sock, "not the token, but long enough")


@rounds
def an_endless_name(address, token):
    with connect(address) as sock:
        own = admission.nonce_and(__version__)
        sock.sendall(Message(PROTOCOL, own).to_bytes())
        proofs = Proofs(token, PROTOCOL, own, heard(sock).payload)
        who = b"[" * 1900
        sock.sendall(Message(PROTOCOL, proofs.of_client(who) + who).to_bytes())
        drained(sock)


def admitted(address, token, head, body=b""):
    """One call of one who knows the token but does not have the microscope."""
    with connect(address) as sock:
        channel, _ = handshake(sock, token)
        with suppress(OSError):
            channel.send(head, body)
        return channel.receive(MIB)[0]


def call(name, *arguments):
    return call_bytes(name, arguments)[0]


def deep(levels):
    return [deep(levels - 1)] if levels else None


HOSTILE_CALLS = {
    "nils": msgpack.packb(["beat", [None] * 65_000]),
    "deep lists": b"\x92\xa4beat" + b"\x91" * 60_000 + b"\xc0",
    "deep values": msgpack.packb(["beat", [deep(50)]]),
    "an array larger than its bytes": msgpack.packb(
        ["beat", [{"shape": [10**6, 10**6], "dtype": "<f8", "bytes": b""}]]
    ),
    "an array of huge items": msgpack.packb(
        ["beat", [{"shape": [1], "dtype": "V2000000000", "bytes": b"x"}]]
    ),
    "an array of objects": msgpack.packb(
        ["beat", [{"shape": [1], "dtype": "O", "bytes": bytes(8)}]]
    ),
    "an extension type": msgpack.packb(["beat", [msgpack.ExtType(49, b"9" * 60_000)]]),
    "a time": msgpack.packb(["beat", [msgpack.Timestamp(1)]]),
    "a name that is no text": msgpack.packb(["beat", [{1: 2}]]),
    "a kind that is a list": msgpack.packb(["beat", [{"kind": [1]}]]),
    "no call": msgpack.packb(17),
    "a private member": call("_clients"),
    "a member of the object": call("__init__", "x"),
    "a state that is no call": call("ownership"),
    "the abort of another": call("abort"),
    "the beam": call("expose", 0, "EELS", 1e9, True),
    "a call that is not there": call("x" * 60_000),
    "too few arguments": call("place"),
}


@rounds
def hostile_calls(address, token):
    for head in HOSTILE_CALLS.values():
        with suppress(ChannelClosed, OSError):
            admitted(address, token, head)


@rounds
def sizes_that_are_claimed(address, token):
    for sizes in ((2**32 - 1, 0), (0, 2**32 - 1), (2**16, 2**25)):
        with connect(address) as sock:
            handshake(sock, token)
            send(sock, struct.pack("!II", *sizes) + bytes(MIB))
            drained(sock)


@rounds
def regions_of_a_stranger(address, token):
    """Orders of 32 MB, by who does not have the microscope."""
    orders = json.dumps({"constraint": "x" * (30 * MIB)}).encode()
    with suppress(ChannelClosed):
        admitted(address, token, msgpack.packb(["obey", [1]]), orders)


def answers_that_nobody_reads(address, token, is_over):
    while not is_over.is_set():
        with suppress(OSError, ChannelClosed), connect(address) as sock:
            channel, _ = handshake(sock, token)
            while not is_over.is_set():
                channel.send(call("hello"))


def calls_without_end(address, token, is_over):
    """From all the clients and connections that are admitted."""

    def flood(session):
        while not is_over.is_set():
            with (
                suppress(OSError, ChannelClosed, admission.NoAdmission),
                connect(address) as sock,
            ):
                channel, _ = handshake(sock, token, session)
                while not is_over.is_set():
                    channel.send(call("hello"))
                    channel.receive(MIB)

    sessions = [uuid.uuid4().hex for _ in range(4)]
    threads = [
        threading.Thread(target=flood, args=(session,))
        for session in sessions
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def clients_that_say_no_more(address, token, is_over):
    while not is_over.is_set():
        with ExitStack() as stack:
            for _ in range(20):
                with suppress(OSError, ChannelClosed, admission.NoAdmission):
                    handshake(stack.enter_context(connect(address)), token)
            is_over.wait(1)


WITHOUT_TOKEN = (
    silent_connections,
    half_a_message,
    connects_and_closes,
    connects_and_resets,
    one_byte_after_the_other,
    garbage,
    a_length_of_4_gb,
    a_bomb_of_nils,
    huge_annotations,
    a_wrong_token,
)
WITH_TOKEN = (
    an_endless_name,
    hostile_calls,
    sizes_that_are_claimed,
    regions_of_a_stranger,
    answers_that_nobody_reads,
    calls_without_end,
    clients_that_say_no_more,
)
