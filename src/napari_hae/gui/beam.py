"""Status line of the beam and the dose."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_hae.gui.sentences import Sentence
from napari_hae.types import BeamState

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_hae.gui.session import Session
    from napari_hae.instruments.base import Status

POLL_MS = 200
PATIENCE_S = 2.0
"""Time without an answer of the instrument after which the beam is unknown."""

TOOLTIP = (
    "Whether electrons reach the sample, and how many did since connecting. "
    "The beam is blanked whenever no one measures."
)
UNVERIFIED = (
    "The microscope was told to blank the beam, and cannot be asked whether it did. "
    "Look at the microscope itself before you leave it."
)
UNKNOWN = (
    "The microscope does not say what its beam does. Look at the microscope itself."
)


class BeamPoll(QObject):
    """Poll of the instrument's status, on a thread of its own."""

    read = Signal(object)
    """Emit `(status: Status | None)` after each poll; None without an answer."""
    _answered = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._worker = ThreadPoolExecutor(1, "napari-hae-status")
        self._asked_s: float | None = None
        self._answered.connect(self._on_answered)
        session.connection.changed.connect(self._ask)
        self._timer = QTimer(self, interval=POLL_MS)
        self._timer.timeout.connect(self._ask)
        self._timer.start()

    def close(self) -> None:
        """End the thread."""
        self._timer.stop()
        self._session.connection.changed.disconnect(self._ask)
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _ask(self) -> None:
        instrument = self._session.connection.instrument
        if self._asked_s is not None:
            if time.monotonic() - self._asked_s > PATIENCE_S:
                self.read.emit(None)
        elif instrument is not None:
            self._asked_s = time.monotonic()
            answer = self._worker.submit(instrument.status)
            answer.add_done_callback(self._answered.emit)

    def _on_answered(self, answer: Future[Status]) -> None:
        self._asked_s = None
        silent = answer.cancelled() or answer.exception() is not None
        self.read.emit(None if silent else answer.result())


class BeamLine(Sentence):
    """Line with the beam state, and the electrons on the sample since connecting."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        session.connection.changed.connect(self._on_instrument)
        session.beam.read.connect(self._show)

    def _on_instrument(self) -> None:
        if self._session.connection.instrument is None:
            self.say("")

    def _show(self, status: Status | None) -> None:
        instrument = self._session.connection.instrument
        if instrument is None:
            return
        dose_e = instrument.dose_e
        dose = "unknown" if math.isnan(dose_e) else f"{dose_e:.3g} e⁻"
        beam, tooltip = _words(status)
        self.say(f"Beam {beam}, dose {dose} since connecting")
        self.setToolTip(tooltip)


def _words(status: Status | None) -> tuple[str, str]:
    """Return the text for the state of the beam, and details on it."""
    if status is None or not status.connected:
        return "unknown: the microscope does not answer", UNKNOWN
    if status.beam is BeamState.UNVERIFIED:
        return "unverified: told to blank", UNVERIFIED
    return str(status.beam), TOOLTIP
