"""The beam, the abort and the waiting of instruments that live in this process."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from napari_hae.instruments.base import (
    Aborted,
    NotConnected,
    OutOfRange,
    Status,
    check_area,
    check_detectors,
    check_exposure,
    check_interval,
    check_position,
    check_shape,
    in_use,
)
from napari_hae.types import WHOLE_FIELD, BeamState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import BaseModel

    from napari_hae.instruments.base import Capabilities
    from napari_hae.types import Area, ProbePosition, ScanImage, Spectrum


class InProcessInstrument(ABC):
    """An `Instrument` whose beam is a variable.

    A subclass says what it can do and what it measures; everything about the state of
    the beam is here.

    Parameters
    ----------
    dead_time_s
        Added to every acquisition, on the wall clock.
    realtime
        Whether acquisitions also take their exposure or scan time on the wall clock.
    """

    title: ClassVar[str]
    settings_type: ClassVar[type[BaseModel]]

    def __init__(self, *, dead_time_s: float, realtime: bool) -> None:
        self._dead_time_s = dead_time_s
        self._realtime = realtime
        self._state = threading.Lock()
        self._using = threading.Lock()
        self._aborted = threading.Event()
        self._connected = False
        self._beam = BeamState.BLANKED
        self._position: ProbePosition | None = None

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """Return the capabilities. Raises `NotConnected`."""

    @abstractmethod
    def _scan(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area,
    ) -> ScanImage:
        """Return the survey image for validated arguments."""

    @abstractmethod
    def _spectrum_at(
        self, position: ProbePosition, detector: str, exposure_s: float, *, lit: bool
    ) -> Spectrum:
        """Return the spectrum at a position, dark if the beam is not on."""

    def connect(self) -> None:
        """Connect, with the beam blanked afterwards."""
        with self._state:
            if not self._connected:
                self._beam = BeamState.BLANKED
                self._aborted.clear()
                self._connected = True

    def disconnect(self) -> None:
        """Blank the beam and end what is running."""
        self.abort()
        with self._state:
            self._connected = False
            self._position = None

    def status(self) -> Status:
        """Return the current state; never raises."""
        with self._state:
            return Status(
                self._connected, self._beam, self._position, self._using.locked()
            )

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        """Scan the field of view, or an area of it.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`.
        """
        able = self.capabilities()
        check_detectors(detectors, able)
        check_shape(shape, able)
        check_area(area, able)
        check_interval("a dwell time", dwell_time_s, able.dwell_time_s, "s")
        with in_use(self._using):
            self._aborted.clear()
            with self._beam_on():
                self._wait(dwell_time_s * shape[0] * shape[1])
                image = self._scan(detectors, shape, dwell_time_s, area)
            self._check_not_aborted()
        return image

    def place_beam(self, position: ProbePosition) -> None:
        """Put the beam at a position. Raises `NotConnected`, `OutOfRange`, `Busy`."""
        self._check_connected()
        check_position(position)
        with in_use(self._using):
            self._aborted.clear()
            self._move(position)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum where the beam is; dark while the beam is blanked.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`.
        """
        check_exposure(detector, exposure_s, self.capabilities())
        with in_use(self._using):
            return self._expose(detector, exposure_s)

    def blank(self) -> None:
        """Keep the electrons off the sample. Raises `NotConnected`."""
        self._check_connected()
        with self._state:
            self._beam = BeamState.BLANKED

    def unblank(self) -> None:
        """Let the electrons reach the sample.

        Raises `NotConnected`, and `Aborted` while an abort holds.
        """
        self._check_connected()
        with self._state:
            self._check_not_aborted()
            self._beam = BeamState.ON

    def abort(self) -> None:
        """Blank at once, then end what is running."""
        with self._state:
            self._beam = BeamState.BLANKED
            self._aborted.set()

    def _move(self, position: ProbePosition) -> None:
        with self._state:
            self._position = position

    def _expose(self, detector: str, exposure_s: float) -> Spectrum:
        with self._state:
            position, lit = self._position, self._beam is BeamState.ON
        if position is None:
            raise OutOfRange("no probe position: place the beam first")
        self._check_not_aborted()
        self._wait(exposure_s)
        spectrum = self._spectrum_at(position, detector, exposure_s, lit=lit)
        self._check_not_aborted()
        return spectrum

    @contextmanager
    def _beam_on(self) -> Iterator[None]:
        try:
            self.unblank()
            yield
        finally:
            with self._state:
                self._beam = BeamState.BLANKED

    def _wait(self, acquisition_s: float) -> None:
        """Let the time pass that an acquisition takes; an abort ends it at once."""
        wait_s = self._dead_time_s + (acquisition_s if self._realtime else 0.0)
        if wait_s > 0:
            self._aborted.wait(wait_s)
        self._check_not_aborted()

    def _check_not_aborted(self) -> None:
        if self._aborted.is_set():
            raise Aborted("aborted: place the beam or start an acquisition to go on")

    def _check_connected(self) -> None:
        if not self._connected:
            raise NotConnected(f"{self.title} is not connected")
