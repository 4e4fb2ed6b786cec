"""Instruments that each break one rule, for the tests of the conformance check."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from napari_hae.instruments.base import (
    Aborted,
    InstrumentError,
    Interval,
)
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.types import BeamState, ProbePosition, ScanImage


def _clipped(position):
    x, y = np.nan_to_num([position.x, position.y], nan=0.5)
    return ProbePosition(float(np.clip(x, 0, 1)), float(np.clip(y, 0, 1)))


class Incomplete:
    title = "Incomplete"
    settings_type = SimulatedSettings

    def connect(self):
        """All that it can do."""


class Nameless(SimulatedMicroscope):
    title = ""


class AnswersUnconnected(SimulatedMicroscope):
    def blank(self):
        if self.status().connected:
            super().blank()


class ConnectsUnblanked(SimulatedMicroscope):
    def connect(self):
        super().connect()
        self.unblank()


class ConnectsOnce(SimulatedMicroscope):
    def connect(self):
        if self.status().connected:
            raise InstrumentError("it is connected already")
        super().connect()


class ShapesInDisorder(SimulatedMicroscope):
    def capabilities(self):
        return replace(super().capabilities(), survey_shape=(16, 16))


class OblongAfterAll(SimulatedMicroscope):
    """Says that it scans squares only, and scans anything."""

    says = True

    def capabilities(self):
        return replace(super().capabilities(), square_surveys_only=self.says)

    def acquire_survey(self, *asked):
        self.says = False
        try:
            return super().acquire_survey(*asked)
        finally:
            self.says = True


class NegativeExposure(SimulatedMicroscope):
    def capabilities(self):
        return replace(super().capabilities(), exposure_s=Interval(-1, 1))


class SurveyTooSmall(SimulatedMicroscope):
    def acquire_survey(self, detectors, shape, dwell_time_s, *area):
        image = super().acquire_survey(detectors, shape, dwell_time_s, *area)
        data = image.data[:, 1:]
        return ScanImage(data, image.detectors, image.fov_nm, dwell_time_s)


class SurveyOfDoubles(SimulatedMicroscope):
    def acquire_survey(self, detectors, shape, dwell_time_s, *area):
        image = super().acquire_survey(detectors, shape, dwell_time_s, *area)
        return replace(image, data=image.data.astype(float))


class AnyDetectorWillDo(SimulatedMicroscope):
    def acquire_survey(self, detectors, shape, dwell_time_s, *area):
        known = [name if name in ("HAADF", "BF") else "BF" for name in detectors]
        return super().acquire_survey(known, shape, dwell_time_s, *area)


class LongDwellIsClipped(SimulatedMicroscope):
    def acquire_survey(self, detectors, shape, dwell_time_s, *area):
        return super().acquire_survey(detectors, shape, min(dwell_time_s, 1e-2), *area)


class SurveyLeavesBeamOn(SimulatedMicroscope):
    def acquire_survey(self, detectors, shape, dwell_time_s, *area):
        image = super().acquire_survey(detectors, shape, dwell_time_s, *area)
        self.unblank()
        return image


class AreaIgnored(SimulatedMicroscope):
    def acquire_survey(self, detectors, shape, dwell_time_s, *area):
        return super().acquire_survey(detectors, shape, dwell_time_s)


class StartsSomewhere(SimulatedMicroscope):
    def connect(self):
        super().connect()
        self._position = ProbePosition(0.5, 0.5)


class PlacesUnblanked(SimulatedMicroscope):
    def place_beam(self, position):
        super().place_beam(position)
        self.unblank()


class Clips(SimulatedMicroscope):
    def place_beam(self, position):
        super().place_beam(_clipped(position))


class Snaps(SimulatedMicroscope):
    def place_beam(self, position):
        super().place_beam(position)
        self._position = ProbePosition(round(position.x, 1), round(position.y, 1))


class NeverDark(SimulatedMicroscope):
    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        return replace(spectrum, counts=np.ones_like(spectrum.counts))


class ForgetsTheDose(SimulatedMicroscope):
    def acquire_spectrum(self, detector, exposure_s):
        return replace(super().acquire_spectrum(detector, exposure_s), dose_e=np.nan)


class ShortExposureWillDo(SimulatedMicroscope):
    def acquire_spectrum(self, detector, exposure_s):
        return super().acquire_spectrum(detector, max(exposure_s, 1e-3))


class ShiftedAxis(SimulatedMicroscope):
    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        return replace(spectrum, counts=spectrum.counts[1:])


class OverwritesTheLast(SimulatedMicroscope):
    memory = None

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        if self.memory is None:
            self.memory = spectrum.counts
        self.memory[:] = spectrum.counts
        return replace(spectrum, counts=self.memory)


class NamesTheFirstPlace(SimulatedMicroscope):
    first = None

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        self.first = self.first or spectrum.position
        return replace(spectrum, position=self.first)


class AbortDoesNotBlank(SimulatedMicroscope):
    def abort(self):
        self._aborted.set()


class AbortDoesNotHold(SimulatedMicroscope):
    def abort(self):
        if self.status().connected:
            self.blank()


class AbortHoldsOnce(SimulatedMicroscope):
    def acquire_spectrum(self, detector, exposure_s):
        try:
            return super().acquire_spectrum(detector, exposure_s)
        finally:
            self._aborted.clear()


class AbortHoldsForEver(SimulatedMicroscope):
    def place_beam(self, position):
        was_aborted = self._aborted.is_set()
        super().place_beam(position)
        if was_aborted:
            self._aborted.set()


class AbortInOneThreadOnly(SimulatedMicroscope):
    def abort(self):
        if threading.current_thread() is not threading.main_thread():
            raise InstrumentError("call abort in the main thread")
        super().abort()


class DisconnectsUnblanked(SimulatedMicroscope):
    def disconnect(self):
        super().disconnect()
        self._beam = BeamState.ON


class DisconnectsOnce(SimulatedMicroscope):
    def disconnect(self):
        self.blank()
        super().disconnect()


class NeverDisconnects(SimulatedMicroscope):
    def disconnect(self):
        self.blank()


class AbortDoesNotEnd(SimulatedMicroscope):
    """Its exposures and scans go on to their end after an abort."""

    def _wait(self, acquisition_s):
        threading.Event().wait(acquisition_s)
        self._check_not_aborted()


class AbortWaits(SimulatedMicroscope):
    """An abort comes back when the exposure or scan is over."""

    def abort(self):
        with self._using:
            super().abort()


class AbortDoesNotEndScans(SimulatedMicroscope):
    def acquire_survey(self, *asked):
        aborted, self._aborted = self._aborted, NeverSet(self._aborted)
        try:
            return super().acquire_survey(*asked)
        finally:
            self._aborted = aborted


class NeverSet:
    """An event that is waited for in vain, and remembers for the real one."""

    def __init__(self, real) -> None:
        self._real, self._never = real, threading.Event()

    def wait(self, timeout):
        self._never.wait(timeout)

    def __getattr__(self, name):
        return getattr(self._real, name)


class DeliversWhatWasAborted(SimulatedMicroscope):
    """An abort ends its exposures, which come back as if they were whole."""

    def acquire_spectrum(self, detector, exposure_s):
        was_aborted = self._aborted.is_set()
        try:
            return super().acquire_spectrum(detector, exposure_s)
        except Aborted:
            if was_aborted:
                raise
            return self._spectrum_at(self._position, detector, exposure_s, lit=True)


class AbortLeavesTheBeamOn(SimulatedMicroscope):
    """In the middle of an exposure only, which comes back as it should."""

    def abort(self):
        was_on = self._using.locked() and self.status().beam is BeamState.ON
        super().abort()
        if was_on:
            self._beam = BeamState.ON


class NoLock:
    """Never in use."""

    def acquire(self, blocking=True):
        return True

    def release(self):
        """Nothing was acquired."""

    def locked(self):
        return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Nothing was acquired."""


class NeverBusy(SimulatedMicroscope):
    """Moves the beam and acquires in the middle of an exposure."""

    def __init__(self, settings) -> None:
        super().__init__(settings)
        self._using = NoLock()


class MovesMeanwhile(SimulatedMicroscope):
    """Moves the beam in the middle of an exposure, but acquires one at a time."""

    def place_beam(self, position):
        using = self._using
        self._using = NoLock()
        try:
            super().place_beam(position)
        finally:
            self._using = using


class Queues(SimulatedMicroscope):
    """Has a second user wait, without a word."""

    def acquire_spectrum(self, detector, exposure_s):
        while self._using.locked():
            threading.Event().wait(0.01)
        return super().acquire_spectrum(detector, exposure_s)


class StatusWaits(SimulatedMicroscope):
    def status(self):
        with self._using:
            return super().status()


class BlankDoesNothingMeanwhile(SimulatedMicroscope):
    def blank(self):
        if not self._using.locked():
            super().blank()


class BlankIsForOneThread(SimulatedMicroscope):
    def blank(self):
        if threading.current_thread() is not threading.main_thread():
            raise InstrumentError("call blank in the main thread")
        super().blank()


class SwapsXAndY(SimulatedMicroscope):
    def _spectrum_at(self, position, *asked, **more):
        other = ProbePosition(position.y, position.x)
        return replace(super()._spectrum_at(other, *asked, **more), position=position)


class MirrorsTheSurvey(SimulatedMicroscope):
    def _scan(self, *asked):
        image = super()._scan(*asked)
        return replace(image, data=image.data[..., ::-1].copy())


class TurnsTheSurveyUpsideDown(SimulatedMicroscope):
    def _scan(self, *asked):
        image = super()._scan(*asked)
        return replace(image, data=image.data[:, ::-1].copy())


class IgnoresTheExposure(SimulatedMicroscope):
    def acquire_spectrum(self, detector, exposure_s):
        whole = super().acquire_spectrum(detector, exposure_s)
        return replace(
            whole, counts=np.sign(whole.counts.sum()) * np.ones_like(whole.counts)
        )


class OtherCounts(SimulatedMicroscope):
    """Changes the counts that are taken with the beam on."""

    def _spectrum_at(self, *asked, lit, **more):
        spectrum = super()._spectrum_at(*asked, lit=lit, **more)
        counts = self.changed(spectrum.counts) if lit else spectrum.counts
        return replace(spectrum, counts=counts)


class InfiniteCounts(OtherCounts):
    def changed(self, counts):
        return np.full_like(counts, np.inf)


class OneCountIsNan(OtherCounts):
    def changed(self, counts):
        return np.where(np.arange(len(counts)) == 3, np.float32(np.nan), counts)


class NegativeCounts(OtherCounts):
    def changed(self, counts):
        return -counts


class EmptyCounts(OtherCounts):
    def changed(self, counts):
        return np.zeros_like(counts)


class NanSurvey(SimulatedMicroscope):
    def _scan(self, *asked):
        image = super()._scan(*asked)
        return replace(image, data=np.full_like(image.data, np.nan))


class OnePixelIsInfinite(SimulatedMicroscope):
    def _scan(self, *asked):
        image = super()._scan(*asked)
        image.data[0, 5, 7] = np.inf
        return image
