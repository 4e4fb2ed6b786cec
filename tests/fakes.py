"""An instrument that measures instantly and writes down everything done to the beam."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.base import (
    Aborted,
    Capabilities,
    Interval,
    NotConnected,
    SpectrumDetector,
    Status,
)
from napari_hae.settings_base import Settings
from napari_hae.types import (
    WHOLE_FIELD,
    Area,
    BeamState,
    EnergyAxis,
    ProbePosition,
    ScanImage,
    Spectrum,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENERGY = EnergyAxis(offset_ev=0.0, dispersion_ev=0.1, size=16)


class FakeSettings(Settings):
    shape: tuple[int, int] = Field(default=(8, 8), title="Shape")
    scans_areas: bool = Field(default=False, title="Scans areas")
    current_pa: float | None = Field(default=10.0, title="Current (pA)")


@dataclass
class Beam:
    """What was done to the beam, in order."""

    placed: list[ProbePosition] = field(default_factory=list)
    exposed: list[ProbePosition] = field(default_factory=list)
    on: bool = False


class FakeInstrument:
    """A smooth bump in the field; hooks let a test act at a chosen moment."""

    title: ClassVar[str] = "Fake"
    settings_type: ClassVar[type[FakeSettings]] = FakeSettings

    def __init__(self, settings: FakeSettings | None = None) -> None:
        self.settings = settings or FakeSettings()
        self.beam = Beam()
        self.connected = False
        self.position: ProbePosition | None = None
        self.during_exposure: Callable[[ProbePosition], None] | None = None
        self.before_unblank: Callable[[], None] | None = None
        self.hold: threading.Event | None = None
        self._aborted = threading.Event()

    def connect(self) -> None:
        self.connected = True

    def disconnect(self) -> None:
        self.beam.on = False
        self.connected = False

    def capabilities(self) -> Capabilities:
        self._check()
        return Capabilities(
            survey_detectors=("HAADF",),
            spectrum_detectors=(SpectrumDetector("EELS", ENERGY, (0.3, 0.6)),),
            survey_shape=self.settings.shape,
            smallest_survey_shape=self.settings.shape,
            largest_survey_shape=self.settings.shape,
            dwell_time_s=Interval(1e-6, 1.0),
            exposure_s=Interval(1e-3, 10.0),
            fov_nm=(80.0, 80.0),
            current_pa=self.settings.current_pa,
            blanker_can_be_read=True,
            scans_areas=self.settings.scans_areas,
        )

    def status(self) -> Status:
        state = BeamState.ON if self.beam.on else BeamState.BLANKED
        return Status(self.connected, state, self.position)

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        self._check()
        frame = FieldFrame(shape, (80.0 * area.height, 80.0 * area.width), area)
        data = [
            [bump(frame.position(row, column)) for column in range(shape[1])]
            for row in range(shape[0])
        ]
        image = np.array([data], np.float32)
        return ScanImage(image, ("HAADF",), frame.fov_nm, dwell_time_s, area)

    def place_beam(self, position: ProbePosition) -> None:
        self._check()
        self._aborted.clear()
        self.position = position
        self.beam.placed.append(position)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        self._check()
        assert self.position is not None
        if self._aborted.is_set():
            raise Aborted("aborted")
        assert self.beam.on
        self.beam.exposed.append(self.position)
        if self.during_exposure is not None:
            self.during_exposure(self.position)
        if self.hold is not None:
            while not (self.hold.wait(0.01) or self._aborted.is_set()):
                pass
        if self._aborted.is_set():
            raise Aborted("aborted")
        counts = np.full(ENERGY.size, bump(self.position), np.float32)
        return Spectrum(counts, ENERGY, "EELS", self.position, exposure_s, 1.0)

    def blank(self) -> None:
        self._check()
        self.beam.on = False

    def unblank(self) -> None:
        self._check()
        if self.before_unblank is not None:
            self.before_unblank()
        self.beam.on = True

    def abort(self) -> None:
        self.beam.on = False
        self._aborted.set()

    def _check(self) -> None:
        if not self.connected:
            raise NotConnected("the fake is not connected")


def bump(position: ProbePosition) -> float:
    """What the fake measures: a smooth bump at (x=0.7, y=0.3)."""
    distance = (position.x - 0.7) ** 2 + (position.y - 0.3) ** 2
    return float(100 * np.exp(-distance / 0.05))
