"""Exposures on their own thread, one place at a time.

The work after an exposure, mainly writing its spectrum, is done during the next one: at
short exposures the beam would otherwise wait for the disk.
"""

from __future__ import annotations

import logging
import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.experiment.taken import booking
from napari_hae.instruments.base import DoseExceeded, ForbiddenPosition, OutOfRange

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.agent.goal import Goal
    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.settings import MeasurementSettings
    from napari_hae.instruments.dose import Exposure
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ProbePosition, Spectrum

    Track = Callable[[float], ProbePosition | None]

Interval = tuple[float, float]

logger = logging.getLogger(__name__)

LEAST_REPEATS = 3
"""Smallest number of exposures for an estimate of their variance."""
SURELY = 2.0
"""Number of standard deviations for a difference to be significant enough to stop
exposing."""


@dataclass(frozen=True)
class Judge:
    """Decision whether the exposures of a place suffice.

    Attributes
    ----------
    best
        Best target so far; NaN if there is none.
    """

    scalarizer: Scalarizer
    goal: Goal
    best: float

    def is_enough(self, taken: Sequence[Spectrum], wanted: MeasurementSettings) -> bool:
        """Return whether the error is reached, or further exposures are useless."""
        if wanted.relative_error is None:
            return True
        longer_s = (len(taken) + 1) * wanted.exposure_s
        if longer_s > wanted.longest_exposure_s * (1 + 1e-9):
            return True
        target = self.scalarizer(together(taken))
        error = _error(taken, self.scalarizer)
        if error <= wanted.relative_error * abs(target):
            return True
        return wanted.only_promising and self._is_hopeless(target, error)

    def _is_hopeless(self, target: float, error: float) -> bool:
        """Return whether a target is significantly worse than the best one."""
        found, best = self.goal.utility_of([target, self.best])
        return bool(best - found > SURELY * error)


def stays(exposed_s: float) -> ProbePosition | None:
    """Return the track of a place that does not move."""
    return None


class Exposures:
    """Exposures at given places; used by the experiment's thread.

    Parameters
    ----------
    instrument
        Instrument behind its gate, which checks each position just before the beam goes
        there.
    """

    def __init__(self, instrument: GuardedInstrument) -> None:
        self._instrument = instrument
        self._beam = ThreadPoolExecutor(1, "napari-hae-beam")
        self._under_way: Future[tuple[Spectrum, Interval]] | None = None
        self._booked: list[Exposure] = []
        self._left_out: list[Exposure] = []
        self._corrected = ""
        self.interval: Interval = (0.0, 0.0)
        """Start and end of the last awaited exposure at the instrument, on the clock
        `time.perf_counter`."""

    def begin(
        self,
        position: ProbePosition,
        wanted: MeasurementSettings,
        judge: Judge | None,
        track: Track = stays,
    ) -> None:
        """Start measuring at a place; the previous one must have been waited for.

        The judge decides when the exposures there suffice; None: after one. The track
        returns the position of the place after a given exposure time; None: the beam
        may stay. It is called on the beam's thread, before each repeat.
        """
        assert self._under_way is None
        self._under_way = self._beam.submit(self._timed, position, wanted, judge, track)

    def wait(self) -> Spectrum:
        """Wait for the spectrum of the place in progress, and return it.

        Raises
        ------
        InstrumentError
            If the instrument fails, or the gate refuses.
        """
        assert self._under_way is not None
        exposure, self._under_way = self._under_way, None
        spectrum, self.interval = exposure.result()
        return spectrum

    def under_way(self) -> tuple[Spectrum, tuple[Exposure, ...]] | None:
        """Return the spectrum of the place in progress, when it is complete.

        With its booked dose. None if no place is in progress, or it gave no spectrum.
        `wait` must still be called for it; any thread may call this.
        """
        exposure = self._under_way
        if exposure is None or exposure.exception() is not None:
            return None
        return exposure.result()[0], tuple(self._booked)

    def take_booked(self) -> tuple[Exposure, ...]:
        """Return the bookings since the last call, whether or not they gave a spectrum.

        Not to be called while a place is in progress.
        """
        booked, self._booked = self._booked, []
        return tuple(booked)

    def take_left_out(self) -> tuple[Exposure, ...]:
        """Return the bookings since the last call for spectra that could not be summed.

        Not to be called while a place is in progress.
        """
        left_out, self._left_out = self._left_out, []
        return tuple(left_out)

    def take_corrected(self) -> str:
        """Return the gate's corrections of spectra since the last call; empty if none.

        Not to be called while a place is in progress.
        """
        corrected, self._corrected = self._corrected, ""
        return corrected

    def close(self) -> None:
        """End the thread; abort an exposure that is still in progress."""
        try:
            if self._under_way is not None:
                self._instrument.abort()
        finally:
            self._beam.shutdown(wait=True)

    def _timed(
        self,
        position: ProbePosition,
        wanted: MeasurementSettings,
        judge: Judge | None,
        track: Track,
    ) -> tuple[Spectrum, Interval]:
        begin_s = time.perf_counter()
        spectrum = self._expose(position, wanted, judge, track)
        return spectrum, (begin_s, time.perf_counter())

    def _expose(
        self,
        position: ProbePosition,
        wanted: MeasurementSettings,
        judge: Judge | None,
        track: Track,
    ) -> Spectrum:
        self._instrument.place_beam(position)
        detector = self._instrument.capabilities().spectrum_detector(wanted.detector)
        taken = [self._once(detector.name, wanted.exposure_s)]
        while judge is not None and not _is_enough(judge, taken, wanted):
            moved = track(sum(each.exposure_s for each in taken))
            if moved is not None:
                if not self._can_place(moved):
                    # The place has drifted to where the beam is not allowed.
                    break
                position = moved
            try:
                taken.append(self._once(detector.name, wanted.exposure_s))
            except DoseExceeded:
                # The remaining budget does not suffice to reach the error.
                break
            if not taken[-1].energy.is_like(taken[0].energy):
                taken.pop()
                self._left_out, self._booked = self._booked[-1:], self._booked[:-1]
                break
        return together(taken)

    def _can_place(self, position: ProbePosition) -> bool:
        """Place the beam there, unless it is not allowed or outside the field."""
        try:
            self._instrument.place_beam(position)
        except (ForbiddenPosition, OutOfRange):
            return False
        return True

    def _once(self, detector: str, exposure_s: float) -> Spectrum:
        """Take one exposure at the placed beam, and note it if it was booked."""
        with booking(self._instrument, self._note):
            spectrum = self._instrument.acquire_spectrum(detector, exposure_s)
            self._corrected = self._corrected or self._instrument.corrected
            return spectrum

    def _note(self, exposure: Exposure, failed: BaseException | None) -> None:
        self._booked.append(exposure)


def _is_enough(
    judge: Judge, taken: Sequence[Spectrum], wanted: MeasurementSettings
) -> bool:
    """Return the judge's decision; True if its scalarizer fails.

    The exposed data are to be kept: scoring them reports the failure.
    """
    try:
        return judge.is_enough(taken, wanted)
    except Exception:
        logger.exception("nobody can tell how long to expose")
        return True


def together(spectra: Sequence[Spectrum]) -> Spectrum:
    """Return the sum of spectra of one place and one energy axis."""
    if len(spectra) == 1:
        return spectra[0]
    return replace(
        spectra[0],
        counts=np.sum([each.counts for each in spectra], axis=0, dtype=np.float32),
        exposure_s=sum(each.exposure_s for each in spectra),
        dose_e=sum(each.dose_e for each in spectra),
    )


def _error(taken: Sequence[Spectrum], scalarizer: Scalarizer) -> float:
    """Return the target's standard deviation for summed spectra; inf if unknown."""
    error = scalarizer.error(together(taken))
    if math.isfinite(error):
        return error
    if len(taken) < LEAST_REPEATS:
        return math.inf
    targets = np.array([scalarizer(each) for each in taken])
    return float(targets.std(ddof=1) / math.sqrt(len(taken)))
