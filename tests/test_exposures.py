"""How long a place is exposed: once, or until the target's error is small enough."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from fakes import FakeInstrument, FakeSettings
from napari_hae.agent.goal import Goal
from napari_hae.agent.scalarizers import BandIntegral
from napari_hae.experiment.exposures import Exposures, Judge, stays
from napari_hae.experiment.settings import MeasurementSettings
from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.dose import DoseLimits
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.types import ProbePosition, Spectrum, dose_electrons

BAND = BandIntegral(low_ev=0.3, high_ev=0.6)
JUDGE = Judge(BAND, Goal(), math.nan)
PLACE = ProbePosition(0.7, 0.3)
WANTED = MeasurementSettings(
    exposure_s=0.1, relative_error=0.025, longest_exposure_s=2.0
)


class Counting(FakeInstrument):
    """Gives the spectra that it is told to, one after the other."""

    def __init__(self, counts) -> None:
        super().__init__(FakeSettings())
        self.to_give = iter(counts)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        made = super().acquire_spectrum(detector, exposure_s)
        made.counts[:] = next(self.to_give)
        return made


@pytest.fixture
def expose():
    """Exposes at a place; gives the spectrum and the instrument."""
    made = []

    def run(counts, wanted=WANTED, judge=JUDGE, budget_e=None, track=stays):
        bare = Counting(counts)
        gate = GuardedInstrument(bare)
        gate.connect()
        gate.limit_dose(DoseLimits(run_e=budget_e))
        exposures = Exposures(gate)
        made.append(exposures)
        exposures.begin(PLACE, wanted, judge, track)
        return exposures.wait(), bare

    yield run
    for exposures in made:
        exposures.close()


def test_exposures_are_added_up_until_the_error_is_reached(expose):
    # 4 channels with 100 counts each: 400 in one exposure, 1600 needed.
    spectrum, bare = expose([100] * 20)
    assert len(bare.beam.exposed) == 4
    assert spectrum.exposure_s == pytest.approx(0.4)
    assert spectrum.dose_e == pytest.approx(4.0)
    np.testing.assert_array_equal(spectrum.counts, 400)
    assert BAND.error(spectrum) <= 0.025 * BAND(spectrum)


def test_the_longest_exposure_ends_it_whatever_the_error(expose):
    spectrum, bare = expose([1] * 50)
    assert len(bare.beam.exposed) == 20
    assert spectrum.exposure_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("wanted", "judge"),
    [(MeasurementSettings(), JUDGE), (WANTED, None)],
    ids=["no error is wanted", "no band is chosen yet"],
)
def test_else_there_is_one_exposure(expose, wanted, judge):
    spectrum, bare = expose([1] * 50, wanted, judge)
    assert len(bare.beam.exposed) == 1
    assert spectrum.exposure_s == wanted.exposure_s


def test_what_is_left_of_the_dose_is_used_and_never_more(expose):
    each_e = dose_electrons(10.0, 0.1)
    spectrum, bare = expose([1] * 50, budget_e=3.5 * each_e)
    assert len(bare.beam.exposed) == 3
    np.testing.assert_array_equal(spectrum.counts, 3)


def test_where_nothing_was_counted_repeats_tell_the_error(expose):
    # Standard deviation of the mean of three: 2 % of it.
    middle, off = 10.5, 10.5 * 0.02 * math.sqrt(3)
    spectrum, bare = expose([middle - off, middle, middle + off, middle])
    assert len(bare.beam.exposed) == 3
    assert spectrum.counts[0] == pytest.approx(3 * middle)


def test_a_dark_place_is_exposed_for_longest(expose):
    _, bare = expose([0] * 50)
    assert len(bare.beam.exposed) == 20


@pytest.mark.parametrize(
    ("goal", "best", "exposures"),
    [
        (Goal(), 160.0, 1),  # 4 counts in 0.1 s: 40 ± 20 a second
        (Goal(), 41.0, 20),
        (Goal(direction="minimise"), 160.0, 20),
        (Goal(direction="reach", value=200.0), 190.0, 1),
    ],
    ids=["surely worse", "perhaps better", "surely better", "surely farther"],
)
def test_what_is_surely_worse_than_the_best_is_not_exposed_on(
    expose, goal, best, exposures
):
    judge = Judge(BAND, goal, best)
    _, bare = expose([1] * 50, judge=judge)
    assert len(bare.beam.exposed) == exposures
    _, bare = expose([1] * 50, WANTED.model_copy(update={"only_promising": False}))
    assert len(bare.beam.exposed) == 20


def test_an_exposure_that_nobody_waits_for_is_aborted_at_the_end():
    bare = Counting([1] * 5)
    bare.hold = threading.Event()
    gate = GuardedInstrument(bare)
    gate.connect()
    exposures = Exposures(gate)
    exposures.begin(PLACE, MeasurementSettings(), JUDGE)
    exposures.close()
    assert not bare.beam.on
    assert gate.is_aborted


def test_an_abort_that_fails_does_not_keep_the_thread():
    bare = Counting([1] * 5)
    bare.hold = threading.Event()
    gate = GuardedInstrument(bare)
    gate.connect()

    def abort() -> None:
        FakeInstrument.abort(bare)
        raise InstrumentError("no answer")

    bare.abort = abort
    exposures = Exposures(gate)
    exposures.begin(PLACE, MeasurementSettings(), JUDGE)
    with pytest.raises(InstrumentError, match="no answer"):
        exposures.close()
    assert not any("hae-beam" in each.name for each in threading.enumerate())
    assert not bare.beam.on


def test_a_place_that_moves_on_is_followed_before_each_repeat(expose):
    asked_s = []

    def track(exposed_s: float) -> ProbePosition | None:
        asked_s.append(exposed_s)
        return ProbePosition(0.7, 0.4) if len(asked_s) == 2 else None

    spectrum, bare = expose([100] * 20, track=track)
    assert asked_s == pytest.approx([0.1, 0.2, 0.3])
    assert bare.beam.exposed == [PLACE, PLACE, *2 * [ProbePosition(0.7, 0.4)]]
    assert spectrum.exposure_s == pytest.approx(0.4)
    assert spectrum.position == PLACE


def test_where_a_place_may_not_go_what_it_took_is_kept(expose):
    spectrum, bare = expose([100] * 20, track=lambda _: ProbePosition(0.7, 1.2))
    assert len(bare.beam.exposed) == 1
    assert spectrum.exposure_s == pytest.approx(0.1)
