"""Control of a run by the user: orders from any thread, at any time."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

from napari_hae.experiment.controls import Controls, Verdict
from napari_hae.experiment.ending import AbortedBy
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.orders import (
    Discarded,
    KeptOut,
    QueueChanged,
    SurveyAgain,
    Voted,
)
from napari_hae.experiment.place_queue import PlaceQueue

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_hae.experiment.record import Record
    from napari_hae.experiment.votes import Vote
    from napari_hae.instruments.gate import GuardedInstrument


class Steered:
    """Orders of the user to a run; every method returns at once.

    Orders take effect at the next step's boundary; `abort` at once.
    """

    def __init__(
        self,
        instrument: GuardedInstrument,
        record: Record,
        queue: Iterable[tuple[int, int]],
    ) -> None:
        self._instrument, self.record = instrument, record
        self._controls = Controls()
        self._interrupted_by = ""
        self._aborted_by: AbortedBy | None = None
        self._state = RunPhase.IDLE
        self._shape: tuple[int, int] | None = None
        """Rows and columns of the survey image, once there is one."""
        self._queueing = threading.Lock()
        self.queue = PlaceQueue(queue)
        """Queue of places to be measured next; read it, but change it only by
        `measure_next` and `reorder_queue`."""

    @property
    def state(self) -> RunPhase:
        """Return the current activity of the run."""
        return self._state

    def pause(self) -> None:
        """Pause at the end of the step, with the beam blanked."""
        self._controls.pause()

    def resume(self) -> None:
        """Continue after a pause."""
        self._controls.resume()

    def step(self) -> None:
        """Take one step, and pause."""
        self._controls.step()

    def stop(self, *, why: str = "") -> None:
        """End the run after the exposure in progress."""
        self._controls.stop(why)

    def abort(self, by: AbortedBy = AbortedBy.PROGRAM) -> None:
        """Blank the beam at once, discard the measurement in progress, and end the run.

        Parameters
        ----------
        by
            Origin of the abort, for the record; the first abort of a run counts.
        """
        self._aborted_by = self._aborted_by or by
        self._controls.stop()
        self._instrument.abort()

    def interrupt(self, by: str) -> None:
        """Abort because the system ends the program, by a signal with this name."""
        self._interrupted_by = self._interrupted_by or by
        self.abort(AbortedBy.SIGNAL)

    def approve(self) -> None:
        """Approve the proposal that waits."""
        self._controls.answer(Verdict(True))

    def veto(self, *, why: str = "") -> None:
        """Refuse the proposal that waits, and its place for the whole run."""
        self._controls.answer(Verdict(False, why))

    def keep_out(self, row: int, column: int, *, why: str = "") -> None:
        """Exclude a pixel for the whole run; a waiting proposal is computed anew.

        It is removed from the queue, unless it is requested once more.

        Raises
        ------
        ValueError
            If it is outside the survey image.
        """
        (pixel,) = self._inside([(row, column)])
        self._controls.do(KeptOut(pixel, why))
        with self._queueing:
            self._controls.do(QueueChanged(*self.queue.remove(pixel), why))

    def go_alone(self, steps: int, *, why: str = "") -> None:
        """Let the agent take some steps without approval, the waiting one included."""
        self._controls.go_alone(steps, why)

    def measure_next(
        self, pixels: Iterable[tuple[int, int]], *, first: bool = False, why: str = ""
    ) -> None:
        """Queue pixels of the survey image, to be measured before those of the agent.

        Raises
        ------
        ValueError
            If one is outside the survey image.
        """
        inside = self._inside(pixels)
        # Orders are queued in the sequence of the changes that they report.
        with self._queueing:
            self._controls.do(QueueChanged(*self.queue.add(inside, first=first), why))

    def reorder_queue(
        self, pixels: Iterable[tuple[int, int]], *, why: str = ""
    ) -> None:
        """Keep these of the queued pixels, in this order; none empties the queue."""
        with self._queueing:
            self._controls.do(QueueChanged(*self.queue.replace(pixels), why))

    def vote(self, step: int, vote: Vote, *, why: str = "") -> None:
        """Judge the spectrum of a step; a later vote replaces it."""
        self._controls.do(Voted(step, vote, why))

    def discard(self, step: int, *, is_discarded: bool = True, why: str = "") -> None:
        """Exclude a measurement from training, or restore it."""
        self._controls.do(Discarded(step, is_discarded, why))

    def survey_again(self, *, why: str = "") -> None:
        """Take the survey image again, and locate the sample in it."""
        self._controls.do(SurveyAgain(why))

    def _inside(self, pixels: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the pixels as plain numbers, checked against an existing image."""
        inside = [(int(row), int(column)) for row, column in pixels]
        rows, columns = self._shape or (math.inf, math.inf)
        for row, column in inside:
            if not (0 <= row < rows and 0 <= column < columns):
                raise ValueError(
                    f"pixel ({row}, {column}) is not in the survey image of "
                    f"{rows} × {columns} pixels"
                )
        return inside

    @property
    def votes(self) -> Mapping[int, Vote]:
        """Return the votes so far, by step."""
        return self.record.state.votes

    @property
    def discarded(self) -> frozenset[int]:
        """Return the steps whose measurements are excluded from training."""
        return self.record.state.discarded
