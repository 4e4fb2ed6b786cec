"""Instruments that each break one rule, for the tests of the conformance check."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from napari_hae.instruments.base import InstrumentError, Interval, check_exposure
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


class EagerPositions(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        return super().acquire_spectra(iter(list(positions)), detector, exposure_s)


class DrawsOneAhead(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        def ahead():
            waiting = None
            for position in positions:
                if waiting is not None:
                    yield waiting
                waiting = position
            if waiting is not None:
                yield waiting

        return super().acquire_spectra(ahead(), detector, exposure_s)


class ClipsAmongMany(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        clipped = (_clipped(position) for position in positions)
        return super().acquire_spectra(clipped, detector, exposure_s)


class BeamOnBetweenSpectra(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        for spectrum in super().acquire_spectra(positions, detector, exposure_s):
            self.unblank()
            yield spectrum


class BeamOnWhenClosed(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        try:
            yield from super().acquire_spectra(positions, detector, exposure_s)
        except GeneratorExit:
            self.unblank()


class OverwritesTheLast(SimulatedMicroscope):
    memory = None

    def acquire_spectrum(self, detector, exposure_s):
        spectrum = super().acquire_spectrum(detector, exposure_s)
        if self.memory is None:
            self.memory = spectrum.counts
        self.memory[:] = spectrum.counts
        return replace(spectrum, counts=self.memory)


class LosesOne(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        spectra = super().acquire_spectra(positions, detector, exposure_s)
        yield next(spectra)
        yield next(spectra)


class SwallowsRefusals(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        try:
            yield from super().acquire_spectra(positions, detector, exposure_s)
        except InstrumentError as error:
            if "closed" not in str(error):
                raise


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


class AbortLostAmongMany(SimulatedMicroscope):
    def acquire_spectra(self, positions, detector, exposure_s):
        check_exposure(detector, exposure_s, self.capabilities())
        for position in positions:
            self.place_beam(position)
            self.unblank()
            spectrum = self.acquire_spectrum(detector, exposure_s)
            self.blank()
            yield spectrum


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
