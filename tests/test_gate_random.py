"""Random commands, faults and paintings: what the gate promises holds in 2000 cases."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_hae.instruments.base import (
    AcquisitionTimeout,
    BlankingFailed,
    InstrumentError,
)
from napari_hae.instruments.dose import DoseLimits
from napari_hae.instruments.gate import GuardedInstrument, Unconstrained
from napari_hae.types import Area, BeamState, ProbePosition, dose_electrons
from recording import TRUE_PA, Law, RecordingInstrument

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.types import Spectrum

    Command = tuple[str, int, int]

PLACES = [
    ProbePosition(0.25, 0.5),
    # 0.8 nm beside it.
    ProbePosition(0.26, 0.5),
    ProbePosition(0.75, 0.5),
    ProbePosition(0.5, 0.2),
    ProbePosition(math.nan, 0.5),
    ProbePosition(1.2, 0.5),
]
AREAS = [Area(0, 0, 1, 1), Area(0, 0, 0.5, 1), Area(0.4, 0.2, 0.9, 0.6)]
EXPOSURES_S = [0.05, 0.1, 0.4, math.nan, 1e3]
ONE_E = dose_electrons(TRUE_PA, 0.1)


@dataclass(frozen=True)
class Half:
    """Closes what lies left or right of the middle."""

    is_left: bool

    def refusal_of_scan(self, area: Area) -> str | None:
        reaches = area.left < 0.5 if self.is_left else area.right > 0.5
        return "reaches into the closed half" if reaches else None

    def refusal(self, position: ProbePosition) -> str | None:
        lies = position.x < 0.5 if self.is_left else position.x > 0.5
        return "lies in the closed half" if lies else None


CONSTRAINTS = [Unconstrained(), Half(True), Half(False)]
LIMITS = [
    DoseLimits(),
    DoseLimits(run_e=2.3 * ONE_E),
    DoseLimits(run_e=4 * ONE_E, current_pa=TRUE_PA),
    DoseLimits(point_e=1.05 * ONE_E, current_pa=TRUE_PA),
    DoseLimits(local_e_per_nm2=0.1 * ONE_E, current_pa=TRUE_PA),
    DoseLimits(
        run_e=9 * ONE_E,
        point_e=3 * ONE_E,
        local_e_per_nm2=0.4 * ONE_E,
        radius_nm=1.0,
        current_pa=TRUE_PA,
    ),
]
MOMENTS = [
    "capabilities",
    "status",
    "connect",
    "place_beam",
    "unblank",
    "acquire_spectrum",
    "acquire_survey",
    "blank",
]
HAPPENINGS = ["error", "late", "ignore", "refuse", "cut", "paint", "abort", "leave"]


@dataclass(frozen=True)
class Happening:
    """What comes in between, at a moment of the instrument."""

    moment: str
    kind: str
    constraint: int


happenings = st.builds(
    Happening, st.sampled_from(MOMENTS), st.sampled_from(HAPPENINGS), st.integers(0, 2)
)
commands = st.one_of(
    st.tuples(st.just("measure"), st.integers(0, 5), st.integers(0, 4)),
    st.tuples(st.just("measure"), st.integers(0, 3), st.integers(0, 2)),
    st.tuples(st.just("expose"), st.integers(0, 4), st.just(0)),
    st.tuples(st.just("scan"), st.integers(0, 2), st.integers(0, 1)),
    st.tuples(st.just("paint"), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("limit"), st.integers(0, 5), st.just(0)),
    st.tuples(
        st.sampled_from(["run", "abort", "rearm", "blank", "unblank", "reconnect"]),
        st.just(0),
        st.just(0),
    ),
)
steps = st.lists(
    st.tuples(commands, st.lists(happenings, max_size=2)), min_size=3, max_size=12
)


class Trial:
    """A gate with an instrument that breaks, and somebody who uses both."""

    def __init__(self, *, says_current: bool, readable: bool) -> None:
        self.bare = RecordingInstrument(says_current=says_current, readable=readable)
        self.gate = GuardedInstrument(self.bare, settle_s=0.0)
        self.law: Law = self.bare.law
        self.threads: list[threading.Thread] = []
        self.waiting: list[Happening] = []
        self.told: list[InstrumentError] = []
        self.bare.at, self.bare.after = self.on_moment, self.on_done
        self.gate.connect()

    def on_moment(self, moment: str) -> None:
        self._happen(moment, set(HAPPENINGS) - {"late"})

    def on_done(self, moment: str) -> None:
        self._happen(moment, {"late"})

    def _happen(self, moment: str, kinds: set[str]) -> None:
        for each in list(self.waiting):
            if each.moment == moment and each.kind in kinds:
                if each.kind != "refuse":
                    self.waiting.remove(each)
                getattr(self, f"_{each.kind}")(each)

    def _error(self, _: Happening) -> None:
        raise InstrumentError("the device says no")

    _refuse = _error

    def _late(self, _: Happening) -> None:
        raise AcquisitionTimeout("no answer in time")

    def _ignore(self, _: Happening) -> None:
        self.bare.ignores |= {"blank", "abort"}

    def _cut(self, _: Happening) -> None:
        self.bare.is_cut = True

    def _paint(self, happening: Happening) -> None:
        # As from the window's thread, which never waits for the instrument.
        painting = threading.Thread(target=self.paint, args=[happening.constraint])
        painting.start()
        painting.join()

    def _abort(self, _: Happening) -> None:
        self._do_meanwhile(self.gate.abort)

    def _leave(self, _: Happening) -> None:
        self._do_meanwhile(self.gate.disconnect)

    def _do_meanwhile(self, work: Callable[[], None]) -> None:
        """Do it on another thread, and go on when the instrument has heard of it."""
        before = self.bare.moments["abort"]
        thread = threading.Thread(target=self._tell, args=[work])
        self.threads.append(thread)
        thread.start()
        while thread.is_alive() and self.bare.moments["abort"] == before:
            thread.join(1e-4)

    def _tell(self, work: Callable[[], None]) -> None:
        try:
            work()
        except InstrumentError as error:
            self.told.append(error)

    def paint(self, number: int, _: int = 0) -> None:
        self.gate.set_constraint(CONSTRAINTS[number])
        self.law.constraint = CONSTRAINTS[number]

    def measure(self, place: int, exposure: int) -> None:
        self.gate.place_beam(PLACES[place])
        self.expose(exposure)

    def expose(self, exposure: int, _: int = 0) -> None:
        self._look(self.gate.acquire_spectrum("EELS", EXPOSURES_S[exposure]))

    def _look(self, spectrum: Spectrum) -> None:
        if self.law.constraint.refusal(spectrum.position):
            self.bare.violations.append(f"a spectrum of {spectrum.position} is kept")

    def scan(self, area: int, slow: int) -> None:
        dwell_time_s = 1e-2 if slow else 1e-5
        image = self.gate.acquire_survey(["HAADF"], (8, 8), dwell_time_s, AREAS[area])
        if self.law.constraint.refusal_of_scan(image.area):
            self.bare.violations.append(f"an image of {image.area} is kept")

    def limit(self, number: int, _: int) -> None:
        self.gate.limit_dose(LIMITS[number])
        self.law.limits = LIMITS[number]

    def run(self, *_: int) -> None:
        self.gate.begin_run()
        self.bare.run_from = len(self.bare.delivered)

    def abort(self, *_: int) -> None:
        self.gate.abort()

    def rearm(self, *_: int) -> None:
        self.gate.rearm()

    def blank(self, *_: int) -> None:
        self.gate.blank()

    def unblank(self, *_: int) -> None:
        self.gate.unblank()

    def reconnect(self, *_: int) -> None:
        self.gate.disconnect()
        self.gate.connect()

    def take(self, command: Command, waiting: list[Happening]) -> None:
        """One command with what happens meanwhile, and a look at the beam."""
        self.waiting = list(waiting)
        self.told.clear()
        was_on = self.bare.beam.on
        name, *numbers = command
        self._tell(lambda: getattr(self, name)(*numbers))
        for thread in self.threads:
            thread.join()
        self.threads.clear()
        self._look_at_beam(command, was_on)
        self.waiting = []
        self.bare.ignores.clear()
        self.bare.is_cut = False

    def _look_at_beam(self, command: Command, was_on: bool) -> None:
        """On only where it cannot be blanked; then somebody is told, if it shows."""
        if not self.bare.beam.on:
            return
        violations = self.bare.violations
        if not self.bare.is_left_on:
            violations.append(f"the beam is on after {command}")
        self.waiting = []
        if self.gate.status().beam is BeamState.BLANKED:
            violations.append(f"the beam passes for blanked after {command}")
        shows = not was_on and (self.bare.readable or not self.bare.ignores)
        if shows and not any(isinstance(each, BlankingFailed) for each in self.told):
            violations.append(f"nobody is told of the beam after {command}")


@settings(max_examples=2000, derandomize=True)
@given(steps, st.booleans(), st.booleans())
def test_no_sequence_of_commands_faults_and_paintings_breaks_a_promise(
    steps, says_current, readable
):
    trial = Trial(says_current=says_current, readable=readable)
    for command, waiting in steps:
        trial.take(command, waiting)
    assert trial.bare.violations == []


def test_the_random_sequences_reach_what_they_are_to_test():
    """That the instrument sees what is wrong, and not that nothing ever happens."""
    trial = Trial(says_current=True, readable=True)
    trial.take(("measure", 0, 1), [])
    trial.take(("scan", 0, 1), [])
    assert len(trial.bare.delivered) == 2
    trial.law.constraint = CONSTRAINTS[1]
    trial.law.limits = LIMITS[1]
    trial.take(("measure", 0, 2), [])
    assert len(trial.bare.violations) >= 3
