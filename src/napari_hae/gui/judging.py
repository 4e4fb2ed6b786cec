"""Buttons to judge the shown spectrum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QWidget

from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.experiment.votes import Vote

if TYPE_CHECKING:
    from napari_hae.gui.session import Session
    from napari_hae.types import Measurement

TOOLTIPS = {
    Vote.GOOD: "I want to find more spectra like this one.",
    Vote.NEUTRAL: "Neither good nor bad; takes an earlier vote back.",
    Vote.BAD: "I do not want to find spectra like this one.",
}


class JudgingBar(QWidget):
    """Buttons for good, neutral, bad; discard and restore; the votes as the goal."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._shown: Measurement | None = None
        self.votes = {vote: QPushButton(vote.capitalize()) for vote in Vote}
        self._group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for vote, button in self.votes.items():
            button.setCheckable(True)
            button.setToolTip(TOOLTIPS[vote])
            self._group.addButton(button)
            row.addWidget(button)
        self.discard = QPushButton("Discard")
        self.discard.setToolTip(
            "Leave this measurement out of training. It stays in the record, and can "
            "be restored."
        )
        self.follow = QPushButton("Look for what I like")
        self.follow.setToolTip(
            "Make the similarity to good spectra, and not to bad ones, the goal. Its "
            "weight beside the goal so far is set under Goal."
        )
        row.addWidget(self.discard)
        row.addStretch(1)
        row.addWidget(self.follow)
        self._group.buttonClicked.connect(self._on_vote)
        self.discard.clicked.connect(self._on_discard)
        self.follow.clicked.connect(self._on_follow)
        session.state_changed.connect(self._refresh)
        session.live.judged.connect(self._refresh)
        session.settings_changed.connect(self._refresh)
        self._refresh()

    def show_measurement(self, measurement: Measurement | None) -> None:
        """Set the measurement to judge; None if there is none."""
        self._shown = measurement
        self._refresh()

    def _refresh(self, _: object = None) -> None:
        session, shown = self._session, self._shown
        enabled = session.is_running and shown is not None
        for button in (*self.votes.values(), self.discard):
            button.setEnabled(enabled)
        votes = session.live.votes
        vote = votes.get(shown.step) if shown else None
        self._group.setExclusive(False)
        for each, button in self.votes.items():
            button.setChecked(each is vote)
        self._group.setExclusive(True)
        gone = shown is not None and shown.step in session.live.discarded
        self.discard.setText("Restore" if gone else "Discard")
        follows = isinstance(session.settings.scalarizer, SimilarityToVotes)
        liked = Vote.GOOD in votes.values()
        self.follow.setEnabled(session.is_running and liked and not follows)

    def _on_vote(self, button: QPushButton) -> None:
        if self._shown is not None:
            vote = next(v for v, each in self.votes.items() if each is button)
            self._session.vote(self._shown.step, vote)

    def _on_discard(self) -> None:
        if self._shown is not None:
            restore = self.discard.text() == "Restore"
            self._session.discard(self._shown.step, is_discarded=not restore)

    def _on_follow(self) -> None:
        self._session.configure(scalarizer=SimilarityToVotes())
