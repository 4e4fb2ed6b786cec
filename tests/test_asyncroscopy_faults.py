"""asyncroscopy over the wire: time-outs, aborts, refusals and what is out of reach."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import pytest

from in_thread import PATIENCE_S, ended, in_thread
from napari_hae.instruments.asyncroscopy.instrument import Asyncroscopy
from napari_hae.instruments.asyncroscopy.settings import AsyncroscopySettings
from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    BlankingFailed,
    ForbiddenPosition,
    InstrumentError,
    Unsupported,
)
from napari_hae.instruments.gate import GuardedInstrument, Unconstrained
from napari_hae.types import BeamState
from tango_stack import (
    API_KEY,
    ELSEWHERE,
    HERE,
    served_devices,
    spectrum_at,
)

# Trap 3: one command of a device at a time.


def test_an_acquisition_may_take_its_exposure_and_the_margin(connect):
    microscope, lever = connect("newer", margin_s=20.0)
    lever.pull(slow_s=4.0)  # longer than Tango's own 3 s

    assert spectrum_at(microscope, HERE).counts.sum() > 0


def test_a_timeout_is_said_and_the_beam_blanked_when_the_device_is_free(connect):
    microscope, lever = connect("newer", margin_s=0.5)
    lever.pull(slow_s=4.5)  # longer than a device lets a command wait, 3.2 s
    microscope.place_beam(HERE)
    microscope.unblank()

    with pytest.raises(AcquisitionTimeout, match=r"acquire_spectrum within 0\.51 s"):
        microscope.acquire_spectrum("eds", 0.01)

    assert microscope.status().beam is BeamState.UNVERIFIED
    lever.wait_for("blank", 2)
    microscope._connected.beam.settle(PATIENCE_S)
    assert microscope.status().beam is BeamState.BLANKED
    lever.pull(slow_s=0)
    assert spectrum_at(microscope, HERE).counts.sum() > 0


@pytest.mark.parametrize("family", ["older", "newer"])
def test_an_abort_returns_at_once_and_blanks_when_the_device_is_free(connect, family):
    microscope, lever = connect(family)
    gate = GuardedInstrument(microscope)
    gate.connect()
    gate.place_beam(HERE)
    lever.pull(slow_s=2.0)
    thread, came = in_thread(gate.acquire_spectrum, "eds", 0.01)
    lever.wait_for("begins")

    gate.abort()
    ended(thread)

    # Nobody waited for the device, which is at it still, with the beam on.
    assert isinstance(came[0], Aborted)
    assert lever.happened("spectrum") == []
    assert gate.status().beam is BeamState.UNVERIFIED
    assert gate.status().busy
    gate.rearm()
    lever.pull(slow_s=0)
    gate.place_beam(ELSEWHERE)
    happened = [what for what, *_ in lever.log]
    after = happened[happened.index("spectrum") :]
    assert after[1] == "blank"
    assert after.index("blank") < after.index("place")
    assert gate.acquire_spectrum("eds", 0.01).position == ELSEWHERE


def test_a_detector_that_can_be_stopped_is_stopped(connect):
    microscope, lever = connect("stoppable")
    microscope.place_beam(HERE)
    microscope.unblank()
    lever.pull(slow_s=PATIENCE_S)
    thread, came = in_thread(microscope.acquire_spectrum, "eds", 0.01)
    lever.wait_for("begins")

    microscope.abort()
    ended(thread)
    microscope._calls.finish()

    assert isinstance(came[0], Aborted)
    microscope.place_beam(ELSEWHERE)
    assert microscope.status().beam is BeamState.BLANKED


def test_a_blanking_device_of_its_own_blanks_during_the_acquisition(connect):
    microscope, lever = connect("newer", blanker="newer/blanker/default")
    microscope.place_beam(HERE)
    microscope.unblank()
    lever.pull(slow_s=3.0)
    thread, came = in_thread(microscope.acquire_spectrum, "eds", 0.01)
    lever.wait_for("begins")

    microscope.abort()

    assert microscope.status().beam is BeamState.BLANKED
    assert lever.happened("spectrum") == []
    ended(thread)
    assert isinstance(came[0], Aborted)


def test_disconnecting_waits_for_the_device_and_leaves_the_beam_blanked(connect):
    microscope, lever = connect("newer")
    microscope.place_beam(HERE)
    microscope.unblank()
    lever.pull(slow_s=1.0)
    thread, came = in_thread(microscope.acquire_spectrum, "eds", 0.01)
    lever.wait_for("begins")

    microscope.disconnect()

    assert lever.log[-1][:2] == ["blank", False]
    assert microscope.status().beam is BeamState.BLANKED
    ended(thread)
    assert isinstance(came[0], Aborted)


# Errors in words.


def test_what_a_device_refuses_is_said_in_its_words(connect):
    microscope, lever = connect("newer")
    lever.pull(**{"raise": "the specimen holder is retracted"})

    words = r"holder is retracted \(Misaligned, from column\(\)\)"
    with pytest.raises(InstrumentError, match=words):
        spectrum_at(microscope, HERE)
    assert microscope.status().beam is BeamState.BLANKED
    with pytest.raises(InstrumentError, match=words):
        microscope.acquire_survey(("haadf",), (32, 32), 1e-6)
    assert microscope.status().beam is BeamState.BLANKED


def test_a_blanker_that_refuses_is_said(connect):
    microscope, lever = connect("newer")
    microscope.unblank()
    lever.pull(refuse_blank=True)

    with pytest.raises(InstrumentError, match="the blanker is stuck"):
        microscope.blank()
    assert microscope.status().beam is BeamState.UNVERIFIED
    lever.pull(refuse_blank=False)


@dataclass
class Painted:
    """A zone over the whole field."""

    def refusal(self, position):
        return "lies in a zone"

    def refusal_of_scan(self, area):
        return "lies in a zone"


@pytest.fixture
def refused_late(connect):
    """A gate whose beam could not be blanked when a zone was painted over it."""

    def refused(family, **lever_then):
        microscope, lever = connect(family)
        gate = GuardedInstrument(microscope)
        gate.connect()
        gate.place_beam(HERE)
        lever.pull(slow_s=1.0, **lever_then)
        thread, came = in_thread(gate.acquire_spectrum, "eds", 0.01)
        lever.wait_for("begins")
        gate.set_constraint(Painted())
        ended(thread)
        assert isinstance(came[0], ForbiddenPosition)
        gate.set_constraint(Unconstrained())
        lever.pull(slow_s=0)
        return gate, microscope, lever

    return refused


@pytest.mark.parametrize("family", ["older", "newer"])
def test_a_blanking_that_is_refused_late_keeps_the_beam_where_it_is(
    refused_late, family
):
    gate, microscope, lever = refused_late(family, refuse_blank=True)

    # Nobody waited for the device, which refuses when it has taken the spectrum.
    for attempt in (
        lambda: gate.place_beam(ELSEWHERE),
        lambda: gate.acquire_survey(("haadf",), (16, 16), 1e-6),
        lambda: microscope.place_beam(ELSEWHERE),
        lambda: microscope.acquire_spectrum("eds", 0.01),
        lambda: microscope.acquire_survey(("haadf",), (16, 16), 1e-6),
    ):
        with pytest.raises(InstrumentError, match="the blanker is stuck"):
            attempt()
    with pytest.raises(BlankingFailed, match=r"stuck.*blank it by hand"):
        microscope.place_beam(ELSEWHERE)
    assert len(lever.happened("place")) == 1
    assert len(lever.happened("begins")) == 1

    lever.pull(refuse_blank=False)
    gate.place_beam(ELSEWHERE)
    assert [is_on for is_on, *_ in lever.happened("place")] == [False, False]
    assert gate.acquire_spectrum("eds", 0.01).position == ELSEWHERE


def test_a_blanking_that_is_ignored_late_keeps_the_beam_where_it_is(refused_late):
    gate, microscope, lever = refused_late("newer", blank_ignored=True)

    microscope._calls.finish()
    for instrument in (microscope, gate):
        with pytest.raises(BlankingFailed, match="blank it by hand"):
            instrument.place_beam(ELSEWHERE)
    assert len(lever.happened("place")) == 1
    lever.pull(blank_ignored=False)


def test_disconnecting_says_that_the_beam_could_not_be_blanked(connect):
    microscope, lever = connect("newer")
    microscope.place_beam(HERE)
    microscope.unblank()
    lever.pull(slow_s=1.0, refuse_blank=True)
    thread, _ = in_thread(microscope.acquire_spectrum, "eds", 0.01)
    lever.wait_for("begins")

    with pytest.raises(BlankingFailed, match=r"blanker is stuck.*blank it by hand"):
        microscope.disconnect()

    ended(thread)
    assert not microscope.status().connected
    assert microscope.status().beam is BeamState.UNVERIFIED


@pytest.mark.parametrize(
    ("state", "words"),
    [("FAULT", "reports a fault"), ("OFF", "is off"), ("INIT", "is still starting")],
)
def test_a_microscope_that_is_not_ready_takes_nothing(connect, stack, state, words):
    microscope, lever = connect("newer")
    microscope.place_beam(HERE)
    lever.pull(state=state, said="the vacuum is bad")

    said = rf"newer/instrument/default {words} \({state}\): the vacuum is bad"
    with pytest.raises(InstrumentError, match=said):
        microscope.acquire_spectrum("eds", 0.01)
    with pytest.raises(InstrumentError, match=said):
        microscope.acquire_survey(("haadf",), (32, 32), 1e-6)
    with pytest.raises(InstrumentError, match=said):
        microscope.place_beam(ELSEWHERE)
    with pytest.raises(InstrumentError, match=said):
        stack.microscope("newer").connect()
    assert {what for what, *_ in lever.log} == {"blank", "place"}


def test_what_cannot_be_reached_is_named(stack):
    stack.lever("newer")
    nobody = {"tango_host": "127.0.0.1:1"}
    with pytest.raises(InstrumentError, match=r"127\.0\.0\.1:1/newer/instrument/def"):
        stack.microscope("newer", **nobody).connect()
    with pytest.raises(InstrumentError, match=r"reached: no Tango database answers"):
        stack.microscope("newer", **nobody, without_database=False).connect()
    with pytest.raises(InstrumentError, match=r"nothing/default cannot be reached: th"):
        stack.microscope("newer", scan="newer/nothing/default").connect()


def test_without_a_host_its_absence_is_said(monkeypatch):
    monkeypatch.delenv("TANGO_HOST", raising=False)

    with pytest.raises(InstrumentError, match="no Tango host is entered"):
        Asyncroscopy(AsyncroscopySettings()).connect()


@pytest.mark.parametrize(
    ("levers", "why"),
    [
        ({"fov_m": float("nan")}, "get_fov gave nan nm"),
        ({"fov_raises": True}, "get_fov failed: .*no magnification"),
    ],
)
def test_a_microscope_without_a_field_of_view_asks_for_it(stack, levers, why):
    stack.lever("newer").pull(**levers)

    says = f"{why}.*: enter it in the instrument's settings, as fov_nm"
    with pytest.raises(InstrumentError, match=says):
        stack.microscope("newer").connect()
    microscope = stack.microscope("newer", fov_nm=80.0)
    microscope.connect()
    assert microscope.capabilities().fov_nm == (80.0, 80.0)
    microscope.disconnect()


def test_the_api_key_stays_out_of_records():
    settings = AsyncroscopySettings(tiled_api_key=API_KEY)

    assert API_KEY not in settings.model_dump_json()
    assert AsyncroscopySettings.model_validate(settings.model_dump()).tiled_uri == ""


@pytest.mark.parametrize("host", ["microscope", "microscope:port", ":9094"])
def test_a_host_without_a_port_is_refused(host):
    with pytest.raises(ValueError, match="written host:port"):
        AsyncroscopySettings(tango_host=host)


def test_addresses():
    by_name = AsyncroscopySettings(tango_host="tango://microscope:9094")
    assert by_name.address("a/b/c") == "tango://microscope:9094/a/b/c"
    assert by_name.address("tango://other:1/a/b/c") == "tango://other:1/a/b/c"
    assert by_name.spectrum_address("EELS").endswith("9094/asyncroscopy/eels/default")
    assert AsyncroscopySettings().address("a/b/c") == "a/b/c"


def test_what_is_missing_is_said_with_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tango", None)

    with pytest.raises(
        Unsupported, match=r'PyTango, .* pip install "napari-hae\[tango\]"'
    ):
        Asyncroscopy(AsyncroscopySettings()).connect()


def test_the_form_and_the_name_need_none_of_the_packages():
    code = (
        "import sys\n"
        "from napari_hae.instruments.asyncroscopy.instrument import Asyncroscopy\n"
        "assert Asyncroscopy.title and Asyncroscopy.settings_type()\n"
        "heavy = {'tango', 'tiled', 'h5py', 'httpx'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_servers_end_when_their_input_is_closed(tmp_path):
    served = served_devices(tmp_path)
    served.wait()

    assert served.close() == 0
