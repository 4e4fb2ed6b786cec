"""The settings that were in force at the shown step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_hae.agent.recorded import FromRecord
from napari_hae.experiment.journal_events import SettingsEvent, StartEvent
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.gui.noted import follow_journal

if TYPE_CHECKING:
    from napari_hae.agent.goal import Goal
    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.gui.session import Session

_STORED = FromRecord(is_trusted=True)
"""Trusted context: parts that are not installed have no unit; nothing is called
here."""


class ShownSettings(QObject):
    """Goal and unit of the target in force at the shown step.

    They are read from the journal: the window's settings may already be those of the
    next run.
    """

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._begin()
        session.started.connect(self._begin)
        follow_journal(session.live, self._on_noted)

    @property
    def goal(self) -> Goal:
        """Goal of the search."""
        return self._shown.goal

    @property
    def unit(self) -> str:
        """Unit of the targets."""
        return self._shown.scalarizer.unit

    @property
    def _shown(self) -> ExperimentSettings:
        shown = self._session.live.shown_step
        # A change at exactly this step is not visible yet, as for the targets.
        known = [each for step, each in self._since if shown is None or step < shown]
        return known[-1]

    def _begin(self) -> None:
        self._since = [(0, self._session.settings)]

    def _on_noted(self, events: list[JournalEvent]) -> None:
        for event in events:
            match event:
                case StartEvent():
                    step, new = 0, event.settings
                case SettingsEvent():
                    step = event.step
                    new = {name: each.new for name, each in event.changes.items()}
                case _:
                    continue
            wanted = {"goal", "scalarizer"}
            now = self._since[-1][1].model_dump(mode="json", include=wanted)
            now |= {name: new[name] for name in wanted & new.keys()}
            settings = ExperimentSettings.model_validate(now, context=_STORED)
            self._since.append((step, settings))
