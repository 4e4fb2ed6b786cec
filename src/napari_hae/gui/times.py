"""The panel of the time budget."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtWidgets import QVBoxLayout

from napari_hae.experiment.insight import time_curves
from napari_hae.gui.curves import TimesPlot
from napari_hae.gui.panels import LazyPanel
from napari_hae.gui.sentences import SteadyLabel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from napari_hae.experiment.insight import TimeCurves
    from napari_hae.gui.session import Session


class TimesPanel(LazyPanel):
    """Time of each step, and the beam's share of the total."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.summary = SteadyLabel()
        self.summary.setToolTip(
            "Instrument: the beam is placed and exposes. The agent computes and the "
            "disk writes while it does; the beam waits for what is left of them.\n"
            "Pauses and questions to you are left out of the beam's share."
        )
        self.plot = TimesPlot()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.summary)
        layout.addWidget(self.plot, 1)
        session.started.connect(self._on_started)
        session.live.measured.connect(self.refresh)
        session.live.rewound.connect(self.refresh)
        self.refresh()

    def draw(self) -> None:
        """Draw the time of all steps."""
        times = time_curves(self._session.live.measurements)
        self.plot.show_times(times)
        self.summary.setText(summary(times))
        self.summary.setVisible(bool(self.summary.text()))

    def _on_started(self) -> None:
        self.plot.clear()
        self.summary.setText("")


def summary(times: TimeCurves) -> str:
    """Return the time budget in a sentence; empty if nothing is known."""
    if not math.isfinite(times.beam_share):
        return ""
    parts = {
        "instrument": times.instrument_s,
        "waiting": times.waiting_s,
        "agent": times.agent_s,
        "disk": times.disk_s,
    }
    usual = ", ".join(f"{name} {_median_ms(each)}" for name, each in parts.items())
    share = f"{100 * times.beam_share:.0f} %"
    text = f"The instrument had {share} of the time. A usual step: {usual}."
    human_s = float(np.nansum(times.human_s))
    return f"{text} You took {human_s:.0f} s." if human_s >= 1 else text


def _median_ms(values_s: NDArray[np.float64]) -> str:
    return f"{1e3 * float(np.nanmedian(values_s)):.3g} ms"
