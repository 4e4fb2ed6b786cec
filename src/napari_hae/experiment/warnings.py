"""What a run warns of, and when that is over: shown, and in the journal."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from napari_hae.experiment.events import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.stored import StoredRun


class Warnings:
    """Warns in words; remembers what stands until it is over.

    Parameters
    ----------
    step
        Gives the number of the next step, from 0.
    past
        The run that is gone on with: what stood in it still stands.
    """

    def __init__(
        self,
        record: Record,
        events: RunEvents,
        step: Callable[[], int],
        past: StoredRun | None,
    ) -> None:
        self._record, self._events, self._step = record, events, step
        self._standing: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for entry in past.journal if past else ():
            about = entry.get("about", "")
            if about and entry["event"] == "warning":
                self._standing[about][entry["text"]] = None
            elif about and entry["event"] == "warning_over":
                self._standing.pop(about, None)

    def say(self, text: str, about: str = "") -> None:
        """Warn of something that happened, or that somebody else knows the end of."""
        self._record.warning(self._step(), text, about)
        emit(self._events.warned, text)

    def over(self, text: str, since: int, about: str = "") -> None:
        """Say that a warning does not hold any more, since a step."""
        self._record.warning_over(self._step(), text, since, about)
        emit(self._events.warning_over, text)

    def stand(self, about: str, text: str) -> None:
        """Warn of something that holds until its end."""
        self._standing[about][text] = None
        self.say(text, about)

    def stand_once(self, about: str, text: str) -> None:
        """Warn of something that holds until its end, if nothing stands about it."""
        if not self.standing(about):
            self.stand(about, text)

    def end(self, about: str) -> None:
        """All that stands about something is over, if anything does."""
        for text in self._standing.pop(about, ()):
            self.over(text, self._step(), about)

    def standing(self, about: str) -> Collection[str]:
        """What was warned of and is not over."""
        return tuple(self._standing[about])
