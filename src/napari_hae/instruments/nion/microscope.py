"""The objects of Nion Swift that an experiment needs, on the thread that owns them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import place_text
from napari_hae.instruments.base import (
    Busy,
    Capabilities,
    InstrumentError,
    Interval,
    SpectrumDetector,
)
from napari_hae.instruments.nion.blanker import Blanker
from napari_hae.instruments.nion.recorder import Recorder, in_words
from napari_hae.instruments.nion.scan_field import Field, part
from napari_hae.types import WHOLE_FIELD, BeamState, EnergyAxis, ProbePosition

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from napari_hae.instruments.nion.settings import NionSettings
    from napari_hae.types import Area

EELS = "EELS"
_DWELL_TIME_S = Interval(1e-7, 1e-2)
_EXPOSURE_S = Interval(1e-3, 100.0)
_SMALLEST, _LARGEST = 16, 2048
_SAME_PLACE = 1e-9
_PLASMONS_EV = (10.0, 30.0)
"""Bulk plasmons of most solids (Egerton, EELS in the Electron Microscope)."""


class Microscope:
    """Blanker, probe, scan and EELS camera of a registered `stem_controller`.

    To be made and used on the worker's thread only.

    Raises
    ------
    InstrumentError
        If the controller lacks what is needed.
    """

    def __init__(
        self, controller: Any, settings: NionSettings, aborted: threading.Event
    ) -> None:
        scan, camera = controller.scan_controller, controller.eels_camera
        for device, name in ((scan, "scan controller"), (camera, "EELS camera")):
            if device is None:
                raise InstrumentError(f"Nion Swift has no {name}: set it up there")
        self._controller = controller
        self._aborted = aborted
        self._scan = Recorder(scan, "scan", aborted, settings.timeout_s)
        self._camera = Recorder(camera, "EELS camera", aborted, settings.timeout_s)
        self._usual_shape = settings.pixels, settings.pixels
        self._position: ProbePosition | None = None
        self.blanker = Blanker(controller, settings.blanker, aborted)
        self.blanker.blank()
        with in_words("describe its microscope"):
            self._channels = [int(i) for i in scan.get_enabled_channel_indexes()]
            self._field = Field.of(scan.get_current_frame_parameters())
            if settings.fov_nm is not None:
                self._field = replace(self._field, fov_nm=settings.fov_nm)
            self._make_current(self._whole(self._usual_shape, 1e-5))
            self.capabilities = self._capabilities(settings)

    def abort(self) -> None:
        """Blank, then end any recording."""
        try:
            self.blanker.blank()
        finally:
            self._scan.stop()
            self._camera.stop()

    async def place(self, position: ProbePosition) -> None:
        """Park the blanked probe at a position that was checked.

        Raises
        ------
        Busy
            If something is recorded or scanned.
        InstrumentError
            If the field of view is another one by now, or the probe does not go there.
        """
        self.blanker.blank()
        await self._until_free()
        self._position = position
        self._send_probe()
        self._check_parked()

    async def frame(
        self, shape: tuple[int, int], dwell_time_s: float, area: Area
    ) -> NDArray[np.float32]:
        """Scan the field or an area of it, shape `(channels, rows, columns)`.

        Raises as `Recorder.record`, and if what was scanned is not what was asked for.
        """
        self.blanker.blank()
        await self._until_free()
        with in_words("set up the scan"):
            # Recording alone leaves the scan context behind, and then the same
            # fractions are another place.
            whole_shape = shape if area == WHOLE_FIELD else self._usual_shape
            whole = self._whole(whole_shape, dwell_time_s)
            self._make_current(whole)
            wanted = part(whole, shape, area)
        scan_s = dwell_time_s * shape[0] * shape[1]
        try:
            self.blanker.unblank()
            recorded = await self._scan.record(wanted, scan_s)
        finally:
            self.blanker.blank()
            if area != WHOLE_FIELD:
                # Some scans place the probe in what they scanned last.
                with in_words("set up the scan"):
                    self._make_current(whole)
                self._send_probe()
        return self._field.planes(recorded, shape, area)

    async def spectrum(
        self, exposure_s: float
    ) -> tuple[NDArray[np.float32], EnergyAxis]:
        """Expose the camera at the parked probe: counts and their axis.

        Raises as `Recorder.record`, and if the probe is not where it was placed.
        """
        self._check_parked()
        with in_words("set up the EELS camera"):
            parameters = self._exposure(exposure_s)
        recorded = await self._camera.record(parameters, exposure_s)
        # A spectrum taken while a scan ran belongs to nowhere, and nothing says so.
        self._check_parked()
        summed = recorded[-1]
        counts = np.array(summed.data, np.float32)
        if counts.ndim != 1:
            raise InstrumentError(
                f"the EELS camera gave data of shape {counts.shape}, no spectrum: it "
                "needs a channel with the sum over its rows"
            )
        return counts, _axis(summed.dimensional_calibrations[-1], counts.size)

    def _capabilities(self, settings: NionSettings) -> Capabilities:
        camera, scan = self._camera.device, self._scan.device
        parameters = self._exposure(0.1)
        calibration = camera.get_camera_calibrations(parameters)[-1]
        size = int(camera.get_expected_dimensions(parameters.binning)[-1])
        axis = _axis(calibration, size)
        names = tuple(str(scan.get_channel_name(index)) for index in self._channels)
        if not names:
            raise InstrumentError("no channel of the scan is enabled in Nion Swift")
        return Capabilities(
            survey_detectors=names,
            spectrum_detectors=(SpectrumDetector(EELS, axis, _band_ev(axis)),),
            survey_shape=self._usual_shape,
            smallest_survey_shape=(_SMALLEST, _SMALLEST),
            largest_survey_shape=(_LARGEST, _LARGEST),
            dwell_time_s=_DWELL_TIME_S,
            exposure_s=_EXPOSURE_S,
            fov_nm=(self._field.fov_nm, self._field.fov_nm),
            current_pa=settings.current_pa or self._current_pa(),
            blanker_can_be_read=self.blanker.beam is not BeamState.UNVERIFIED,
            scans_areas=True,
        )

    def _current_pa(self) -> float | None:
        known, current_a = self._controller.TryGetVal("BeamCurrent")
        if not known or current_a is None or not 0 < current_a < math.inf:
            return None
        return float(current_a) * 1e12

    async def _until_free(self) -> None:
        await self._scan.until_free()
        await self._camera.until_free()
        self._check_no_scan()

    def _check_no_scan(self) -> None:
        if self._controller.probe_state != "parked" or self._scan.device.is_playing:
            raise Busy("a scan is running in Nion Swift: stop it there")

    def _check_parked(self) -> None:
        """Check that the probe rests where it was placed, in the intended field."""
        self._check_no_scan()
        if Field.of(self._controller.scan_context) != self._field:
            raise InstrumentError(
                "the scan was set to another field of view in Nion Swift, where the "
                "same position is another place: acquire a survey image again"
            )
        seen = self._controller.probe_position
        at = None if seen is None else ProbePosition(x=seen.x, y=seen.y)
        wanted = self._position
        if wanted is None or at is None or _distance(wanted, at) > _SAME_PLACE:
            side_nm = self._field.fov_nm
            placed, seen_at = (
                "nowhere" if each is None else place_text(each, (side_nm, side_nm))
                for each in (wanted, at)
            )
            raise InstrumentError(
                f"the probe was placed at {placed}, and is at {seen_at} in Nion Swift"
            )

    def _send_probe(self) -> None:
        from nion.utils import Geometry

        if self._position is None:
            return
        # A tuple is not taken, and what lies outside 0..1 would be moved inside.
        point = Geometry.FloatPoint(y=self._position.y, x=self._position.x)
        with in_words("place the probe"):
            if self._controller.probe_position == point:
                # The scan is told of a changed position only, and the field that it is
                # a fraction of may have changed.
                self._controller.probe_position = None
            self._controller.probe_position = point

    def _whole(self, shape: tuple[int, int], dwell_time_s: float) -> Any:
        current = self._scan.device.get_current_frame_parameters()
        return self._field.whole(current, shape, dwell_time_s, self._channels)

    def _make_current(self, parameters: Any) -> None:
        self._scan.device.set_current_frame_parameters(parameters)

    def _exposure(self, exposure_s: float) -> Any:
        parameters = self._camera.device.get_record_frame_parameters()
        parameters.exposure_ms = exposure_s * 1e3
        # More would expose the place longer than was booked.
        parameters.integration_count = 1
        parameters.processing = None
        return parameters


def _axis(calibration: Any, size: int) -> EnergyAxis:
    offset, scale, units = calibration.offset, calibration.scale, calibration.units
    numbers = offset is not None and scale is not None
    if units != "eV" or not numbers or not 0 < scale < math.inf:
        raise InstrumentError(
            f"the channels of the EELS camera are {scale} {units or '(no unit)'} wide "
            "and not calibrated in eV: calibrate it in Nion Swift"
        )
    return EnergyAxis(float(offset), float(scale), size)


def _band_ev(axis: EnergyAxis) -> tuple[float, float] | None:
    """Return the initial band, if on the axis; else the first spectra decide."""
    low_ev, high_ev = _PLASMONS_EV
    return _PLASMONS_EV if axis.offset_ev < low_ev and high_ev < axis.last_ev else None


def _distance(one: ProbePosition, other: ProbePosition) -> float:
    return max(abs(one.x - other.x), abs(one.y - other.y))
