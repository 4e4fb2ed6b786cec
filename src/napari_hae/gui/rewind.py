"""The slider that shows an earlier state of the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSlider,
    QWidget,
)

from napari_hae.gui.sentences import SteadyLabel

if TYPE_CHECKING:
    from napari_hae.gui.session import Session

SLIDER_PX = 200
_TOOLTIP = (
    "Show the run as it was after a step: layers, plots and tables show what was known "
    "then, with the next proposal of that time.\n"
    "The run goes on meanwhile. The right end, or Live, shows it as it is now."
)


class RewindBar(QWidget):
    """Slider, step and a button to return; at its right end the run is shown live."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._live = session, session.live
        self.open = QPushButton("Open record…")
        self.open.setToolTip(
            "Go through a stored run (.hae) step by step. Its maps are those that were "
            "stored, every few steps."
        )
        self.label = SteadyLabel(wraps=False)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Step that is shown")
        self.slider.setFixedWidth(SLIDER_PX)
        self.slider.setPageStep(10)
        self.live = QPushButton("Live")
        self.live.setToolTip("Go on with the run as it is now.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.open, self.label, self.slider, self.live):
            layout.addWidget(widget)
        self.slider.valueChanged.connect(self._live.show_step)
        self.live.clicked.connect(self._on_live)
        self.open.clicked.connect(self._on_open)
        session.connection.changed.connect(self._show)
        self._live.counted.connect(self._show)
        self._live.rewound.connect(self._show)
        session.started.connect(self._show)
        session.survey_changed.connect(self._show)
        self._show()

    def _on_live(self) -> None:
        self._live.show_step(None)

    def _on_open(self) -> None:
        folder = str(self._session.record_folder)
        chosen = QFileDialog.getExistingDirectory(self, "Open a record", folder)
        if chosen:
            self._session.open_record(Path(chosen))

    def _show(self, _: object = None) -> None:
        taken, step = self._live.taken, self._live.shown_step
        with QSignalBlocker(self.slider):
            self.slider.setRange(1, max(taken, 1))
            self.slider.setValue(taken if step is None else step)
        self.slider.setEnabled(self._live.can_rewind)
        self.live.setEnabled(step is not None)
        # With a microscope the survey image is that of the next run.
        self.open.setVisible(not self._session.connection.is_open)
        self.label.setText(self._words(taken, step))
        self.slider.setToolTip(_TOOLTIP)

    def _words(self, taken: int, step: int | None) -> str:
        if step is None:
            return f"Step {taken}" if taken else ""
        text = f"Step {step} of {taken}"
        maps, proposal = self._live.maps, self._live.proposal
        if maps is not None and proposal is not None and maps.known < proposal.known:
            text += f", maps after {maps.known}"
        return text
