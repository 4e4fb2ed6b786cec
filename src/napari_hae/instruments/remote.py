"""A microscope that `napari-hae serve` offers on another PC."""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from napari_hae.instruments.base import (
    InstrumentError,
    NotConnected,
    Status,
    check_area,
    check_exposure,
    check_interval,
    check_position,
    in_use,
)
from napari_hae.instruments.bridge.contact import Contact
from napari_hae.instruments.bridge.line import LineCut
from napari_hae.instruments.bridge.orders import Orders
from napari_hae.instruments.bridge.settings import RemoteSettings
from napari_hae.types import WHOLE_FIELD, BeamState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.dose import DoseLimits, Exposure
    from napari_hae.instruments.gate import Constraint
    from napari_hae.types import Area, ProbePosition, ScanImage, Spectrum

logger = logging.getLogger(__name__)


class RemoteMicroscope:
    """The client of a server that keeps a gate of its own.

    Only the server's gate opens the beam, for exposures only. What is unblanked here is
    the next spectrum: the server is told with each one whether to expose it. The state
    is the one that was heard last, with every answer and at least once a second, so
    that asking for it never waits for the network; from `unblank` on the beam counts as
    on.
    """

    title: ClassVar[str] = "Remote microscope"
    settings_type: ClassVar[type[RemoteSettings]] = RemoteSettings

    def __init__(self, settings: RemoteSettings) -> None:
        self._settings = settings
        self._identity = uuid.uuid4().hex
        self._ordering = threading.Lock()
        self._orders = Orders()
        self._using = threading.Lock()
        self._contact: Contact | None = None
        self._able: Capabilities | None = None
        self._last = Status(False, BeamState.BLANKED, None)
        self._lit = False

    def connect(self) -> None:
        """Take the microscope, blanked.

        Raises
        ------
        NotConnected
            If the server cannot be reached or does not let this side in.
        Busy
            If somebody else has the microscope; the text says who, and since when.
        Unsupported
            If the extra `remote` is not installed.
        InstrumentError
            If the server cannot connect its instrument.
        """
        if self._contact is not None and not self._contact.is_over:
            return
        with self._ordering:
            self._orders = orders = self._orders.again()
        try:
            contact = Contact(self._settings, self._identity, orders)
        except ValueError as error:
            raise NotConnected(str(error)) from error
        try:
            self._able = contact.claim()
        except InstrumentError:
            contact.end("disconnected")
            raise
        self._lit = False
        self._contact = contact

    def disconnect(self) -> None:
        """Have the beam blanked, and give the microscope back."""
        contact, self._contact, self._lit = self._contact, None, False
        if contact is None:
            return
        try:
            self._last = contact.release()
        except InstrumentError as error:
            self._last = Status(False, BeamState.UNVERIFIED, None)
            logger.warning("the server could not be told to disconnect: %s", error)

    def capabilities(self) -> Capabilities:
        """Return the server's capabilities as of the last move or acquisition."""
        self._connected()
        assert self._able is not None
        return self._able

    def status(self) -> Status:
        """Return the last received state; never raises and never waits."""
        contact = self._contact
        if contact is None:
            return self._last
        status = contact.status
        if self._lit and status.beam is BeamState.BLANKED:
            return replace(status, beam=BeamState.ON)
        return status

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        """Scan the field of view, or an area of it.

        Raises what the server's gate raises, `NotConnected`, `Busy` and
        `AcquisitionTimeout`.
        """
        able = self.capabilities()
        check_area(area, able)
        check_interval("a dwell time", dwell_time_s, able.dwell_time_s, "s")
        takes_s = dwell_time_s * shape[0] * shape[1]
        asked = (tuple(detectors), tuple(shape), dwell_time_s, area)
        with in_use(self._using):
            image: ScanImage = self._work("survey", *asked, takes_s=takes_s)
            return image

    def place_beam(self, position: ProbePosition) -> None:
        """Put the blanked beam at a position. Raises like `acquire_survey`."""
        self._connected()
        check_position(position)
        with in_use(self._using):
            self._work("place", position)

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Take a spectrum where the beam is; exposed after `unblank` only.

        Raises like `acquire_survey`.
        """
        check_exposure(detector, exposure_s, self.capabilities())
        with in_use(self._using):
            asked = (detector, exposure_s, self._lit)
            spectrum: Spectrum = self._work("expose", *asked, takes_s=exposure_s)
            return spectrum

    def blank(self) -> None:
        """Keep the electrons off the sample. Raises `NotConnected`."""
        self._lit = False
        self._connected().urgently("blank")

    def unblank(self) -> None:
        """Have the next spectra exposed. Raises `NotConnected`."""
        self._connected()
        self._lit = True

    def abort(self) -> None:
        """Have the server blank at once and end what is running."""
        self._lit = False
        contact = self._contact
        if contact is None or contact.is_over:
            return
        try:
            contact.urgently("abort")
        except LineCut as error:
            logger.error(
                "the abort did not reach the server, whose watchdog blanks: %s", error
            )

    def hand_on_constraint(self, constraint: Constraint) -> None:
        """Let the server's gate keep a constraint before anything else is done."""
        with self._ordering:
            self._orders.give("constraint", constraint)

    def hand_on_run(self, taken: Sequence[Exposure]) -> None:
        """Let the server's gate count a run from what it has taken already."""
        with self._ordering:
            self._orders.give("run", tuple(taken))

    def hand_on_dose_limits(self, limits: DoseLimits) -> None:
        """Let the server's gate keep dose limits before anything else is done."""
        with self._ordering:
            self._orders.give("dose_limits", limits)

    def _work(self, method: str, *asked: object, takes_s: float = 0.0) -> Any:
        value, news = self._connected().work(method, *asked, takes_s=takes_s)
        if news is not None:
            self._able = news
        return value

    def _connected(self) -> Contact:
        contact = self._contact
        if contact is None:
            raise NotConnected(f"{self.title} is not connected")
        if contact.is_over:
            raise NotConnected(f"{contact.why_over}. Connect again")
        return contact
