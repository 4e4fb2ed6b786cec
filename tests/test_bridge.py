"""A remote microscope behaves as the one that is served, and its server keeps watch."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading

import msgpack
import numpy as np
import pytest
from pydantic import SecretStr

from bridge_processes import SMALL, TOKEN, ServerProcess
from fakes import FakeInstrument
from in_thread import PATIENCE_S, ended, in_thread
from measured_files import save_cube
from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings
from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    Busy,
    DoseExceeded,
    ForbiddenPosition,
    InstrumentError,
    NotConnected,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.bridge import line as line_module
from napari_hae.instruments.bridge.contact import Contact
from napari_hae.instruments.bridge.ownership import Ownership
from napari_hae.instruments.bridge.server import Server
from napari_hae.instruments.bridge.wire import (
    packed,
    packed_error,
    unpacked,
    unpacked_error,
)
from napari_hae.instruments.conformance import check_instrument
from napari_hae.instruments.dose import DoseLimits
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
from napari_hae.instruments.replay import ReplayedSpectrumImage, ReplaySettings
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.regions.regions import PolygonRegion, Regions
from napari_hae.types import BeamState, ProbePosition, dose_electrons
from simulated_eels import expose

LEFT, RIGHT = ProbePosition(0.25, 0.5), ProbePosition(0.75, 0.5)
SLOW = (*SMALL, "--set", "instrument.realtime=true")
NEEDLESS = (
    "PyQt6 PySide6 qtpy napari npe2 magicgui superqt pyqtgraph torch gpytorch botorch "
    "linear_operator matplotlib zarr hyperspy rsciio skimage psygnal tqdm dask"
)


@pytest.fixture(scope="module")
def server():
    with ServerProcess(*SMALL) as server:
        yield server


@pytest.fixture(scope="module")
def slow_server():
    """Exposures take their time on the clock."""
    with ServerProcess(*SLOW) as server:
        yield server


@pytest.fixture
def remote(server):
    microscope = server.microscope()
    microscope.connect()
    yield microscope
    microscope.disconnect()


@pytest.fixture
def slow(slow_server):
    microscope = slow_server.microscope()
    microscope.connect()
    yield microscope
    microscope.disconnect()


def closed_right_half(microscope) -> AllowedField:
    frame = FieldFrame((32, 32), microscope.capabilities().fov_nm)
    middle = ProbePosition(0.5, 0.0)
    x_nm, far_nm = frame.nm(middle)[1], 1e4
    corners = [[-1, x_nm], [-1, far_nm], [far_nm, far_nm], [far_nm, x_nm]]
    zone = PolygonRegion("right half", (np.array(corners, float),))
    return AllowedField(frame, Regions(forbidden=(zone,)))


def test_a_simulated_microscope_conforms_through_the_bridge(server):
    check_instrument(server.microscope())


def test_a_replay_conforms_through_the_bridge(tmp_path):
    file = save_cube(tmp_path / "cube.hspy")
    with ServerProcess("--file", file, instrument="replay") as server:
        check_instrument(server.microscope())


def test_the_wish_to_unblank_does_not_open_the_beam(server, remote):
    remote.place_beam(LEFT)
    remote.unblank()
    assert remote.status().beam is BeamState.ON
    assert server.look()[1].beam is BeamState.BLANKED


SETTINGS = ExperimentSettings(
    acquisition=LogExpectedImprovement(),
    initial=InitialDesign(points=6),
    budget=Budget(steps=14, dose_e=1e9),
    seed=5,
)


def experiment(microscope, settings, out):
    gate = GuardedInstrument(microscope)
    gate.connect()
    try:
        record = Record.create(
            out, instrument="remote", instrument_settings=settings, settings=SETTINGS
        )
        runner = Runner(gate, record, SETTINGS)
        runner.start()
        assert runner.wait(PATIENCE_S)
        assert len(runner.measurements) == 14, runner.finish_text
        return runner
    finally:
        gate.disconnect()


def assert_same(runner, other):
    np.testing.assert_array_equal(runner.survey.data, other.survey.data)
    for one, two in zip(runner.measurements, other.measurements, strict=True):
        assert one.proposal.position == two.proposal.position
        assert one.spectrum.counts.tobytes() == two.spectrum.counts.tobytes()
        assert one.spectrum.energy == two.spectrum.energy
        assert one.spectrum.dose_e == two.spectrum.dose_e


def test_an_experiment_takes_the_same_path_through_the_bridge_as_in_process(
    server, tmp_path
):
    settings = SimulatedSettings(shape=(32, 32), particles=3)
    here = experiment(SimulatedMicroscope(settings), settings, tmp_path / "here")
    for name in ("there", "again"):
        there = experiment(server.microscope(), server.settings(), tmp_path / name)
        assert_same(here, there)
    assert TOKEN not in (tmp_path / "there.hae" / "journal.jsonl").read_text()


def test_a_replayed_experiment_is_the_same_through_the_bridge(tmp_path):
    file = save_cube(tmp_path / "cube.hspy")
    settings = ReplaySettings(file=file, current_pa=10)
    more = ("--file", file, "--set", "instrument.current_pa=10")
    here = experiment(ReplayedSpectrumImage(settings), settings, tmp_path / "here")
    with ServerProcess(*more, instrument="replay") as server:
        there = experiment(server.microscope(), server.settings(), tmp_path / "there")
    assert_same(here, there)


def test_the_server_runs_an_experiment_without_qt_napari_and_torch(tmp_path):
    with ServerProcess(*SMALL, BLOCKED=NEEDLESS) as server:
        experiment(server.microscope(), server.settings(), tmp_path / "run")
        # Ended as asked; the code says by which signal.
        assert server.end() == 128 + signal.SIGTERM
        assert server.lines[-1] == "LOADED"


def test_a_forbidden_zone_holds_at_the_server_without_a_gate_here(remote):
    remote.hand_on_constraint(closed_right_half(remote))
    with pytest.raises(ForbiddenPosition, match="zone 'right half'"):
        remote.place_beam(RIGHT)
    with pytest.raises(ForbiddenPosition, match="survey image"):
        remote.acquire_survey(["HAADF"], (32, 32), 1e-6)
    assert expose(remote, LEFT).position == LEFT


def test_a_zone_over_a_running_exposure_ends_it_at_the_server(slow_server, slow):
    slow.place_beam(RIGHT)
    slow.unblank()
    thread, came = in_thread(slow.acquire_spectrum, "EELS", 100.0)
    slow_server.wait_for("BEAM on")
    slow.hand_on_constraint(closed_right_half(slow))
    slow_server.wait_for("BEAM blanked")
    ended(thread)
    assert isinstance(came[0], ForbiddenPosition)
    assert "right half" in str(came[0])


def test_a_dose_budget_holds_at_the_server_without_a_gate_here(remote):
    exposure_e = dose_electrons(remote.capabilities().current_pa, 0.1)
    remote.hand_on_dose_limits(DoseLimits(run_e=1.5 * exposure_e))
    expose(remote, LEFT)
    with pytest.raises(DoseExceeded, match="dose budget"):
        expose(remote, LEFT)
    assert remote.status().beam is BeamState.ON
    remote.blank()
    assert remote.status().beam is BeamState.BLANKED
    # New regions leave the budget as it is, used up.
    remote.hand_on_constraint(closed_right_half(remote))
    with pytest.raises(DoseExceeded):
        expose(remote, LEFT)


def test_the_next_move_waits_until_the_server_has_obeyed_the_newest_regions(
    remote, monkeypatch
):
    may_send, original = threading.Event(), Contact.urgently

    def held_up(self, method, *arguments):
        if method == "obey":
            assert may_send.wait(PATIENCE_S)
        return original(self, method, *arguments)

    monkeypatch.setattr(Contact, "urgently", held_up)
    remote.hand_on_constraint(closed_right_half(remote))
    thread, came = in_thread(remote.place_beam, RIGHT)
    thread.join(0.3)
    assert thread.is_alive()
    may_send.set()
    ended(thread)
    assert isinstance(came[0], ForbiddenPosition)


def test_regions_that_cannot_travel_keep_the_beam_where_it_is(remote):
    class Anywhere:
        def refusal(self, position):
            return None

        def refusal_of_scan(self, area):
            return None

    remote.hand_on_constraint(Anywhere())
    with pytest.raises(Unsupported, match="cannot be sent"):
        remote.place_beam(LEFT)
    remote.hand_on_constraint(closed_right_half(remote))
    remote.place_beam(LEFT)


def test_what_was_ordered_before_connecting_holds_afterwards(server):
    microscope = server.microscope()
    microscope.connect()
    zone = closed_right_half(microscope)
    microscope.disconnect()
    microscope.hand_on_constraint(zone)
    for _ in range(2):
        microscope.connect()
        with pytest.raises(ForbiddenPosition):
            microscope.place_beam(RIGHT)
        microscope.disconnect()
    other = server.microscope()
    other.connect()
    other.place_beam(RIGHT)
    other.disconnect()


def test_values_that_are_not_allowed_are_refused_as_in_process(remote):
    with pytest.raises(OutOfRange):
        remote.place_beam(ProbePosition(float("nan"), 0.5))
    remote.place_beam(LEFT)
    with pytest.raises(OutOfRange, match="an exposure of nan s"):
        remote.acquire_spectrum("EELS", float("nan"))
    with pytest.raises(Unsupported, match="no spectrum detector 'EDX'"):
        remote.acquire_spectrum("EDX", 0.1)


def test_an_abort_reaches_the_server_while_it_acquires(slow_server, slow):
    gate = GuardedInstrument(slow)
    gate.connect()
    gate.place_beam(LEFT)
    thread, came = in_thread(gate.acquire_spectrum, "EELS", 100.0)
    slow_server.wait_for("BEAM on")
    assert gate.status().beam is BeamState.ON
    with pytest.raises(Busy):
        slow.place_beam(RIGHT)
    gate.abort()
    assert gate.status().beam is BeamState.BLANKED
    slow_server.wait_for("BEAM blanked")
    ended(thread)
    assert isinstance(came[0], Aborted)
    gate.rearm()
    gate.place_beam(RIGHT)
    assert gate.acquire_spectrum("EELS", 0.01).counts.sum() > 0


class Held(FakeInstrument):
    """A microscope that exposes and blanks only when it is let, but hears an abort."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.exposes, self.blanks, self.heard = (threading.Event() for _ in range(3))

    def acquire_spectrum(self, detector, exposure_s):
        self.exposes.set()
        self.may_go_on.wait(PATIENCE_S)
        return super().acquire_spectrum(detector, exposure_s)

    def blank(self):
        self.blanks.set()
        self.may_go_on.wait(PATIENCE_S)
        super().blank()

    def abort(self):
        self.heard.set()


def test_an_abort_reaches_the_microscope_whatever_else_was_asked_of_it(monkeypatch):
    """While an exposure, an order and a blanking do not come back."""
    obeys, may_obey = threading.Event(), threading.Event()
    original = Ownership.obey

    def held_up(self, client, number, orders):
        obeys.set()
        may_obey.wait(PATIENCE_S)
        original(self, client, number, orders)

    monkeypatch.setattr(Ownership, "obey", held_up)
    bare = Held()
    server = Server(lambda: bare, "Held", "127.0.0.1", 0, TOKEN, 4 * PATIENCE_S)
    server.start()
    port = int(server.address.rpartition(":")[2])
    remote = RemoteMicroscope(
        RemoteSettings(port=port, token=TOKEN, line_timeout_s=4 * PATIENCE_S)
    )
    threads = []

    def start(call, *arguments):
        threads.append(in_thread(call, *arguments)[0])

    try:
        remote.connect()
        remote.place_beam(LEFT)
        remote.unblank()
        bare.heard.clear()
        bare.may_go_on.clear()
        start(remote.acquire_spectrum, "EELS", 0.1)
        assert bare.exposes.wait(PATIENCE_S)
        remote.hand_on_dose_limits(DoseLimits(run_e=1e9))
        assert obeys.wait(PATIENCE_S)
        start(remote.abort)
        assert bare.heard.wait(PATIENCE_S)
        bare.blanks.clear()
        start(remote.blank)
        assert bare.blanks.wait(PATIENCE_S)
        bare.heard.clear()
        start(remote.abort)
        assert bare.heard.wait(PATIENCE_S)
    finally:
        bare.may_go_on.set()
        may_obey.set()
        for thread in threads:
            ended(thread)
        remote.disconnect()
        server.stop()


def test_what_takes_too_long_is_aborted_and_the_line_stays(slow_server):
    microscope = slow_server.microscope(reply_timeout_s=1)
    microscope.connect()
    original = Contact.work

    def as_if_fast(self, method, *arguments, takes_s=0.0):
        return original(self, method, *arguments)

    microscope.place_beam(LEFT)
    microscope.unblank()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Contact, "work", as_if_fast)
        with pytest.raises(AcquisitionTimeout, match="did not deliver within 1 s"):
            microscope.acquire_spectrum("EELS", 100.0)
    slow_server.wait_for("BEAM blanked")
    microscope.place_beam(RIGHT)
    assert microscope.status().connected
    microscope.disconnect()


def test_a_second_client_is_refused_and_told_who_has_the_microscope(server, remote):
    second = server.microscope()
    with pytest.raises(Busy, match=rf"in use by .*process {os.getpid()}.*\(since 20"):
        second.connect()
    assert not second.status().connected
    with pytest.raises(NotConnected):
        second.place_beam(LEFT)
    about, status = server.look()
    assert f"process {os.getpid()}" in about["owner"]
    assert about["title"] == "Simulated microscope"
    assert status.connected
    # The first one is not disturbed.
    assert expose(remote, LEFT).counts.sum() > 0
    remote.disconnect()
    assert server.look()[0]["owner"] == ""
    second.connect()
    second.disconnect()


def test_who_has_no_microscope_can_neither_move_nor_open_the_beam(server, remote):
    contact = Contact(server.settings(), "somebody else", type(remote._orders)())
    try:
        for method, *arguments in (
            ("place", 0, LEFT),
            ("expose", 0, "EELS", 0.1, True),
            ("blank",),
            ("abort",),
            ("obey", 1, "{}"),
        ):
            with pytest.raises(NotConnected, match="does not have the microscope"):
                contact.urgently(method, *arguments)
    finally:
        contact.end("the test is over")
    assert remote.status().position is None


def test_a_move_that_relies_on_regions_the_server_does_not_have_is_refused(remote):
    with pytest.raises(InstrumentError, match="number 7 did not arrive"):
        remote._contact.urgently("place", 7, LEFT)


def test_a_microscope_that_connects_anew_takes_over_from_itself(server, remote):
    remote._contact._lines.cut()
    with pytest.raises(NotConnected, match="line to the server"):
        remote.place_beam(LEFT)
    assert remote.status().beam is BeamState.UNVERIFIED
    assert not remote.status().connected
    with pytest.raises(NotConnected, match="Connect again"):
        remote.capabilities()
    remote.connect()
    assert expose(remote, LEFT).counts.sum() > 0


@pytest.mark.parametrize("given", ["wrong but long enough", ""])
def test_without_the_right_token_nobody_gets_in(server, given, monkeypatch):
    monkeypatch.delenv("NAPARI_HAE_TOKEN", raising=False)
    words = "the token is wrong" if given else "needs the token that napari-hae serve"
    microscope = RemoteMicroscope(
        RemoteSettings(host=server.host, port=server.port, token=given)
    )
    with pytest.raises(NotConnected, match=words):
        microscope.connect()


def test_another_version_is_told_what_to_install(server, monkeypatch):
    monkeypatch.setattr(line_module, "PROTOCOL", 99)
    with pytest.raises(NotConnected, match=r"version 99.*install the same on both"):
        server.microscope().connect()


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def test_without_a_server_the_words_say_what_to_start():
    microscope = RemoteMicroscope(RemoteSettings(port=free_port(), token=TOKEN))
    with pytest.raises(NotConnected, match=r"nothing listens.*start napari-hae serve"):
        microscope.connect()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6 and so on, more than a header is long\r\n", "is no nap"),
        (b"", "closes the line at once"),
        (None, "does not answer within 0.5 s"),
    ],
)
def test_another_program_at_the_port_is_told_from_a_server(answer, words):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        is_over = threading.Event()

        def reply():
            connection, _ = listening.accept()
            with connection:
                if answer is None:
                    is_over.wait(PATIENCE_S)
                    return
                connection.recv(40)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(1000):
                    pass

        thread = threading.Thread(target=reply)
        thread.start()
        settings = RemoteSettings(port=port, token=TOKEN, connect_timeout_s=0.5)
        with pytest.raises(NotConnected, match=words):
            RemoteMicroscope(settings).connect()
        is_over.set()
        ended(thread)


def test_a_host_that_nobody_knows_is_told_so():
    settings = RemoteSettings(host="no-such-host.invalid", token=TOKEN)
    with pytest.raises(NotConnected, match=r"no-such-host\.invalid:6532 cannot be"):
        RemoteMicroscope(settings).connect()


WITHOUT_THE_EXTRA = """
import sys
sys.modules["msgpack"] = None
from napari_hae.cli import main
from napari_hae.instruments.base import Unsupported
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings
try:
    RemoteMicroscope(RemoteSettings(token="x" * 20)).connect()
except Unsupported as error:
    print(error)
print(main(["serve", "--instrument", "simulated"]))
"""


def test_without_the_extra_the_words_say_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.count('pip install "napari-hae[remote]"') == 1
    assert done.stdout.splitlines()[-1] == "1"
    assert 'pip install "napari-hae[remote]"' in done.stderr


def test_values_and_arrays_travel_without_loss():
    axis = (1.5, float("nan"), None, True, "text", b"bytes")
    again = unpacked(json_like(packed(axis)))
    assert again[0] == 1.5
    assert np.isnan(again[1])
    assert again[2:] == axis[2:]
    image = np.arange(6, dtype=">u2").reshape(2, 3)[:, ::-1]
    back = unpacked(json_like(packed(image)))
    assert back.dtype == image.dtype
    np.testing.assert_array_equal(back, image)
    back[0, 0] = 7


def json_like(value):
    """What msgpack makes of a value."""
    return msgpack.unpackb(msgpack.packb(value))


def test_what_is_of_another_kind_does_not_travel():
    with pytest.raises(TypeError, match="a set does not travel"):
        packed({1})
    with pytest.raises(TypeError, match="array of objects"):
        packed(np.array([None]))
    with pytest.raises(ValueError, match="unknown kind 'Popen'"):
        unpacked({"kind": "Popen", "args": ["ls"]})


@pytest.mark.parametrize("kind", [DoseExceeded, Aborted, AcquisitionTimeout])
def test_errors_travel_as_their_class_with_their_words(kind):
    class OfSomebodyElse(kind):
        pass

    for raised in (kind, OfSomebodyElse):
        again = unpacked_error(json_like(packed_error(raised("why it is so"))))
        assert type(again) is kind
        assert str(again) == "why it is so"


def test_the_record_keeps_no_token_and_another_source_takes_its_place(
    monkeypatch, tmp_path
):
    settings = RemoteSettings(token="secret enough to be one")
    stored = json.loads(json.dumps(settings.model_dump(mode="json")))
    assert "secret" not in json.dumps(stored)
    read = RemoteSettings.model_validate(stored)
    assert read.token is None
    monkeypatch.setenv("NAPARI_HAE_TOKEN", "one from the environment")
    assert read.secret() == "one from the environment"
    file = tmp_path / "token"
    file.write_text("one from the file here\n")
    assert RemoteSettings(token_file=file).secret() == "one from the file here"
    assert settings.token == SecretStr("secret enough to be one")
