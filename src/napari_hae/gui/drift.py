"""Status line of the sample's drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.journal_events import SurveyAgainEvent
from napari_hae.gui.noted import follow_journal
from napari_hae.gui.sentences import Sentence

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.gui.session import Session


class DriftLine(Sentence):
    """Line with the sample's displacement in the newest repeated image."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setAccessibleName("Drift")
        self.setToolTip(
            "How far the sample has moved since the first survey image, to the right "
            "and downwards, and before which step it was found there. Regions, maps "
            "and points stay those of the first image; the beam follows."
        )
        session.started.connect(self._on_started)
        follow_journal(session.live, self._on_noted)

    def _on_started(self) -> None:
        self.say("")

    def _on_noted(self, events: list[JournalEvent]) -> None:
        for event in events:
            if isinstance(event, SurveyAgainEvent):
                self.say(self._words(event))

    def _words(self, event: SurveyAgainEvent) -> str:
        at = f"at step {event.step + 1}"
        if event.refusal:
            return f"Drift unknown {at}: the sample was not found"
        frame = self._session.layers.frame
        if event.offset_nm is None or frame is None:
            return f"Surveyed again {at}"
        (down_nm, right_nm), (height_nm, width_nm) = event.offset_nm, frame.pixel_nm
        return (
            f"Drift x {right_nm:+.2f}, y {down_nm:+.2f} nm "
            f"({right_nm / width_nm:+.1f}, {down_nm / height_nm:+.1f} px) {at}"
        )
