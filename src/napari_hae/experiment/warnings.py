"""What a run warns of, and when that is over: shown, and in the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.events import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.record import Record


class Warnings:
    """Warns in words; what stands until it is over is in the state of the record.

    Parameters
    ----------
    step
        Gives the number of the next step, from 0.
    """

    def __init__(
        self,
        record: Record,
        events: RunEvents,
        step: Callable[[], int],
    ) -> None:
        self._record, self._events, self._step = record, events, step

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
        self.say(text, about)

    def stand_once(self, about: str, text: str) -> None:
        """Warn of something that holds until its end, if nothing stands about it."""
        if not self.standing(about):
            self.stand(about, text)

    def end(self, about: str) -> None:
        """All that stands about something is over, if anything does."""
        for text in self.standing(about):
            self.over(text, self._step(), about)

    def standing(self, about: str) -> Collection[str]:
        """What was warned of and is not over."""
        return tuple(self._record.state.standing.get(about, ()))
