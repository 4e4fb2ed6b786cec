"""Control that returns to an earlier step and continues from it in a new record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QWidget

if TYPE_CHECKING:
    from napari_hae.gui.session import Session

HOW = (
    "Stop the run, and go on from after this step in a new record that shares the "
    "steps before. The old record stays as it is."
)

NOTHING = "Nothing has been measured yet."


class BackRow(QWidget):
    """Choice of a step, with a button."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.step = QSpinBox()
        self.step.setAccessibleName("Step to go back to")
        self.button = QPushButton("Go back")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("After step"))
        row.addWidget(self.step)
        row.addWidget(self.button, 1)
        self.button.clicked.connect(self._on_clicked)
        session.live.counted.connect(self._refresh)
        session.started.connect(self._refresh)
        session.state_changed.connect(self._refresh)
        session.connection.changed.connect(self._refresh)
        self._refresh()

    def _refresh(self, _: object = None) -> None:
        done, refusal = self._session.live.taken, self._session.successors.no_way_back
        self.step.setRange(min(done, 1), done)
        self.setEnabled(done > 0 and not refusal)
        self.button.setToolTip(refusal or (HOW if done else NOTHING))

    def _on_clicked(self) -> None:
        self._session.successors.go_back(self.step.value())
