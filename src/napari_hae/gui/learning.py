"""The panel with what the agent has learned so far, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_hae.gui.plots import LearningCurve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.gui.session import Session
    from napari_hae.types import Measurement


class LearningPanel(QWidget):
    """Targets against the step, with what was predicted before."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.curve = LearningCurve()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.curve)
        session.started.connect(self.curve.clear)
        session.live.measured.connect(self._on_measured)
        session.live.retargeted.connect(self._draw)
        session.settings_in_force.connect(self._on_settings_in_force)
        if session.live.measurements:
            self._draw(session.live.measurements)

    def _on_measured(self, _: list[Measurement]) -> None:
        self._draw(self._session.live.measurements)

    def _draw(self, measurements: Sequence[Measurement]) -> None:
        settings = self._session.settings
        targets = [m.target for m in measurements]
        best, top = [], float("nan")
        for target in targets:
            top = settings.goal.best([top, target])
            best.append(top)
        self.curve.set_points(
            targets,
            [m.proposal.mean for m in measurements],
            [m.proposal.std for m in measurements],
            best,
            settings.scalarizer.unit,
        )

    def _on_settings_in_force(self, step: int) -> None:
        if step:
            self.curve.add_marker(step, f"settings changed before step {step + 1}")
