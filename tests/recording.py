"""An instrument that writes down where the beam was on, and breaks when it is told to.

What it sees is judged at once against the constraint and the dose limits of the moment,
which the test keeps in `Law`; what breaks them is in `violations`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from fakes import FakeInstrument, FakeSettings
from napari_hae.instruments.base import InstrumentError, NotConnected
from napari_hae.instruments.dose import DoseLimits
from napari_hae.instruments.gate import Unconstrained
from napari_hae.types import (
    WHOLE_FIELD,
    Area,
    ProbePosition,
    ScanImage,
    Spectrum,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.instruments.gate import Constraint

TRUE_PA = 10.0
"""The current of the beam, whether the instrument says so or not."""
FIELD_NM = 80.0
ROUNDING = 1 + 1e-6
GRID = [(i + 0.31) / 7 for i in range(7)]


@dataclass
class Law:
    """What holds at the moment, as the person ordered it."""

    constraint: Constraint = field(default_factory=Unconstrained)
    limits: DoseLimits = field(default_factory=DoseLimits)


@dataclass(frozen=True)
class Delivered:
    """Electrons on the sample: of a spectrum, or of the pixels of a scan."""

    where: ProbePosition | Area
    dose_e: float
    points: int = 1

    def within(self, centre: ProbePosition, radius_nm: float) -> float:
        """What a disc around a place got of it."""
        if isinstance(self.where, ProbePosition):
            across = (self.where.x - centre.x) * FIELD_NM
            down = (self.where.y - centre.y) * FIELD_NM
            return self.dose_e if math.hypot(across, down) <= radius_nm else 0.0
        if centre not in self.where:
            return 0.0
        area_nm2 = self.where.width * self.where.height * FIELD_NM**2
        share = min(math.pi * radius_nm**2 / area_nm2, 1)
        return self.dose_e * max(share, 1 / self.points)


class RecordingInstrument(FakeInstrument):
    """Scans areas, and can be told to fail at any of its moments.

    Attributes
    ----------
    at
        Called with the name of each moment, which comes before what it names; what it
        raises the instrument raises.
    after
        The same when it was done, as where an answer does not come in time.
    ignores
        The commands that are taken and do nothing.
    """

    title: ClassVar[str] = "Recording"

    def __init__(self, *, says_current: bool = True, readable: bool = True) -> None:
        super().__init__(FakeSettings(current_pa=TRUE_PA if says_current else None))
        self.law = Law()
        self.readable = readable
        self.at: Callable[[str], None] = lambda moment: None
        self.after: Callable[[str], None] = lambda moment: None
        self.ignores: set[str] = set()
        self.is_cut = False
        self.is_left_on = False
        """Whether the last command to blank did not reach the beam."""
        self.moments: Counter[str] = Counter()
        self.log: list[str] = []
        self.violations: list[str] = []
        self.delivered: list[Delivered] = []
        self.run_from = 0

    def capabilities(self):
        self._come("capabilities")
        return replace(
            super().capabilities(),
            blanker_can_be_read=self.readable,
            scans_areas=True,
            largest_survey_shape=(64, 64),
        )

    def status(self):
        self.moments["status"] += 1
        try:
            self.at("status")
        except InstrumentError:
            # It never raises: it goes on as it can.
            pass
        if self.is_cut:
            return replace(super().status(), connected=False)
        return super().status()

    def connect(self):
        self._come("connect")
        super().connect()
        self.after("connect")

    def disconnect(self):
        if not (self.is_cut or "blank" in self.ignores):
            super().disconnect()
        self.connected = False

    def place_beam(self, position):
        self._expect_dark("place_beam")
        self._expect_open(position, "place_beam")
        self._come("place_beam")
        super().place_beam(position)
        self.after("place_beam")

    def unblank(self):
        self._expect_open(self.position, "unblank")
        self._come("unblank")
        super().unblank()
        self.after("unblank")

    def acquire_spectrum(self, detector, exposure_s) -> Spectrum:
        if self.beam.on:
            self._expect_open(self.position, "acquire_spectrum")
            dose_e = dose_electrons(TRUE_PA, exposure_s)
            self._deliver(Delivered(self.position, dose_e))
        self._come("acquire_spectrum")
        spectrum = super().acquire_spectrum(detector, exposure_s)
        self.after("acquire_spectrum")
        current_pa = self.settings.current_pa or math.nan
        return replace(spectrum, dose_e=dose_electrons(current_pa, exposure_s))

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        self._expect_dark("acquire_survey")
        if self.law.constraint.refusal_of_scan(area) is not None:
            self.violations.append(f"a scan of {area}")
        self._aborted.clear()
        points = shape[0] * shape[1]
        dose_e = dose_electrons(TRUE_PA, dwell_time_s * points)
        self._check()
        self.beam.on = True
        self._deliver(Delivered(area, dose_e, points))
        self._come("acquire_survey")
        image = super().acquire_survey(detectors, shape, dwell_time_s)
        if self._aborted.is_set():
            raise InstrumentError("the scan has ended before its time")
        self.after("acquire_survey")
        fov_nm = FIELD_NM * area.height, FIELD_NM * area.width
        return replace(image, area=area, fov_nm=fov_nm)

    def blank(self):
        self.is_left_on = True
        self._come("blank")
        if "blank" not in self.ignores:
            super().blank()
            self.is_left_on = False
        self.after("blank")

    def abort(self):
        self.moments["abort"] += 1
        self.log.append("abort")
        self._aborted.set()
        if not (self.is_cut or "abort" in self.ignores):
            self.beam.on = self.is_left_on = False

    def _come(self, moment: str) -> None:
        self.moments[moment] += 1
        if moment != "capabilities":
            self.log.append(moment)
        self.at(moment)
        if self.is_cut:
            raise NotConnected("the link is cut")

    def _expect_dark(self, what: str) -> None:
        # A blanker that does nothing and cannot be read fools everybody.
        if self.beam.on and not (self.is_left_on and not self.readable):
            self.violations.append(f"{what} with the beam on")

    def _expect_open(self, position: ProbePosition, what: str) -> None:
        if not position.is_inside or self.law.constraint.refusal(position):
            self.violations.append(f"{what} at {position}")

    def _deliver(self, what: Delivered) -> None:
        self.delivered.append(what)
        limits = self.law.limits
        run_e = sum(each.dose_e for each in self.delivered[self.run_from :])
        self._expect_at_most(run_e, limits.run_e, f"the run at {what}")
        spots = {d.where for d in self.delivered if isinstance(d.where, ProbePosition)}
        spots |= {ProbePosition(x, y) for x in GRID for y in GRID}
        concerned = [spot for spot in spots if what.within(spot, limits.radius_nm)]
        for spot in concerned:
            point_e = sum(each.within(spot, 1e-3) for each in self.delivered)
            self._expect_at_most(point_e, limits.point_e, f"the point {spot}")
            disc_e = sum(each.within(spot, limits.radius_nm) for each in self.delivered)
            density = disc_e / limits.disc_nm2
            most = limits.local_e_per_nm2
            self._expect_at_most(density, most, f"the disc around {spot}")

    def _expect_at_most(self, dose: float, limit: float | None, what: str) -> None:
        if limit is not None and dose > limit * ROUNDING:
            self.violations.append(f"{what} took {dose:.4g} of {limit:.4g}")
