from __future__ import annotations

import math
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from fakes import FakeInstrument, FakeSettings
from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    BlankingFailed,
    Busy,
    DoseExceeded,
    ForbiddenPosition,
    InstrumentError,
    Interval,
    NotConnected,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.dose import DoseLimits, Exposure
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.types import Area, BeamState, ProbePosition, dose_electrons
from recording import RecordingInstrument

if TYPE_CHECKING:
    from collections.abc import Callable

CENTRE = ProbePosition(0.5, 0.5)
RIGHT = ProbePosition(0.9, 0.5)


@dataclass(frozen=True)
class LeftHalf:
    def refusal_of_scan(self, area: Area) -> str | None:
        return "reaches into the right half" if area.right > 0.6 else None

    def refusal(self, position: ProbePosition) -> str | None:
        return "lies in the right half" if position.x > 0.6 else None


@pytest.fixture
def bare() -> FakeInstrument:
    return FakeInstrument()


@pytest.fixture
def recording() -> RecordingInstrument:
    return RecordingInstrument()


def connected(bare: FakeInstrument, **patience: float) -> GuardedInstrument:
    gate = GuardedInstrument(bare, **patience)
    gate.connect()
    return gate


@pytest.fixture
def gate(bare):
    gate = GuardedInstrument(bare)
    gate.connect()
    yield gate
    gate.disconnect()


def test_the_beam_is_on_for_the_exposure_only(gate, bare):
    seen = []
    bare.during_exposure = lambda _: seen.append(bare.beam.on)
    gate.place_beam(CENTRE)
    assert gate.status().beam is BeamState.BLANKED
    gate.acquire_spectrum("EELS", 0.1)
    assert seen == [True]
    assert gate.status().beam is BeamState.BLANKED


def test_unblanking_by_hand_is_refused(gate):
    with pytest.raises(Unsupported, match="for exposures only"):
        gate.unblank()


@pytest.mark.parametrize(
    "position",
    [ProbePosition(math.nan, 0.5), ProbePosition(0.5, math.inf), ProbePosition(1.1, 0)],
)
def test_a_position_that_is_no_place_never_reaches_the_instrument(gate, bare, position):
    with pytest.raises(OutOfRange):
        gate.place_beam(position)
    assert bare.beam.placed == []


def test_a_forbidden_place_is_refused_in_words_and_never_reached(gate, bare):
    gate.set_constraint(LeftHalf())
    with pytest.raises(ForbiddenPosition, match="lies in the right half"):
        gate.place_beam(RIGHT)
    assert bare.beam.placed == []


def test_a_place_closed_after_placing_is_not_exposed(gate, bare):
    gate.place_beam(RIGHT)
    gate.set_constraint(LeftHalf())
    with pytest.raises(ForbiddenPosition):
        gate.acquire_spectrum("EELS", 0.1)
    assert bare.beam.exposed == []
    assert not bare.beam.on


def test_a_place_closed_during_the_exposure_ends_it_and_discards_the_spectrum(
    gate, bare
):
    bare.hold = threading.Event()
    bare.during_exposure = lambda _: gate.set_constraint(LeftHalf())
    gate.place_beam(RIGHT)
    with pytest.raises(ForbiddenPosition, match="right half"):
        gate.acquire_spectrum("EELS", 0.1)
    assert not bare.beam.on
    bare.hold, bare.during_exposure = None, None
    gate.place_beam(CENTRE)
    assert gate.acquire_spectrum("EELS", 0.1).position == CENTRE


def test_a_survey_image_is_refused_while_a_part_of_the_field_is_closed(gate):
    gate.set_constraint(LeftHalf())
    with pytest.raises(ForbiddenPosition, match="reaches into the right half"):
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5)


def test_an_area_is_scanned_by_what_can_scan_areas_only(gate):
    with pytest.raises(Unsupported, match="whole field of view only"):
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5, Area(0, 0, 0.5, 0.5))


def test_an_open_area_may_be_scanned_beside_a_closed_one():
    gate = GuardedInstrument(SimulatedMicroscope(SimulatedSettings(particles=3)))
    gate.connect()
    gate.set_constraint(LeftHalf())
    image = gate.acquire_survey(["HAADF"], (32, 32), 1e-6, Area(0, 0, 0.5, 1))
    assert image.area.right == 0.5
    with pytest.raises(ForbiddenPosition, match="right half"):
        gate.acquire_survey(["HAADF"], (32, 32), 1e-6, Area(0.25, 0, 0.75, 1))
    gate.disconnect()


def test_an_abort_holds_until_somebody_lifts_it(gate, bare):
    gate.place_beam(CENTRE)
    gate.abort()
    gate.abort()
    for use in (lambda: gate.place_beam(CENTRE), lambda: gate.acquire_spectrum("", 1)):
        with pytest.raises(Aborted):
            use()
    gate.rearm()
    gate.place_beam(CENTRE)
    assert gate.acquire_spectrum("EELS", 0.1).position == CENTRE


def test_an_abort_from_another_thread_ends_an_exposure(gate, bare):
    bare.hold = threading.Event()
    bare.during_exposure = lambda _: threading.Thread(target=gate.abort).start()
    gate.place_beam(CENTRE)
    with pytest.raises(Aborted):
        gate.acquire_spectrum("EELS", 0.1)
    assert not bare.beam.on


def test_who_waits_is_told_why_however_soon_an_abort_ends_it(gate, bare):
    """The exposure has ended, and is told of, before the abort comes back."""
    exposing, told = threading.Event(), threading.Event()
    bare.hold = threading.Event()
    bare.during_exposure = lambda _: exposing.set()
    hear, errors = bare.abort, []

    def abort() -> None:
        hear()
        assert told.wait(60)

    def expose() -> None:
        with pytest.raises(Aborted) as raised:
            gate.acquire_spectrum("EELS", 0.1)
        errors.append(raised.value)
        told.set()

    gate.place_beam(CENTRE)
    waiting = meanwhile(expose)
    assert exposing.wait(60)
    bare.abort = abort
    gate.abort("the client is silent")
    waiting.join()
    assert str(errors[0]).startswith("the client is silent: ")
    with pytest.raises(Aborted, match="the client is silent"):
        gate.place_beam(CENTRE)


def test_an_abort_wins_over_an_unblanking_under_way(gate, bare):
    aborting = threading.Thread(target=gate.abort)

    def abort_meanwhile() -> None:
        aborting.start()
        while not gate.is_aborted:
            threading.Event().wait(0.001)

    bare.before_unblank = abort_meanwhile
    gate.place_beam(CENTRE)
    with pytest.raises(Aborted):
        gate.acquire_spectrum("EELS", 0.1)
    aborting.join()
    assert not bare.beam.on


def test_a_failed_exposure_leaves_the_beam_blanked(gate, bare):
    def fail(_: ProbePosition) -> None:
        raise InstrumentError("the camera is gone")

    bare.during_exposure = fail
    gate.place_beam(CENTRE)
    with pytest.raises(InstrumentError, match="camera"):
        gate.acquire_spectrum("EELS", 0.1)
    assert not bare.beam.on


def test_a_blanker_that_does_nothing_is_noticed(gate, bare, monkeypatch):
    gate.place_beam(CENTRE)
    with monkeypatch.context() as patched:
        patched.setattr(bare, "blank", lambda: None)
        with pytest.raises(InstrumentError, match="still reads as on"):
            gate.acquire_spectrum("EELS", 0.1)


def test_the_dose_is_booked_before_the_beam_is_on(gate, bare):
    exposure_e = dose_electrons(10.0, 0.1)
    gate.limit_dose(DoseLimits(run_e=2.5 * exposure_e))
    for _ in range(2):
        gate.place_beam(CENTRE)
        gate.acquire_spectrum("EELS", 0.1)
    gate.place_beam(CENTRE)
    with pytest.raises(DoseExceeded, match="left"):
        gate.acquire_spectrum("EELS", 0.1)
    assert len(bare.beam.exposed) == 2
    assert gate.dose_e == pytest.approx(2 * exposure_e)
    gate.limit_dose(DoseLimits())
    gate.acquire_spectrum("EELS", 0.1)


def test_a_dose_budget_needs_a_known_current():
    gate = GuardedInstrument(FakeInstrument(FakeSettings(current_pa=None)))
    gate.connect()
    with pytest.raises(Unsupported, match="beam current"):
        gate.limit_dose(DoseLimits(run_e=1e6))
    gate.place_beam(CENTRE)
    gate.acquire_spectrum("EELS", 0.1)
    assert math.isnan(gate.dose_e)


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_that_is_no_budget_is_refused(budget):
    with pytest.raises(OutOfRange):
        DoseLimits(run_e=budget)


@pytest.mark.parametrize("exposure_s", [0.0, 100.0, math.nan])
def test_an_exposure_out_of_range_costs_no_dose(gate, exposure_s):
    gate.place_beam(CENTRE)
    with pytest.raises(OutOfRange):
        gate.acquire_spectrum("EELS", exposure_s)
    assert gate.dose_e == 0


def test_a_second_user_is_told_that_the_instrument_is_busy(gate, bare):
    errors = []

    def intrude(_: ProbePosition) -> None:
        with pytest.raises(Busy) as caught:
            gate.place_beam(CENTRE)
        errors.append(caught.value)

    bare.during_exposure = intrude
    gate.place_beam(CENTRE)
    gate.acquire_spectrum("EELS", 0.1)
    assert len(errors) == 1


def test_an_instrument_with_a_gate_of_its_own_is_told_what_this_one_is_told():
    class FarAway(FakeInstrument):
        def __init__(self) -> None:
            super().__init__()
            self.told = []

        def hand_on_constraint(self, constraint):
            self.told.append(constraint)

        def hand_on_run(self, taken):
            self.told.append(taken)

        def hand_on_dose_limits(self, limits):
            self.told.append(limits)

    bare, taken = FarAway(), (Exposure(CENTRE, 0.1),)
    gate = GuardedInstrument(bare)
    gate.connect()
    gate.set_constraint(LeftHalf())
    gate.begin_run(iter(taken))
    gate.limit_dose(DoseLimits(run_e=1e9))
    assert bare.told == [LeftHalf(), taken, DoseLimits(run_e=1e9)]
    assert gate.dose_e == 0


def meanwhile(work) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("moment", ["acquire_spectrum", "acquire_survey"])
def test_an_abort_reaches_the_instrument_while_an_acquisition_runs(recording, moment):
    """The acquisition does not come back before the instrument heard of the abort."""
    gate = connected(recording)
    heard, aborting = threading.Event(), []
    hear = recording.abort

    def abort() -> None:
        hear()
        heard.set()

    def hang(which: str) -> None:
        if which == moment:
            aborting.append(meanwhile(gate.abort))
            assert heard.wait(60)
            recording.log.append("the acquisition comes back")

    recording.abort, recording.at = abort, hang
    gate.place_beam(CENTRE)
    with pytest.raises(Aborted):
        if moment == "acquire_spectrum":
            gate.acquire_spectrum("EELS", 0.1)
        else:
            gate.acquire_survey(["HAADF"], (8, 8), 1e-5)
    aborting[0].join()
    assert recording.log.index("abort") < recording.log.index(
        "the acquisition comes back"
    )
    assert not recording.beam.on


def test_an_abort_just_before_a_scan_begins_is_told_again(recording):
    """A scan lifts what the instrument itself knows of an abort: it hears it again."""
    gate = connected(recording)

    def abort_too_early(moment: str) -> None:
        if moment == "acquire_survey":
            recording.at = lambda moment: None
            gate.abort()
            recording._aborted.clear()
            recording.beam.on = True
            assert recording._aborted.wait(60)

    recording.at = abort_too_early
    with pytest.raises(Aborted):
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5)
    assert not recording.beam.on


def test_an_abort_that_fails_still_blanks(gate, bare, monkeypatch):
    def abort() -> None:
        raise InstrumentError("no such command")

    monkeypatch.setattr(bare, "abort", abort)
    gate.place_beam(CENTRE)
    bare.beam.on = True
    with pytest.raises(InstrumentError, match="no such command"):
        gate.abort()
    assert gate.is_aborted
    assert not bare.beam.on


def test_an_instrument_that_does_not_come_back_is_ended(recording):
    gate = connected(recording, patience_s=0.0)
    recording.hold = threading.Event()
    gate.place_beam(CENTRE)
    with pytest.raises(AcquisitionTimeout, match="did not come back"):
        gate.acquire_spectrum("EELS", 0.001)
    assert not recording.beam.on


def test_a_time_out_of_the_instrument_leaves_the_beam_blanked(recording):
    gate = connected(recording)

    def too_late(moment: str) -> None:
        if moment == "acquire_spectrum":
            raise AcquisitionTimeout("no answer within 3 s")

    recording.after = too_late
    gate.place_beam(CENTRE)
    with pytest.raises(AcquisitionTimeout, match="no answer"):
        gate.acquire_spectrum("EELS", 0.1)
    assert not recording.beam.on


def test_after_a_move_that_failed_the_beam_has_to_be_placed_again(recording):
    """It may be where it was, or where it was to go."""
    gate = connected(recording)
    gate.place_beam(CENTRE)

    def too_late(moment: str) -> None:
        if moment == "place_beam":
            raise AcquisitionTimeout("no answer within 3 s")

    recording.after = too_late
    with pytest.raises(AcquisitionTimeout):
        gate.place_beam(RIGHT)
    with pytest.raises(OutOfRange, match="place the beam first"):
        gate.acquire_spectrum("EELS", 0.1)
    assert recording.delivered == []


def test_after_a_scan_the_beam_has_to_be_placed_again(recording):
    gate = connected(recording)
    gate.place_beam(CENTRE)
    gate.acquire_survey(["HAADF"], (8, 8), 1e-5)
    with pytest.raises(OutOfRange, match="place the beam first"):
        gate.acquire_spectrum("EELS", 0.1)


def test_a_place_closed_while_the_beam_unblanks_is_not_exposed(recording):
    gate = connected(recording)
    recording.before_unblank = lambda: gate.set_constraint(LeftHalf())
    gate.place_beam(RIGHT)
    with pytest.raises(ForbiddenPosition, match="right half"):
        gate.acquire_spectrum("EELS", 0.1)
    assert recording.delivered == []
    assert not recording.beam.on


@dataclass
class Watched:
    """Open everywhere; calls somebody whenever the gate looks."""

    at_look: Callable[[], None]

    def refusal_of_scan(self, area: Area) -> str | None:
        self.at_look()
        return None

    def refusal(self, position: ProbePosition) -> str | None:
        self.at_look()
        return None


def measure(gate: GuardedInstrument, what: str) -> None:
    if what == "acquire_survey":
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5)
    else:
        gate.place_beam(CENTRE)
        gate.acquire_spectrum("EELS", 0.1)


@pytest.mark.parametrize("what", ["acquire_spectrum", "acquire_survey"])
def test_where_the_beam_may_be_is_looked_at_while_it_is_blanked(recording, what):
    """Before an exposure and after it: with the beam on, looking would expose."""
    gate, was_on = connected(recording), []

    def look() -> None:
        was_on.append(recording.beam.on)
        recording.log.append("look")

    gate.set_constraint(Watched(look))
    measure(gate, what)
    assert not any(was_on)
    assert recording.log[-2:] == ["blank", "look"]


@pytest.mark.parametrize("what", ["acquire_spectrum", "acquire_survey"])
def test_an_abort_does_not_wait_for_a_look_at_the_regions(recording, what):
    gate, was_done = connected(recording), []

    def abort_meanwhile() -> None:
        aborting = meanwhile(gate.abort)
        aborting.join(5)
        was_done.append(not aborting.is_alive())

    # What is looked at last before the beam is on.
    looks = {"acquire_survey": 2, "acquire_spectrum": 3}[what]
    coming = iter([lambda: None] * (looks - 1) + [abort_meanwhile])
    gate.set_constraint(Watched(lambda: next(coming)()))
    with pytest.raises(Aborted):
        measure(gate, what)
    assert was_done == [True]
    assert recording.delivered == []


def test_a_survey_image_of_what_is_closed_meanwhile_is_ended_and_discarded(recording):
    gate = connected(recording)

    def paint(moment: str) -> None:
        if moment == "acquire_survey":
            gate.set_constraint(LeftHalf())
            assert recording._aborted.wait(60)

    recording.at = paint
    with pytest.raises(ForbiddenPosition, match="reaches into the right half"):
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5)
    assert not recording.beam.on


@pytest.mark.parametrize("shape", [(0, 8), (-8, -8), (8, 8, 8), (10**6, 10**6)])
def test_a_survey_image_of_an_impossible_shape_never_begins(recording, shape):
    gate = connected(recording)
    with pytest.raises(Unsupported, match="is not possible"):
        gate.acquire_survey(["HAADF"], shape, 1e-5)
    assert recording.delivered == []
    assert gate.dose_e == 0


def test_a_refused_blanking_says_to_blank_by_hand_and_what_came_before(recording):
    gate = connected(recording)
    gate.place_beam(CENTRE)

    def fail(moment: str) -> None:
        if moment in ("acquire_spectrum", "blank"):
            raise InstrumentError(f"{moment} says no")

    recording.at = fail
    with pytest.raises(BlankingFailed, match=r"acquire_spectrum.*blank says.*by hand"):
        gate.acquire_spectrum("EELS", 0.1)
    assert gate.status().beam is BeamState.UNVERIFIED


def test_nothing_moves_or_begins_until_a_failed_blanking_is_mended(recording):
    gate = connected(recording, settle_s=0.0)
    gate.place_beam(CENTRE)
    recording.ignores = {"blank", "abort"}
    with pytest.raises(BlankingFailed, match="still reads as on: blank it by hand"):
        gate.acquire_spectrum("EELS", 0.1)
    for use in (
        lambda: gate.acquire_spectrum("EELS", 0.1),
        lambda: gate.acquire_survey(["HAADF"], (8, 8), 1e-5),
        lambda: gate.place_beam(CENTRE),
    ):
        with pytest.raises(BlankingFailed):
            use()
    assert recording.moments["place_beam"] == 1
    assert len(recording.delivered) == 1
    recording.ignores = set()
    gate.place_beam(CENTRE)
    assert not recording.beam.on


def test_a_beam_that_somebody_unblanked_is_blanked_before_it_moves(recording):
    gate = connected(recording)
    recording.beam.on = True
    gate.place_beam(CENTRE)
    assert recording.violations == []


def test_a_blanker_that_cannot_be_read_is_never_said_to_be_blanked():
    """What it ignores silently nobody can notice; so nobody claims that it obeyed."""
    recording = RecordingInstrument(readable=False)
    gate = connected(recording)
    recording.ignores = {"blank"}
    gate.place_beam(CENTRE)
    gate.acquire_spectrum("EELS", 0.1)
    assert recording.beam.on
    assert gate.status().beam is not BeamState.BLANKED
    recording.ignores = set()
    gate.blank()
    assert gate.status().beam is BeamState.UNVERIFIED


def test_an_instrument_whose_blanker_fails_is_not_left_connected(recording):
    recording.connect()
    recording.beam.on = True
    recording.ignores = {"blank", "abort"}
    gate = GuardedInstrument(recording, settle_s=0.0)
    with pytest.raises(BlankingFailed):
        gate.connect()
    assert not gate.status().connected
    with pytest.raises(NotConnected):
        gate.place_beam(CENTRE)


def test_disconnecting_tells_of_a_beam_that_stays_on(recording):
    gate = connected(recording, settle_s=0.0)
    recording.ignores = {"blank", "abort"}
    recording.beam.on = True
    with pytest.raises(BlankingFailed, match="by hand"):
        gate.disconnect()
    assert not gate.status().connected


def test_disconnecting_ends_an_exposure(recording):
    gate = connected(recording)
    recording.hold = threading.Event()
    leaving = []
    recording.during_exposure = lambda _: leaving.append(meanwhile(gate.disconnect))
    gate.place_beam(CENTRE)
    with pytest.raises(InstrumentError):
        gate.acquire_spectrum("EELS", 0.1)
    leaving[0].join()
    assert not recording.beam.on
    assert not recording.connected


def test_an_abort_while_it_connects_holds(recording):
    gate = GuardedInstrument(recording)
    recording.at = lambda moment: gate.abort() if moment == "connect" else None
    gate.connect()
    with pytest.raises(Aborted):
        gate.acquire_survey(["HAADF"], (8, 8), 1e-5)
    assert recording.delivered == []


def test_a_current_beyond_what_the_instrument_allows_is_refused(bare, monkeypatch):
    able = bare.capabilities
    allowed = Interval(0.0, 5.0)
    monkeypatch.setattr(
        bare, "capabilities", lambda: replace(able(), allowed_current_pa=allowed)
    )
    gate = connected(bare)
    gate.place_beam(CENTRE)
    with pytest.raises(OutOfRange, match="a beam current of 10 pA is not allowed"):
        gate.acquire_spectrum("EELS", 0.1)
    assert bare.beam.exposed == []
