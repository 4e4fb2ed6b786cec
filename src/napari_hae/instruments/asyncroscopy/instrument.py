"""A microscope controlled by asyncroscopy, as an instrument."""

from __future__ import annotations

import logging
import math
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from napari_hae.instruments.asyncroscopy.long_calls import LongCalls
from napari_hae.instruments.asyncroscopy.settings import AsyncroscopySettings
from napari_hae.instruments.asyncroscopy.spectra import counts, energy_axis, planes
from napari_hae.instruments.asyncroscopy.stack import Stack
from napari_hae.instruments.base import (
    AcquisitionTimeout,
    BlankingFailed,
    Capabilities,
    InstrumentError,
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
from napari_hae.types import (
    WHOLE_FIELD,
    BeamState,
    ScanImage,
    Spectrum,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_hae.types import Area, ProbePosition

logger = logging.getLogger(__name__)


class Asyncroscopy:
    """Instrument that uses the Tango devices of asyncroscopy.

    The beam is blanked as soon as an exposure is over, before its data are fetched. An
    abort returns at once; a microscope that is acquiring is blanked the moment it
    takes commands again, and the beam is unverified meanwhile. If it refuses then, the
    beam goes nowhere and nothing is exposed until a blanking has worked.
    """

    title: ClassVar[str] = "asyncroscopy (Tango)"
    settings_type: ClassVar[type[AsyncroscopySettings]] = AsyncroscopySettings

    def __init__(self, settings: AsyncroscopySettings) -> None:
        self._settings = settings
        self._calls = LongCalls()
        self._using = threading.Lock()
        self._connecting = threading.Lock()
        self._connected: Stack | None = None
        self._position: ProbePosition | None = None
        self._last_seen = BeamState.UNVERIFIED

    def connect(self) -> None:
        """Connect, with the beam blanked afterwards.

        Raises
        ------
        Unsupported
            If a package is missing, or the microscope lacks commands.
        InstrumentError
            If something cannot be reached, is not ready, or the beam stays on.
        """
        with self._connecting:
            if self._connected is not None:
                return
            stack = Stack(self._settings)
            try:
                stack.microscope.check_ready()
                stack.beam.blank(self._settings.margin_s)
                if stack.beam.state is BeamState.ON:
                    raise InstrumentError(
                        "the beam was told to blank and still reads as on: blank it by "
                        "hand"
                    )
            except InstrumentError:
                stack.close()
                raise
            self._calls.rearm()
            self._connected = stack

    def disconnect(self) -> None:
        """Blank the beam, restore the devices' settings, and disconnect.

        It waits for an acquisition that is under way. Raises `BlankingFailed` if the
        beam may be on; the devices are let go of all the same.
        """
        with self._connecting:
            stack = self._connected
            if stack is None:
                return
            self.abort()
            self._calls.finish()
            with self._using:  # what was aborted may still be on its way out
                try:
                    stack.beam.blank(self._settings.margin_s)
                except InstrumentError as error:
                    raise BlankingFailed(
                        f"disconnected, and the beam could not be blanked ({error}): "
                        "blank it by hand"
                    ) from error
                finally:
                    self._last_seen = stack.beam.state
                    self._connected = self._position = None
                    stack.close()

    def capabilities(self) -> Capabilities:
        """Return the capabilities. Raises `NotConnected`."""
        return self._stack().able

    def status(self) -> Status:
        """Return the last known state; queries no device, so it never waits."""
        stack = self._connected
        if stack is None:
            return Status(False, self._last_seen, None)
        busy = self._using.locked() or self._calls.under_way
        return Status(True, stack.beam.state, self._position, busy)

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        """Scan the field of view.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`,
        `AcquisitionTimeout`, `BlankingFailed`, `InstrumentError`.
        """
        able = self.capabilities()
        check_detectors(detectors, able)
        check_shape(shape, able)
        check_area(area, able)
        check_interval("a dwell time", dwell_time_s, able.dwell_time_s, "s")
        with self._in_use() as stack:
            self._ready_again(stack)
            stack.prepare_image(shape[0], dwell_time_s)
            # Some microscopes scan for one detector after the other.
            lasting_s = dwell_time_s * shape[0] * shape[1] * len(detectors)
            with self._blanked_after():
                self.unblank()
                reply = self._calls.run(
                    lambda: stack.dialect.take_image(detectors, lasting_s)
                )
            images = self._calls.run(lambda: stack.dialect.images(reply, detectors))
            return ScanImage(
                planes(images, shape), tuple(detectors), stack.able.fov_nm, dwell_time_s
            )

    def place_beam(self, position: ProbePosition) -> None:
        """Put the beam at a position.

        Raises `NotConnected`, `OutOfRange`, `Busy`, `BlankingFailed`,
        `InstrumentError`.
        """
        self._stack()
        check_position(position)
        with self._in_use() as stack:
            self._ready_again(stack)
            self._move(stack, position)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum at the beam's position, and blank the beam afterwards.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`,
        `AcquisitionTimeout`, `BlankingFailed`, `InstrumentError`.
        """
        name = check_exposure(detector, exposure_s, self.capabilities())
        with self._in_use() as stack:
            return self._expose(stack, name, exposure_s)

    def blank(self) -> None:
        """Keep the electrons off the sample.

        While the microscope is acquiring it returns at once, the beam is unverified,
        and the blanking is carried out the moment the microscope takes commands again.

        Raises `NotConnected`, `AcquisitionTimeout`, `InstrumentError`.
        """
        stack = self._stack()
        if stack.beam.is_overdue or self._is_held_up(stack):
            stack.beam.blank(0.0)
        elif not stack.beam.blank(self._settings.margin_s):
            raise AcquisitionTimeout(
                "the microscope has not taken the command to blank within "
                f"{self._settings.margin_s:g} s; it is told again until it does"
            )

    def unblank(self) -> None:
        """Let the electrons reach the sample.

        Raises `NotConnected`, `Busy`, `BlankingFailed`, `InstrumentError`, and
        `Aborted` while an abort holds.
        """
        stack = self._stack()
        self._calls.check()
        try:
            stack.beam.unblank(self._settings.margin_s)
            # An abort meanwhile may have blanked before this unblanked.
            self._calls.check()
        except InstrumentError:
            self.blank()
            raise

    def abort(self) -> None:
        """Abandon what is running, and blank as soon as the microscope allows it."""
        self._calls.abort()
        stack = self._connected
        if stack is None:
            return
        threading.Thread(
            target=self._stop, args=(stack,), name="napari-hae-stop", daemon=True
        ).start()
        try:
            self.blank()
        except InstrumentError as error:
            logger.error("the beam may be on: %s", error)

    def _stop(self, stack: Stack) -> None:
        try:
            stack.stop()
        except InstrumentError as error:
            logger.warning("a detector could not be stopped: %s", error)

    def _move(self, stack: Stack, position: ProbePosition) -> None:
        stack.microscope.check_ready()
        # The position is unknown until the microscope has answered.
        self._position = None
        stack.place(position)
        self._position = position

    def _expose(self, stack: Stack, detector: str, exposure_s: float) -> Spectrum:
        position, current_pa = self._position, self._settings.current_pa
        if position is None:
            raise OutOfRange("no probe position: place the beam first")
        self._calls.check()
        stack.beam.settle(self._settings.margin_s)
        stack.prepare_spectrum(detector, exposure_s)
        is_dark = stack.beam.state is BeamState.BLANKED
        with self._blanked_after():
            reply = self._calls.run(
                lambda: stack.dialect.take_spectrum(detector, exposure_s)
            )
        values, said = self._calls.run(lambda: stack.dialect.spectrum(reply))
        line = counts(values)
        axis = energy_axis(said, line.size, self._settings)
        stack.know_axis(detector, axis)
        dose_e = math.nan
        if current_pa is not None:
            dose_e = 0.0 if is_dark else dose_electrons(current_pa, exposure_s)
        return Spectrum(line, axis, detector, position, exposure_s, dose_e)

    def _ready_again(self, stack: Stack) -> None:
        """Lift an abort, and wait for calls it left behind, the beam blanked."""
        self._calls.rearm()
        self._calls.settle(self._settings.margin_s)
        stack.beam.settle(self._settings.margin_s)

    def _is_held_up(self, stack: Stack) -> bool:
        """Return whether the blanker must wait for an acquisition."""
        return self._calls.under_way and not stack.has_own_blanker

    @contextmanager
    def _in_use(self) -> Iterator[Stack]:
        stack = self._stack()
        with in_use(self._using):
            yield stack

    @contextmanager
    def _blanked_after(self) -> Iterator[None]:
        """Blank in any case afterwards; wait for it only if it can happen at once."""
        try:
            yield
        except AcquisitionTimeout:
            self._stack().beam.blank(0.0)
            raise
        except BaseException:
            self.blank()
            raise
        self.blank()

    def _stack(self) -> Stack:
        stack = self._connected
        if stack is None:
            raise NotConnected(f"{self.title} is not connected")
        return stack
