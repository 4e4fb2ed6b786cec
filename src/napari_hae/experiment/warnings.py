"""Warnings of a run and their end: shown, and in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.events import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.record import Record


class Warnings:
    """Source of warnings; those that stay in force are in the state of the record.

    Parameters
    ----------
    step
        Returns the number of the next step, from 0.
    """

    def __init__(
        self,
        record: Record,
        events: RunEvents,
        step: Callable[[], int],
    ) -> None:
        self._record, self._events, self._step = record, events, step

    def say(self, text: str, about: str = "") -> None:
        """Warn of a single event, or of a condition that another part ends."""
        self._record.warning(self._step(), text, about)
        emit(self._events.warned, text)

    def over(self, text: str, since: int, about: str = "") -> None:
        """Report that a warning no longer applies, since a step."""
        self._record.warning_over(self._step(), text, since, about)
        emit(self._events.warning_over, text)

    def stand(self, about: str, text: str) -> None:
        """Warn of a condition that lasts until `end`."""
        self.say(text, about)

    def stand_once(self, about: str, text: str) -> None:
        """Warn of a lasting condition, unless its subject already has a warning."""
        if not self.standing(about):
            self.stand(about, text)

    def end(self, about: str) -> None:
        """End all warnings on a subject, if there are any."""
        for text in self.standing(about):
            self.over(text, self._step(), about)

    def standing(self, about: str) -> Collection[str]:
        """Return the warnings still in force."""
        return tuple(self._record.state.standing.get(about, ()))
