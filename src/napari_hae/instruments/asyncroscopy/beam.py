"""The blanker: its own connection, its own thread, and the known beam state."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from napari_hae.instruments.base import (
    AcquisitionTimeout,
    BlankingFailed,
    Busy,
    InstrumentError,
)
from napari_hae.types import BeamState

if TYPE_CHECKING:
    from napari_hae.instruments.asyncroscopy.device import Device

logger = logging.getLogger(__name__)

_IS_BLANKED = "beam_state"
"""An attribute, true while the beam is blanked. Not every microscope class has it, and
in the base class of all of them the commands to blank and unblank do nothing."""


class Beam:
    """Blanker that reads the beam state back after each command, if it is readable.

    A device that is acquiring takes no other command until it is done. So a blanking is
    sent by a thread of its own, which tries until the device has taken it, and those
    who asked for it wait as long as they like. What comes of it when nobody waits any
    more is not lost: `settle` has it out before the beam is used again.

    Parameters
    ----------
    device
        Connected for the blanker alone.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.can_be_read = device.has_attribute(_IS_BLANKED)
        self._news = threading.Condition()
        self._state = BeamState.UNVERIFIED
        self._asked = self._answered = 0
        self._at_work = self._overdue = self._owed = self._closed = False
        self._failure: InstrumentError | None = None

    @property
    def state(self) -> BeamState:
        """State of the beam known since the last command; does not query the device."""
        return self._state

    @property
    def is_overdue(self) -> bool:
        """True if a wait for blanking timed out and blanking is still being tried."""
        return self._overdue

    def blank(self, wait_s: float) -> bool:
        """Blank the beam, waiting at most so long; return whether it was in time.

        Raises
        ------
        InstrumentError
            If the device refuses, or cannot be reached.
        """
        with self._news:
            self._asked += 1
            mine = self._asked
            if self._state is not BeamState.BLANKED:
                self._state = BeamState.UNVERIFIED
            if not self._at_work:
                self._at_work = True
                threading.Thread(
                    target=self._work, name="napari-hae-blank", daemon=True
                ).start()
            answered = self._news.wait_for(lambda: self._answered >= mine, wait_s)
            self._overdue = self._overdue or not answered
            if answered and self._failure is not None:
                raise self._failure
            return answered

    def unblank(self, wait_s: float) -> None:
        """Open the beam, after earlier requests to the blanker are done.

        Raises
        ------
        Busy
            If the blanker is still waiting for the device after so long.
        InstrumentError
            If the device refuses, or reads as blanked afterwards, and `BlankingFailed`
            if it could not be blanked before.
        """
        with self._news:
            self.settle(wait_s)
            # From here on it may be open.
            self._state = BeamState.ON
        self._device.command("unblank_beam")
        if self.can_be_read and self._device.read(_IS_BLANKED):
            raise InstrumentError(
                f"{self._device} was told to unblank and still reads as blanked"
            )

    def settle(self, wait_s: float) -> None:
        """Wait for the blanker's answer, and repeat a blanking that failed.

        Raises
        ------
        Busy
            If it has not answered by then.
        BlankingFailed
            If the beam was to be blanked and may still be on.
        """
        with self._news:
            if not self._news.wait_for(lambda: not self._at_work, wait_s):
                raise Busy(f"{self._device} is busy, and has still to be blanked")
            if not self._owed:
                return
            try:
                self.blank(wait_s)
            except InstrumentError as error:
                raise BlankingFailed(
                    f"the beam could not be blanked ({error}): blank it by hand"
                ) from error
            if self._owed:
                raise BlankingFailed(
                    "the beam was told to blank twice and may still be on: blank it by "
                    "hand"
                )

    def close(self) -> None:
        """End the thread at its next failure."""
        self._closed = True

    def _work(self) -> None:
        while True:
            with self._news:
                if self._answered >= self._asked:
                    self._at_work = False
                    self._news.notify_all()
                    return
                mine = self._asked
            state, failure = self._blanked()
            with self._news:
                self._state, self._failure = state, failure
                self._owed = failure is not None or state is BeamState.ON
                self._answered = mine
                self._overdue = False
                self._news.notify_all()

    def _blanked(self) -> tuple[BeamState, InstrumentError | None]:
        """Send the command until the device answers; return the known beam state."""
        while True:
            try:
                self._device.command("blank_beam")
                if not self.can_be_read:
                    return BeamState.UNVERIFIED, None
                is_blanked = self._device.read(_IS_BLANKED)
                return (BeamState.BLANKED if is_blanked else BeamState.ON), None
            except AcquisitionTimeout as error:
                logger.warning("blanking is tried again: %s", error)
                if self._closed:
                    return BeamState.UNVERIFIED, error
            except InstrumentError as error:
                logger.error("the beam may be on: %s", error)
                return BeamState.UNVERIFIED, error
