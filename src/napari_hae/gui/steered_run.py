"""What a person orders a run, from the docks of one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hae.experiment.events import RunPhase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.votes import Vote


class SteeredRun(QObject):
    """Hands orders on to the run that goes; without one they do nothing.

    What a person wrote about the next intervention goes into the journal with it.
    """

    warning_wanted = Signal()
    """A person asks for the next warning."""
    reason_taken = Signal()
    """The reason went into the journal with an intervention."""

    def __init__(self) -> None:
        super().__init__()
        self.runner: Runner | None = None
        self.reason = ""
        """Why the next intervention is made, for the journal; empty if not given."""

    @property
    def state(self) -> RunPhase:
        """What the run is doing; idle without one."""
        return self.runner.state if self.runner else RunPhase.IDLE

    @property
    def is_running(self) -> bool:
        """Whether a run has begun and not ended, paused or not."""
        return self.runner is not None

    def pause(self) -> None:
        """Pause at the end of the step."""
        if self.runner is not None:
            self.runner.pause()

    def pause_or_resume(self) -> None:
        """Go on where it is paused, else pause."""
        if self.state is RunPhase.PAUSED:
            self.resume()
        else:
            self.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        if self.runner is not None:
            self.runner.resume()

    def measure_next(self, pixels: Sequence[tuple[int, int]]) -> None:
        """Have pixels measured next; one, while a proposal waits, in its place."""
        if self.runner is not None:
            waits = self.state is RunPhase.WAITING
            self.runner.measure_next(pixels, first=waits, why=self.take_reason())

    def reorder_queue(self, pixels: Sequence[tuple[int, int]]) -> None:
        """Keep these of the pixels that wait, in this order."""
        if self.runner is not None:
            self.runner.reorder_queue(pixels, why=self.take_reason())

    def vote(self, step: int, vote: Vote) -> None:
        """Judge the spectrum of a step."""
        if self.runner is not None:
            self.runner.vote(step, vote, why=self.take_reason())

    def discard(self, step: int, *, is_discarded: bool) -> None:
        """Leave a measurement out of training, or take it in again."""
        if self.runner is not None:
            why = self.take_reason()
            self.runner.discard(step, is_discarded=is_discarded, why=why)

    def survey_again(self) -> None:
        """Take the survey image again while a run goes, and find the sample in it."""
        if self.runner is not None:
            self.runner.survey_again(why=self.take_reason())

    def go_alone(self, steps: int) -> None:
        """Let the agent take so many steps without asking."""
        if self.runner is not None:
            self.runner.go_alone(steps, why=self.take_reason())

    def approve(self) -> None:
        """Say yes to the proposal that waits."""
        if self.runner is not None:
            self.runner.approve()

    def veto(self) -> None:
        """Say no to the proposal that waits, and to its place for the whole run."""
        if self.runner is not None:
            self.runner.veto(why=self.take_reason())

    def keep_out(self, pixel: tuple[int, int]) -> None:
        """Say no to a place for the whole run, that which waits or any other."""
        if self.runner is None:
            return
        waits = self.runner.latest_proposal if self.state is RunPhase.WAITING else None
        if waits is not None and (waits.row, waits.column) == pixel:
            self.veto()
        else:
            self.runner.keep_out(*pixel, why=self.take_reason())

    def stop(self) -> None:
        """End the run after the step that is running."""
        if self.runner is not None:
            self.runner.stop()

    def take_reason(self) -> str:
        """What the person wrote about the intervention that is made now."""
        reason, self.reason = self.reason, ""
        if reason:
            self.reason_taken.emit()
        return reason
