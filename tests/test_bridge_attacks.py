"""Whatever comes to the port of a server, its owner's abort is answered.

How long that takes, and what memory an attack costs, is measured by
`benchmarks/bridge_attacks.py`.
"""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, contextmanager

import pytest

import attacks
from bridge_processes import TOKEN
from fakes import FakeInstrument
from in_thread import PATIENCE_S, ended, in_thread
from napari_hae.instruments.base import Aborted, InstrumentError, NotConnected
from napari_hae.instruments.bridge import PROTOCOL, admission, former
from napari_hae.instruments.bridge import clients as clients_module
from napari_hae.instruments.bridge import door as door_module
from napari_hae.instruments.bridge import line as line_module
from napari_hae.instruments.bridge.admission import NoAdmission, Proofs, Refused
from napari_hae.instruments.bridge.channel import Channel, ChannelClosed
from napari_hae.instruments.bridge.server import Server
from napari_hae.instruments.bridge.wire import call_bytes, reply_in
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
from napari_hae.types import ProbePosition

ABORTS = 3


class Exposing(FakeInstrument):
    """A microscope whose exposures end by an abort only."""

    def __init__(self) -> None:
        super().__init__()
        self.begins, self.is_aborted = threading.Event(), threading.Event()

    def acquire_spectrum(self, detector, exposure_s):
        self.begins.set()
        assert self.is_aborted.wait(PATIENCE_S)
        raise Aborted("aborted")

    def abort(self):
        self.is_aborted.set()


class Served:
    """A server in this process, and its owner."""

    def __init__(self) -> None:
        self.bare = Exposing()
        self.server = Server(
            lambda: self.bare, "Exposing", "127.0.0.1", 0, TOKEN, PATIENCE_S
        )
        self.server.start()
        host, _, port = self.server.address.rpartition(":")
        self.address = host, int(port)

    def microscope(self):
        settings = {"port": self.address[1], "token": TOKEN}
        return RemoteMicroscope(
            RemoteSettings(
                **settings, connect_timeout_s=PATIENCE_S, line_timeout_s=PATIENCE_S
            )
        )

    def expose_and_abort(self, owner):
        """An exposure that an abort ends; returns when both have come back."""
        bare = self.bare
        bare.begins.clear()
        bare.is_aborted.clear()
        owner.place_beam(ProbePosition(0.5, 0.5))
        owner.unblank()
        thread, came = in_thread(owner.acquire_spectrum, "EELS", 1.0)
        assert bare.begins.wait(PATIENCE_S)
        owner.abort()
        ended(thread)
        assert isinstance(came[0], Aborted), came


@pytest.fixture
def served():
    served = Served()
    yield served
    served.server.stop()


@pytest.fixture
def owner(served):
    owner = served.microscope()
    owner.connect()
    yield owner
    owner.disconnect()


@contextmanager
def going_on(attack, address):
    is_over = threading.Event()
    thread, came = in_thread(attack, address, TOKEN, is_over)
    try:
        yield
        # It has not ended by an error before.
        assert thread.is_alive(), came
    finally:
        is_over.set()
        ended(thread)
    assert came == [None]


def connect_anew(served, owner):
    """The microscope goes from its owner to another client."""
    owner.disconnect()
    other = served.microscope()
    other.connect()
    other.disconnect()


@pytest.mark.parametrize(
    "attack",
    (*attacks.WITHOUT_TOKEN, *attacks.WITH_TOKEN),
    ids=lambda attack: attack.__name__,
)
def test_an_abort_is_answered_while_an_attack_goes_on(served, owner, attack):
    with going_on(attack, served.address):
        for _ in range(ABORTS):
            served.expose_and_abort(owner)
    connect_anew(served, owner)


def test_a_client_connects_while_more_are_silent_than_have_a_place(served):
    with ExitStack() as stack:
        for _ in range(attacks.SILENT):
            stack.enter_context(attacks.connect(served.address))
        owner = served.microscope()
        owner.connect()
        owner.disconnect()


def test_who_says_nothing_gives_way_to_who_speaks(served):
    with ExitStack() as stack:
        speaks = stack.enter_context(attacks.connect(served.address))
        own = admission.nonce_and("0.2")
        speaks.sendall(admission.Message(PROTOCOL, own).to_bytes())
        theirs = attacks.heard(speaks)
        for _ in range(attacks.SILENT):
            stack.enter_context(attacks.connect(served.address))
        proofs, who = Proofs(TOKEN, PROTOCOL, own, theirs.payload), attacks.caller()
        said = proofs.of_client(who.to_bytes()) + who.to_bytes()
        speaks.sendall(admission.Message(PROTOCOL, said).to_bytes())
        admission.check_admitted(attacks.heard(speaks).payload, proofs)


def test_who_proves_nothing_in_time_is_turned_away(served, monkeypatch):
    monkeypatch.setattr(door_module, "PATIENCE_S", 0.2)
    with attacks.connect(served.address) as sock:
        sock.settimeout(PATIENCE_S)
        sock.sendall(b"NH")
        assert sock.recv(100) == b""


@pytest.mark.parametrize("name", attacks.HOSTILE_CALLS)
def test_a_hostile_call_is_answered_by_a_refusal_or_not_at_all(served, owner, name):
    try:
        head = attacks.admitted(served.address, TOKEN, attacks.HOSTILE_CALLS[name])
    except ChannelClosed:
        pass
    else:
        assert "error" in reply_in(head)
    served.expose_and_abort(owner)


def test_nothing_can_be_called_but_what_is_offered(served):
    for name in ("_clients", "__init__", "ownership", "state", "answer", "end"):
        reply = reply_in(
            attacks.admitted(served.address, TOKEN, call_bytes(name, ())[0])
        )
        assert "knows no call" in reply["error"]["text"]


def test_a_proof_is_taken_once(served):
    with attacks.connect(served.address) as sock:
        _, said = attacks.handshake(sock, TOKEN)
    with attacks.connect(served.address) as sock, pytest.raises(Refused, match="token"):
        attacks.handshake(sock, TOKEN, replay=said)


def test_a_message_that_is_changed_or_sent_again_ends_the_line(served):
    class Tapped:
        """A socket that keeps what is sent."""

        def __init__(self, sock):
            self._sock, self.sent = sock, []

        def __getattr__(self, name):
            return getattr(self._sock, name)

        def sendall(self, content):
            self.sent.append(content)
            self._sock.sendall(content)

    for changed in (lambda sent: sent, lambda sent: sent[:-1] + b"?"):
        with attacks.connect(served.address) as sock:
            tapped = Tapped(sock)
            channel, _ = attacks.handshake(tapped, TOKEN)
            channel.send(attacks.call("beat"))
            assert "error" not in reply_in(channel.receive(1 << 16)[0])
            sock.sendall(changed(tapped.sent[-1]))
            with pytest.raises(ChannelClosed):
                channel.receive(1 << 16)


def test_clients_and_their_connections_are_limited(served, monkeypatch):
    monkeypatch.setattr(clients_module, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(clients_module, "MOST_CLIENTS", 3)
    socks = []

    def another(session):
        socks.append(attacks.connect(served.address))
        attacks.handshake(socks[-1], TOKEN, session)

    try:
        another("one")
        another("one")
        with pytest.raises(Refused, match="has 2 connections, and gets no more"):
            another("one")
        another("two")
        another("three")
        with pytest.raises(Refused, match="3 clients are connected"):
            another("four")
    finally:
        for sock in socks:
            sock.close()


class Impostor:
    """A program at the port that speaks as a server does, and keeps what it hears."""

    def __init__(self, answer) -> None:
        self.heard = bytearray()
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]

    def __enter__(self):
        self._thread, self._came = in_thread(self._serve)
        return self

    def __exit__(self, *_):
        self._listening.close()
        ended(self._thread)
        assert self._came == [None]

    def _serve(self):
        sock, _ = self._listening.accept()
        with sock:
            sock.settimeout(PATIENCE_S)
            self._answer(sock, self)
            while more := sock.recv(1 << 16):
                self.heard += more

    def next(self, sock):
        message = attacks.heard(sock)
        self.heard += message.to_bytes()
        return message


def pretend_to_admit(sock, impostor):
    impostor.next(sock)
    own = admission.nonce_and("0.2")
    sock.sendall(admission.Message(PROTOCOL, own).to_bytes())
    said = impostor.next(sock)
    # Nothing better is at hand than the client's own proof.
    admitted = b"\x01" + said.payload[: admission.PROOF_BYTES]
    sock.sendall(admission.Message(PROTOCOL, admitted).to_bytes())


def test_a_server_that_does_not_know_the_token_learns_nothing_and_gets_no_call():
    with Impostor(pretend_to_admit) as impostor:
        settings = RemoteSettings(port=impostor.port, token=TOKEN)
        with pytest.raises(NotConnected, match="does not know the token"):
            RemoteMicroscope(settings).connect()
    assert TOKEN.encode() not in impostor.heard
    # Two messages, and nothing after them.
    first = admission._HEAD.size + len(admission.nonce_and("0.1.0"))
    assert impostor.heard.count(b"NHAE") == 2
    assert len(impostor.heard) > first


def test_a_server_that_sends_proofs_back_is_not_believed(served):
    """What another server proves is for its own nonce, and of a server."""
    proofs = Proofs(TOKEN, PROTOCOL, bytes(32), b"1" * 32)
    for other in (
        Proofs(TOKEN, PROTOCOL, bytes(32), b"2" * 32),
        Proofs(TOKEN, PROTOCOL + 1, bytes(32), b"1" * 32),
        Proofs(TOKEN, PROTOCOL, b"3" * 32, b"1" * 32),
        Proofs(TOKEN + "x", PROTOCOL, bytes(32), b"1" * 32),
    ):
        with pytest.raises(NoAdmission, match="does not know the token"):
            admission.check_admitted(admission.admitted(other), proofs)
    as_client = b"\x01" + proofs.of_client(b"")
    with pytest.raises(NoAdmission, match="does not know the token"):
        admission.check_admitted(as_client, proofs)
    admission.check_admitted(admission.admitted(proofs), proofs)
    assert len({*proofs.keys(), proofs.of_client(b""), proofs.of_server()}) == 4


def test_a_plugin_of_version_01_is_told_to_install_the_same(served):
    with attacks.connect(served.address) as sock:
        sock.sendall(attacks.old_call(b"\x80", 0))
        answer = b""
        while more := sock.recv(1000):
            answer += more
    assert answer[:8] == b"PYRO\x01\xf6\x03\x04"
    assert answer == former.refusal()
    assert b"this side is older: install the same on both" in answer


def test_a_server_of_version_01_is_told_in_words():
    def close(sock, impostor):
        # Its header is no message of the old protocol, which is not answered.
        impostor.heard += sock.recv(6)
        sock.shutdown(socket.SHUT_WR)

    with Impostor(close) as impostor:
        settings = RemoteSettings(port=impostor.port, token=TOKEN)
        with pytest.raises(NotConnected, match=r"or one of version 0\.1"):
            RemoteMicroscope(settings).connect()


def test_the_door_stays_open_when_admitting_fails(served, monkeypatch):
    original = clients_module.Clients.admit

    def fail(self, *_):
        raise RuntimeError("a fault of the server")

    monkeypatch.setattr(clients_module.Clients, "admit", fail)
    with pytest.raises(NotConnected, match="closes the line at once"):
        served.microscope().connect()
    monkeypatch.setattr(clients_module.Clients, "admit", original)
    owner = served.microscope()
    owner.connect()
    owner.disconnect()


def test_regions_that_are_too_large_to_be_sent_are_told_in_words(
    served, owner, monkeypatch
):
    monkeypatch.setattr(line_module, "MOST_BODY", 10)
    owner.hand_on_dose_limits(attacks_limits())
    with pytest.raises(InstrumentError, match="too large to be sent"):
        owner.place_beam(ProbePosition(0.5, 0.5))


def attacks_limits():
    from napari_hae.instruments.dose import DoseLimits

    return DoseLimits(run_e=1e9)


def test_a_reply_is_no_larger_than_agreed():
    one, other = socket.socketpair()
    with one, other:
        Channel(one, b"k" * 32, b"k" * 32).send(bytes(100))
        with pytest.raises(ChannelClosed, match="100 bytes"):
            Channel(other, b"k" * 32, b"k" * 32).receive(99)
