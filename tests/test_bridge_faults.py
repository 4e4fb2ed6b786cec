"""Whatever becomes of the plugin, the line or the server, the beam does not stay on.

Each fault happens in an exposure of 100 s, so that the exposure's own end cannot be
what blanks the beam. Plugin and server are processes of their own.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import threading
from contextlib import contextmanager

import pytest

from bridge_processes import (
    PATIENCE_S,
    SMALL,
    TOKEN,
    ClientProcess,
    Process,
    ServerProcess,
)
from fakes import FakeInstrument
from napari_hae.cli import main
from napari_hae.instruments.base import Busy, InstrumentError, NotConnected
from napari_hae.instruments.bridge.clients import Client
from napari_hae.instruments.bridge.ownership import Ownership
from napari_hae.instruments.bridge.served import ServedInstrument
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
from napari_hae.types import BeamState, ProbePosition

SLOW = (*SMALL, "--set", "instrument.realtime=true")
QUICK = (*SLOW, "--watchdog", "1.5")
SILENT = r"beam blanked, acquisition ended \(nothing was heard for 1.5 s\)"
LET_GO = r"the server let go of the client \(nothing was heard for 1.5 s\)"
LINE_CLOSED = "the line to the server .* closed: .*let go of this client"
CLOSED = r"beam blanked, acquisition ended \(its connection was closed\)"


def takes_a_new_owner(server, host=None):
    server.wait_for("the microscope is free")
    gate = GuardedInstrument(server.microscope())
    gate.connect()
    gate.place_beam(ProbePosition(0.25, 0.5))
    assert gate.acquire_spectrum("EELS", 0.01).counts.sum() > 0
    assert gate.status().beam is BeamState.BLANKED
    gate.disconnect()


def test_a_killed_client_leaves_the_beam_blanked_and_the_microscope_free():
    # A watchdog of 60 s: it is the closed connection that tells.
    with ServerProcess(*SLOW, "--watchdog", "60") as server:
        with ClientProcess(server.host, server.port) as client:
            client.expose(server)
            client.signal(signal.SIGKILL)
            server.wait_for("BEAM blanked")
            server.wait_for(CLOSED)
        takes_a_new_owner(server)


def test_a_hung_client_loses_the_microscope_and_is_told_so_when_it_wakes():
    with (
        ServerProcess(*QUICK) as server,
        ClientProcess(server.host, server.port) as client,
    ):
        client.expose(server)
        client.signal(signal.SIGSTOP)
        server.wait_for("BEAM blanked")
        server.wait_for(SILENT)
        takes_a_new_owner(server)
        client.signal(signal.SIGCONT)
        # It may have been answered before its lines were closed.
        client.wait_for(f"^BlankingFailed: ({LET_GO}|{LINE_CLOSED})")


class Forwarding:
    """A line to a server that can be cut without either end being told."""

    def __init__(self, port) -> None:
        self._port = port
        self._is_cut = threading.Event()
        self._sockets = []
        self._threads = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._start(self._accept)

    def cut(self) -> None:
        self._is_cut.set()

    def close(self) -> None:
        for each in (self._listening, *self._sockets):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [near, far]
            self._start(self._forward, near, far)
            self._start(self._forward, far, near)

    def _forward(self, source, sink) -> None:
        try:
            while content := source.recv(65536):
                if not self._is_cut.is_set():
                    sink.sendall(content)
            if not self._is_cut.is_set():
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_a_line_that_carries_nothing_more_ends_the_exposure_on_both_sides():
    with ServerProcess(*QUICK) as server:
        line = Forwarding(server.port)
        try:
            with ClientProcess("127.0.0.1", line.port, line_timeout_s=1) as client:
                client.expose(server)
                line.cut()
                server.wait_for("BEAM blanked")
                server.wait_for(SILENT)
                client.wait_for("^BlankingFailed: .* answer within 1 s")
                takes_a_new_owner(server)
        finally:
            line.close()


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@contextmanager
def two_hosts():
    """Network namespaces of a plugin and of a microscope, with a cable between."""
    number = os.getpid()
    plugin, microscope = f"hae-p{number}", f"hae-m{number}"
    made = []
    try:
        for name, address in ((plugin, "10.213.7.1/24"), (microscope, "10.213.7.2/24")):
            ip("netns", "add", name)
            made.append(name)
            if name == microscope:
                ip(
                    *("-n", plugin, "link", "add", "cable", "type", "veth"),
                    *("peer", "name", "cable", "netns", microscope),
                )
                ip("-n", plugin, "addr", "add", "10.213.7.1/24", "dev", "cable")
                ip("-n", microscope, "addr", "add", address, "dev", "cable")
        for name in made:
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")
        yield plugin, microscope
    finally:
        for name in made:
            ip("netns", "delete", name)


def test_a_pulled_cable_ends_the_exposure_on_both_sides():
    try:
        with two_hosts() as (plugin, microscope):
            pull_the_cable(plugin, microscope)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")


def pull_the_cable(plugin, microscope):
    within = ("ip", "netns", "exec")
    listen = ("--host", "10.213.7.2")
    with ServerProcess(*QUICK, *listen, before=(*within, microscope)) as server:
        assert any("LISTENING AT" in line for line in server.lines)
        client = ClientProcess(
            server.host, server.port, line_timeout_s=1, before=(*within, plugin)
        )
        with client:
            client.expose(server)
            ip("-n", plugin, "link", "set", "cable", "down")
            server.wait_for("BEAM blanked")
            server.wait_for(SILENT)
            client.wait_for("^BlankingFailed: .* answer within 1 s")
            server.wait_for("the microscope is free")
            ip("-n", plugin, "link", "set", "cable", "up")
            client.tell("connect")
            client.wait_for("^done")
            client.tell("disconnect")
            client.wait_for("^done")


def test_two_clients_cannot_have_the_microscope_at_once():
    with (
        ServerProcess(*SLOW) as server,
        ClientProcess(server.host, server.port) as first,
        ClientProcess(server.host, server.port) as second,
    ):
        first.expose(server)
        second.tell("connect")
        second.wait_for(rf"^Busy: .* in use by .*process {first.pid}, .*\(since ")
        about, status = server.look()
        assert status.beam is BeamState.ON
        assert f"process {first.pid}" in about["owner"]
        with pytest.raises(Busy):
            server.microscope().connect()
        assert server.look()[1].beam is BeamState.ON
        first.tell("disconnect")
        server.wait_for("BEAM blanked")
        server.wait_for("the microscope is free")
        second.tell("connect")
        second.wait_for("^done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_that_is_told_to_end_blanks_first(number):
    with (
        ServerProcess(*SLOW) as server,
        ClientProcess(server.host, server.port) as client,
    ):
        client.expose(server)
        server.signal(number)
        server.wait_for(f"ending: {number.name}")
        server.wait_for("BEAM blanked")
        server.wait_for(r"acquisition ended \(the server ends\)")
        server.wait_for("the server has ended: blanked and disconnected")
        assert server.wait() == 128 + number
        client.wait_for("^BlankingFailed: ")


def test_a_server_that_is_gone_is_told_in_words():
    with (
        ServerProcess(*SLOW) as server,
        ClientProcess(server.host, server.port) as client,
    ):
        client.expose(server)
        server.signal(signal.SIGKILL)
        client.wait_for("^BlankingFailed: the line to the server .* closed")


def test_the_log_says_with_times_what_the_server_does():
    with ServerProcess(*SLOW) as server:
        microscope = server.microscope()
        microscope.connect()
        microscope.disconnect()
        server.wait_for("has the microscope")
        server.wait_for(r"acquisition ended \(it disconnected\)")
        assert server.end() == 143
        told = [line for line in server.lines if not line.startswith(("BEAM", "LOAD"))]
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}  ", x) for x in told)
        assert not any(TOKEN in line for line in server.lines)


def test_a_refused_client_is_in_the_log_with_its_address():
    with ServerProcess(*SLOW) as server:
        with pytest.raises(NotConnected):
            server.microscope(token="not the token of this server").connect()
        server.wait_for("refused a connection from 127.0.0.1:.*: wrong token")


def test_a_token_is_made_up_where_none_is_given():
    serve = ("--instrument", "simulated", "--port", "0", *SMALL)
    with Process("bridge_server.py", *serve, NAPARI_HAE_TOKEN="") as server:
        made_up = server.wait_for(r"^token: (\S+)$")[1]
        port = int(server.wait_for(r"is served at 127.0.0.1:(\d+)")[1])
        microscope = RemoteMicroscope(RemoteSettings(port=port, token=made_up))
        microscope.connect()
        microscope.disconnect()


def test_a_token_file_is_made_for_its_owner_only_and_read_again(tmp_path):
    file = tmp_path / "token"
    with ServerProcess(*SMALL, "--token-file", file, NAPARI_HAE_TOKEN=""):
        kept = file.read_text().strip()
        assert len(kept) >= 16
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with ServerProcess(*SMALL, "--token-file", file, NAPARI_HAE_TOKEN="") as server:
        microscope = server.microscope(token=None, token_file=file)
        microscope.connect()
        microscope.disconnect()
        assert not any("token: " in line for line in server.lines)
    assert file.read_text().strip() == kept


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--set", "instrument.nonsense=3"], "nonsense: there is no such setting"),
        (["--config", "missing.toml"], "cannot be read"),
        ([], "holds 5 characters; a token needs at least 16"),
    ],
)
def test_wrong_use_of_serve_is_told_in_words(more, words, capsys, monkeypatch):
    monkeypatch.setenv("NAPARI_HAE_TOKEN", "short")
    assert main(["serve", "--instrument", "simulated", *more]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["--token", "x" * 20], ["--port", "66000"], ["--watchdog", "0"]]
)
def test_serve_takes_no_token_on_the_command_line_and_no_nonsense(more, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--instrument", "simulated", *more])
    assert ended.value.code == 2


def test_an_instrument_that_cannot_connect_is_told_before_anybody_waits():
    serve = ("--instrument", "replay", "--port", "0")
    with Process("bridge_server.py", *serve) as server:
        server.wait_for("choose a file with a spectrum image")
        assert server.wait() == 2


def test_a_port_that_is_taken_is_told_in_words():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        serve = ("--instrument", "simulated", "--port", port)
        with Process("bridge_server.py", *serve) as server:
            server.wait_for(f"127.0.0.1:{port} cannot be listened at")
            assert server.wait() == 1


def test_an_instrument_that_will_not_blank_is_told_in_the_log_and_let_go(caplog):
    class Stuck(FakeInstrument):
        refuses = False

        def blank(self):
            if self.refuses:
                raise InstrumentError("the blanker is stuck")
            super().blank()

    bare = Stuck()
    ownership = Ownership(lambda: ServedInstrument(bare))
    client = Client("session", "identity", "somebody")
    ownership.claim(client)
    bare.refuses = True
    ownership.let_go(client, "its connection was closed")
    assert "COULD NOT BE BLANKED, blank the beam by hand" in caplog.text
    assert "the blanker is stuck" in caplog.text
    assert ownership.in_words == ""
    bare.refuses = False
    ownership.claim(Client("another", "other", "somebody else"))
