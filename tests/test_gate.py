from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import pytest

from fakes import FakeInstrument, FakeSettings
from napari_hae.instruments.base import (
    Aborted,
    Busy,
    DoseExceeded,
    ForbiddenPosition,
    InstrumentError,
    OutOfRange,
    Unsupported,
)
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.types import Area, BeamState, ProbePosition, dose_electrons

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


def test_many_positions_are_checked_one_by_one_as_the_beam_goes(gate, bare):
    def positions():
        yield CENTRE
        gate.set_constraint(LeftHalf())
        yield RIGHT

    spectra = gate.acquire_spectra(positions(), "EELS", 0.1)
    assert next(spectra).position == CENTRE
    with pytest.raises(ForbiddenPosition):
        next(spectra)
    assert bare.beam.placed == [CENTRE]


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
    gate.set_dose_budget(2.5 * exposure_e)
    for _ in range(2):
        gate.place_beam(CENTRE)
        gate.acquire_spectrum("EELS", 0.1)
    gate.place_beam(CENTRE)
    with pytest.raises(DoseExceeded, match="left"):
        gate.acquire_spectrum("EELS", 0.1)
    assert len(bare.beam.exposed) == 2
    assert gate.dose_e == pytest.approx(2 * exposure_e)
    gate.set_dose_budget(None)
    gate.acquire_spectrum("EELS", 0.1)


def test_a_dose_budget_needs_a_known_current():
    gate = GuardedInstrument(FakeInstrument(FakeSettings(current_pa=None)))
    gate.connect()
    with pytest.raises(Unsupported, match="beam current"):
        gate.set_dose_budget(1e6)
    gate.place_beam(CENTRE)
    gate.acquire_spectrum("EELS", 0.1)
    assert math.isnan(gate.dose_e)


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_that_is_no_budget_is_refused(gate, budget):
    with pytest.raises(OutOfRange):
        gate.set_dose_budget(budget)


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

        def hand_on_dose_budget(self, budget_e):
            self.told.append(budget_e)

    bare = FarAway()
    gate = GuardedInstrument(bare)
    gate.connect()
    gate.set_constraint(LeftHalf())
    gate.set_dose_budget(1e9)
    gate.set_dose_budget(None)
    with pytest.raises(OutOfRange):
        gate.set_dose_budget(-1)
    assert bare.told == [LeftHalf(), 1e9, None]
