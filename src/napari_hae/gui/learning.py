"""The panel with the agent's learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QStackedWidget, QVBoxLayout

from napari_hae.experiment.insight import curves
from napari_hae.experiment.sentences import is_intervention, sentence, step_of
from napari_hae.gui.curves import (
    CalibrationPlot,
    DriftPlot,
    ErrorPlot,
    LikelihoodPlot,
    UncertaintyPlot,
)
from napari_hae.gui.noted import follow_journal
from napari_hae.gui.panels import LazyPanel
from napari_hae.gui.plots import LearningCurve
from napari_hae.gui.shown_settings import ShownSettings

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.gui.session import Session


class LearningPanel(LazyPanel):
    """One of several curves against the step, with interventions on the axis."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._settings = ShownSettings(session, self)
        self.curve = LearningCurve()
        self.plots = {
            "Target and best": self.curve,
            "Uncertainty": UncertaintyPlot(),
            "One-step-ahead error": ErrorPlot(),
            "Calibration": CalibrationPlot(),
            "Marginal likelihood": LikelihoodPlot(),
            "Drift": DriftPlot(),
        }
        self.choice = QComboBox()
        self.choice.addItems(list(self.plots))
        self.choice.setAccessibleName("Learning curve")
        self.choice.setToolTip(
            "Which curve to show.\n"
            "Uncertainty: of all that may still be measured.\n"
            "Error and calibration: each place as predicted just before it was "
            "measured, against what was measured.\n"
            "Drift: where the beam followed the sample to."
        )
        self._stack = QStackedWidget()
        for plot in self.plots.values():
            self._stack.addWidget(plot)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.choice)
        layout.addWidget(self._stack, 1)
        self.choice.currentIndexChanged.connect(self._on_chosen)
        session.started.connect(self._on_started)
        session.live.measured.connect(self.refresh)
        session.live.retargeted.connect(self.refresh)
        session.live.rewound.connect(self.refresh)
        follow_journal(session.live, self._on_noted)

    def add_marker(self, step: int, text: str) -> None:
        """Mark a change from a step on in all curves, with its description."""
        for plot in self.plots.values():
            plot.add_marker(step, text)

    def draw(self) -> None:
        """Draw the chosen curve."""
        known = curves(self._session.live.measurements, self._settings.goal)
        plot = self.plots[self.choice.currentText()]
        plot.show_curves(known, self._settings.unit)
        plot.show_markers(self._session.live.shown_step)

    def _on_chosen(self, index: int) -> None:
        self._stack.setCurrentIndex(index)
        self.draw_now()

    def _on_started(self) -> None:
        for plot in self.plots.values():
            plot.clear()

    def _on_noted(self, events: list[JournalEvent]) -> None:
        for event in events:
            step = step_of(event)
            if step is not None and is_intervention(event):
                self.add_marker(step, sentence(event))
        self.refresh()
