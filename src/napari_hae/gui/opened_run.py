"""A stored run, with the interface that a `Runner` has for views of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hae.experiment.damage import in_words
from napari_hae.experiment.history import Retargeting
from napari_hae.experiment.journal_events import EACH_STEP
from napari_hae.experiment.place_queue import PlaceQueue
from napari_hae.experiment.record_files import NotARecord
from napari_hae.gui.history import History, ModelView
from napari_hae.types import Measurement

if TYPE_CHECKING:
    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.experiment.stored import StoredRun


@dataclass(frozen=True)
class Told:
    """Journal events of a record that are shown as sentences."""

    noted: list[JournalEvent]


class OpenedRun:
    """Complete stored run in memory, in its state after the last step.

    Raises
    ------
    NotARecord
        If there is nothing to show.
    """

    def __init__(self, stored: StoredRun) -> None:
        if stored.survey is None or not stored.measurements:
            raise NotARecord(f"{stored.path} ended before anything was measured")
        self.path, self.instrument = stored.path, stored.instrument
        self.survey, self.settings = stored.survey, stored.settings
        self.outside = stored.outside
        self.damage = in_words(stored.damage)
        self.history = _history(stored)
        self.measurements = self.history.measurements
        self.latest_maps = stored.latest_maps()
        self.latest_picture = None
        self.waits_for = ""
        self.latest_proposal = self.measurements[-1].proposal
        self.queue = PlaceQueue()
        self.votes, self.discarded = stored.votes, stored.discarded
        self.record = Told([x for x in stored.journal if not isinstance(x, EACH_STEP)])


def _history(stored: StoredRun) -> History:
    history = History()
    measured: list[Measurement] = []
    for event in stored.history:
        if isinstance(event, Measurement):
            measured.append(event)
        elif isinstance(event, Retargeting):
            history.take(tuple(measured))
            measured = event.of(measured)
    history.take(tuple(measured))
    for maps in stored.maps():
        history.keep(ModelView(maps, None))
    return history
