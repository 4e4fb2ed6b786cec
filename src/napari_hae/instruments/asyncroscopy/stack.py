"""The devices of one microscope, and their capabilities."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_hae.coordinates import place_text
from napari_hae.instruments.asyncroscopy.beam import Beam
from napari_hae.instruments.asyncroscopy.data import Data
from napari_hae.instruments.asyncroscopy.device import Device
from napari_hae.instruments.asyncroscopy.dialects import dialect_of
from napari_hae.instruments.asyncroscopy.settings import LARGEST_IMAGE, SMALLEST_IMAGE
from napari_hae.instruments.base import (
    Capabilities,
    InstrumentError,
    Interval,
    SpectrumDetector,
)
from napari_hae.types import EnergyAxis, ProbePosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.instruments.asyncroscopy.settings import AsyncroscopySettings

logger = logging.getLogger(__name__)

_PLACE = "beam_pos"
"""Beam position, an attribute of some microscope classes, x first."""
_WHOLE_REGION = [0.0, 0.0, 1.0, 1.0]
"""The whole field, valid both for width and height as the last two numbers (Thermo
Fisher) and for right and bottom (JEOL)."""
_STOPS = ("abort", "stop")
_USUAL_DWELL_S, _USUAL_EXPOSURE_S = Interval(1e-9, 10.0), Interval(1e-6, 100.0)
_SAME_PLACE = _SAME_FIELD = 1e-3


class Stack:
    """The connections to one microscope.

    Parameters
    ----------
    settings
        Addresses of its devices and data.

    Raises
    ------
    InstrumentError
        If one of them cannot be reached, or lacks what is needed.
    """

    def __init__(self, settings: AsyncroscopySettings) -> None:
        self._settings = settings
        margin_s = settings.margin_s
        self.microscope = Device(settings.address(settings.microscope), margin_s)
        self.has_own_blanker = bool(settings.blanker)
        blanker = settings.address(settings.blanker or settings.microscope)
        # A connection has one time-out, so that the blanker needs another one.
        self.beam = Beam(Device(blanker, margin_s))
        self.scan = Device(settings.address(settings.scan), margin_s)
        said = self._parameters()
        names = settings.spectrum_detectors or said.get("spectrum_detectors") or ["eds"]
        self._spectrum_devices = {
            name: Device(settings.spectrum_address(name), margin_s) for name in names
        }
        imaging = settings.survey_detectors or said.get("scan_detectors") or ["haadf"]
        self.data = Data(settings)
        try:
            self.dialect = dialect_of(self.microscope, self.data)
            if self.dialect.one_detector_only:
                imaging = imaging[:1]
            self.able = self._capabilities(imaging)
        except BaseException:
            self.data.close()
            raise

    def prepare_image(self, pixels: int, dwell_time_s: float) -> None:
        """Set the scan device up for an image of the whole field."""
        self.microscope.check_ready()
        self.scan.set("imsize", pixels)
        self.scan.set("dwell_time", dwell_time_s)
        if self.scan.has_attribute("scan_region"):
            self.scan.set("scan_region", _WHOLE_REGION)
        self.able = replace(self.able, fov_nm=self._fov_nm())

    def prepare_spectrum(self, detector: str, exposure_s: float) -> None:
        """Set a spectroscopy detector up for an exposure."""
        self.microscope.check_ready()
        self._spectrum_devices[detector].set("exposure_time", exposure_s)

    def place(self, position: ProbePosition) -> None:
        """Move the beam, and read back where it is if that can be read.

        Raises
        ------
        InstrumentError
            If the field of view is another one than that of the survey image, so that
            the position would lie elsewhere on the sample, or if the beam is elsewhere
            afterwards.
        """
        (now_nm, _), (known_nm, _) = self._fov_nm(), self.able.fov_nm
        if not math.isclose(now_nm, known_nm, rel_tol=_SAME_FIELD):
            raise InstrumentError(
                f"the field of view is {now_nm:.5g} nm now and was {known_nm:.5g} nm: "
                "take a new survey image"
            )
        self.microscope.command("place_beam", [position.x, position.y])
        if not self.microscope.has_attribute(_PLACE):
            return
        x, y = (float(value) for value in self.microscope.read(_PLACE))
        if max(abs(x - position.x), abs(y - position.y)) > _SAME_PLACE:
            field_nm = self.able.fov_nm
            raise InstrumentError(
                f"the beam was told to go to {place_text(position, field_nm)} and "
                f"reads as at {place_text(ProbePosition(x, y), field_nm)}"
            )

    def know_axis(self, detector: str, axis: EnergyAxis) -> None:
        """Remember the energy axis of a detector from its newest spectrum."""
        known = self.able.spectrum_detectors
        detectors = tuple(
            SpectrumDetector(one.name, axis) if one.name == detector else one
            for one in known
        )
        if detectors != known:
            self.able = replace(self.able, spectrum_detectors=detectors)

    def stop(self) -> None:
        """Ask the detectors to stop, if they have a command for it."""
        for device in (self.scan, *self._spectrum_devices.values()):
            for command in _STOPS:
                if device.has_command(command):
                    device.command(command)

    def close(self) -> None:
        """Restore the devices' settings, and close what can be closed."""
        self.beam.close()
        for device in (self.scan, *self._spectrum_devices.values()):
            try:
                device.restore()
            except InstrumentError as error:
                logger.warning("not all settings could be restored: %s", error)
        self.data.close()

    def _capabilities(self, imaging: Sequence[str]) -> Capabilities:
        settings = self._settings
        sizes = self.scan.limits("imsize", Interval(SMALLEST_IMAGE, LARGEST_IMAGE))
        smallest, largest = int(sizes.low), int(sizes.high)
        usual = settings.image_size or int(self.scan.read("imsize"))
        usual = min(max(usual, smallest), largest)
        exposures_s = [
            device.limits("exposure_time", _USUAL_EXPOSURE_S)
            for device in self._spectrum_devices.values()
        ]
        axis = EnergyAxis(
            settings.energy_offset_ev,
            settings.energy_dispersion_ev or 1.0,
            settings.channels,
        )
        return Capabilities(
            survey_detectors=tuple(imaging),
            spectrum_detectors=tuple(
                SpectrumDetector(name, axis) for name in self._spectrum_devices
            ),
            survey_shape=(usual, usual),
            smallest_survey_shape=(smallest, smallest),
            largest_survey_shape=(largest, largest),
            dwell_time_s=self.scan.limits("dwell_time", _USUAL_DWELL_S),
            exposure_s=Interval(
                max(one.low for one in exposures_s),
                min(one.high for one in exposures_s),
            ),
            fov_nm=self._fov_nm(),
            current_pa=settings.current_pa,
            blanker_can_be_read=self.beam.can_be_read,
            square_surveys_only=True,
        )

    def _fov_nm(self) -> tuple[float, float]:
        side_nm, why = self._settings.fov_nm, "it has no command get_fov"
        if side_nm is None and self.microscope.has_command("get_fov"):
            try:
                side_nm = 1e9 * float(self.microscope.command("get_fov"))
                why = f"get_fov gave {side_nm:g} nm"
            except (InstrumentError, TypeError, ValueError) as error:
                why = f"get_fov failed: {error}"
        if side_nm is None or not (math.isfinite(side_nm) and side_nm > 0):
            raise InstrumentError(
                f"{self.microscope} does not say its field of view ({why}): enter it "
                "in the instrument's settings, as fov_nm"
            )
        return side_nm, side_nm

    def _parameters(self) -> dict[str, Any]:
        """Return the microscope's description of itself; empty if it has none."""
        if not self.microscope.has_command("get_parameters"):
            return {}
        try:
            said = json.loads(self.microscope.command("get_parameters"))
        except (InstrumentError, ValueError) as error:
            logger.warning("the microscope does not say its detectors: %s", error)
            return {}
        return said if isinstance(said, dict) else {}
