"""A microscope that Nion Swift drives, or its simulator, as an instrument."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, ClassVar

from napari_hae.instruments.base import (
    NotConnected,
    OutOfRange,
    Status,
    Unsupported,
    check_area,
    check_detectors,
    check_exposure,
    check_interval,
    check_position,
    check_shape,
    in_use,
)
from napari_hae.instruments.nion.opening import open_microscope
from napari_hae.instruments.nion.recorder import check_not_aborted
from napari_hae.instruments.nion.settings import NionSettings
from napari_hae.instruments.nion.worker import Worker
from napari_hae.types import (
    WHOLE_FIELD,
    BeamState,
    ScanImage,
    Spectrum,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any, TypeVar

    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.nion.microscope import Microscope
    from napari_hae.types import Area, ProbePosition

    T = TypeVar("T")

_CONNECTING_S = 120.0
_ANSWER_S = 5.0


class NionSwift:
    """HAADF frames and EELS at the parked probe, by the Nion instrumentation kit.

    Inside Nion Swift it uses the microscope that is set up there; elsewhere it starts
    Nion's simulator. All objects of the kit live on a thread of their own.
    """

    title: ClassVar[str] = "Nion Swift"
    settings_type: ClassVar[type[NionSettings]] = NionSettings

    def __init__(self, settings: NionSettings) -> None:
        self._settings = settings
        self._using = threading.Lock()
        self._aborted = threading.Event()
        self._worker: Worker | None = None
        self._microscope: Microscope | None = None
        self._simulator = ExitStack()
        self._last_beam = BeamState.UNVERIFIED
        self._position: ProbePosition | None = None

    def connect(self) -> None:
        """Find the microscope of Swift, or start the simulator; blanked afterwards.

        Raises
        ------
        Unsupported
            If the kit is not installed, or there is no Swift and no simulator is
            wanted.
        InstrumentError
            If the microscope lacks what is needed.
        """
        if self._worker is not None:
            return
        self._aborted.clear()
        worker = Worker("napari-hae-nion", self._look, self._leave)
        try:
            self._microscope = worker.call(self._open, _CONNECTING_S)
        except BaseException:
            worker.stop(_CONNECTING_S)
            raise
        self._worker = worker

    def disconnect(self) -> None:
        """Blank the beam, end what is running, and take a simulator down."""
        try:
            self.abort()
        finally:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.stop(_CONNECTING_S)
            self._position = None

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the microscope. Raises `NotConnected`."""
        return self._connected()[1].capabilities

    def status(self) -> Status:
        """Return the state read less than a fifth of a second ago; never waits."""
        microscope, busy = self._microscope, self._using.locked()
        beam = self._last_beam if microscope is None else microscope.blanker.beam
        return Status(self._worker is not None, beam, self._position, busy)

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        """Scan the field of view, or an area of it.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy`, `Aborted`,
        `AcquisitionTimeout`, `InstrumentError`.
        """
        _, microscope = self._connected()
        able = microscope.capabilities
        check_detectors(detectors, able)
        check_shape(shape, able)
        check_area(area, able)
        if area == WHOLE_FIELD and shape[0] != shape[1]:
            raise Unsupported(
                f"{shape[0]} × {shape[1]} pixels do not fit the field of view, a "
                "square: ask for as many rows as columns"
            )
        check_interval("a dwell time", dwell_time_s, able.dwell_time_s, "s")
        scan_s = dwell_time_s * shape[0] * shape[1]
        with in_use(self._using):
            self._aborted.clear()
            data = self._run(
                lambda: microscope.frame(shape, dwell_time_s, area), lasting_s=scan_s
            )
        planes = [able.survey_detectors.index(name) for name in detectors]
        height_nm, width_nm = able.fov_nm
        fov_nm = area.height * height_nm, area.width * width_nm
        return ScanImage(data[planes], tuple(detectors), fov_nm, dwell_time_s, area)

    def place_beam(self, position: ProbePosition) -> None:
        """Park the blanked probe at a position.

        Raises `NotConnected`, `OutOfRange`, `Busy`, `InstrumentError`.
        """
        self._connected()
        check_position(position)
        with in_use(self._using):
            self._aborted.clear()
            self._place(position)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum where the probe is parked.

        Raises `NotConnected`, `Unsupported`, `OutOfRange`, `Busy` (also while a scan
        runs in Swift), `Aborted`, `AcquisitionTimeout`, `InstrumentError`.
        """
        check_exposure(detector, exposure_s, self.capabilities())
        with in_use(self._using):
            return self._expose(exposure_s)

    def blank(self) -> None:
        """Keep the electrons off the sample; also while something is recorded.

        Raises `NotConnected`, and `InstrumentError` if the blanker does not take it.
        """
        worker, microscope = self._connected()
        worker.call(microscope.blanker.blank, _ANSWER_S)

    def unblank(self) -> None:
        """Let the electrons reach the sample.

        Raises `NotConnected`, `InstrumentError`, and `Aborted` while an abort holds.
        """
        worker, microscope = self._connected()
        worker.call(microscope.blanker.unblank, _ANSWER_S)

    def abort(self) -> None:
        """Blank at once, then end what is running; waits for no recording.

        Raises `InstrumentError` if the blanker does not take it.
        """
        self._aborted.set()
        # It is blanked, and nothing runs, once it is disconnected.
        with suppress(NotConnected):
            worker, microscope = self._connected()
            worker.call(microscope.abort, _ANSWER_S)

    def _place(self, position: ProbePosition) -> None:
        _, microscope = self._connected()
        self._run(lambda: microscope.place(position))
        self._position = position

    def _expose(self, exposure_s: float) -> Spectrum:
        _, microscope = self._connected()
        position, lit = self._position, microscope.blanker.beam is not BeamState.BLANKED
        if position is None:
            raise OutOfRange("no probe position: place the beam first")
        check_not_aborted(self._aborted)
        counts, energy = self._run(
            lambda: microscope.spectrum(exposure_s), lasting_s=exposure_s
        )
        current_pa, dose_e = microscope.capabilities.current_pa, math.nan
        if current_pa is not None:
            dose_e = dose_electrons(current_pa, exposure_s) if lit else 0.0
        detector = microscope.capabilities.spectrum_detectors[0].name
        return Spectrum(counts, energy, detector, position, exposure_s, dose_e)

    def _run(
        self, what: Callable[[], Coroutine[Any, Any, T]], lasting_s: float = 0.0
    ) -> T:
        """Run a slow call and return its result; others may give orders meanwhile."""
        worker, _ = self._connected()
        # The call has its own time-out; this one is for a thread that hangs.
        return worker.run(what, lasting_s + 3 * self._settings.timeout_s + _ANSWER_S)

    def _connected(self) -> tuple[Worker, Microscope]:
        worker, microscope = self._worker, self._microscope
        if worker is None or microscope is None:
            raise NotConnected(f"{self.title} is not connected")
        return worker, microscope

    def _open(self) -> Microscope:
        """Open the microscope; the first call on the worker."""
        return open_microscope(self._settings, self._aborted, self._simulator)

    def _look(self) -> None:
        """Read the blanker; called on the worker ten times a second."""
        microscope = self._microscope
        if microscope is not None:
            microscope.blanker.look()

    def _leave(self) -> None:
        """Blank, end what runs, stop the simulator; the last call on the worker."""
        self._aborted.set()
        microscope, self._microscope = self._microscope, None
        with self._simulator:
            if microscope is not None:
                microscope.abort()
                self._last_beam = microscope.blanker.beam
