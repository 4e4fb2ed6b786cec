"""The state of the beam and the dose, in one line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_hae.gui.sentences import Sentence

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_hae.gui.session import Session

POLL_MS = 200


class BeamLine(Sentence):
    """Whether electrons reach the sample, and how many did since connecting."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setToolTip(
            "Whether electrons reach the sample, and how many did since connecting. "
            "The beam is blanked whenever no one measures."
        )
        session.instrument_changed.connect(self._refresh)
        self._timer = QTimer(self, interval=POLL_MS)
        self._timer.timeout.connect(self._refresh)
        self._timer.start()
        self._refresh()

    def _refresh(self) -> None:
        instrument = self._session.instrument
        if instrument is None:
            self.say("")
            return
        dose_e = instrument.dose_e
        dose = "unknown" if math.isnan(dose_e) else f"{dose_e:.3g} e⁻"
        self.say(f"Beam {instrument.status().beam}, dose {dose}")
