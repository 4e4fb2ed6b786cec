"""The user's commands to a run, from the docks of one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hae.experiment.events import RunPhase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.votes import Vote


class SteeredRun(QObject):
    """Pass commands to the current run; without one they do nothing.

    The user's reason for the next intervention is stored with it in the journal.
    """

    warning_wanted = Signal()
    """Emit when the user requests the next warning."""
    reason_taken = Signal()
    """Emit when the reason was stored in the journal with an intervention."""

    def __init__(self) -> None:
        super().__init__()
        self.runner: Runner | None = None
        self.reason = ""
        """Reason for the next intervention, for the journal; empty if not given."""

    @property
    def state(self) -> RunPhase:
        """State of the run; idle without one."""
        return self.runner.state if self.runner else RunPhase.IDLE

    @property
    def is_running(self) -> bool:
        """Return whether a run has begun and not ended, paused or not."""
        return self.runner is not None

    def pause(self) -> None:
        """Pause at the end of the step."""
        if self.runner is not None:
            self.runner.pause()

    def pause_or_resume(self) -> None:
        """Resume if paused, else pause."""
        if self.state is RunPhase.PAUSED:
            self.resume()
        else:
            self.pause()

    def resume(self) -> None:
        """Resume after a pause."""
        if self.runner is not None:
            self.runner.resume()

    def measure_next(self, pixels: Sequence[tuple[int, int]]) -> None:
        """Have pixels measured next; one, while a proposal waits, in its place."""
        if self.runner is not None:
            waits = self.state is RunPhase.WAITING
            self.runner.measure_next(pixels, first=waits, why=self.take_reason())

    def reorder_queue(self, pixels: Sequence[tuple[int, int]]) -> None:
        """Keep these of the queued pixels, in this order."""
        if self.runner is not None:
            self.runner.reorder_queue(pixels, why=self.take_reason())

    def vote(self, step: int, vote: Vote) -> None:
        """Judge the spectrum of a step."""
        if self.runner is not None:
            self.runner.vote(step, vote, why=self.take_reason())

    def discard(self, step: int, *, is_discarded: bool) -> None:
        """Exclude a measurement from training, or include it again."""
        if self.runner is not None:
            why = self.take_reason()
            self.runner.discard(step, is_discarded=is_discarded, why=why)

    def survey_again(self) -> None:
        """Repeat the survey image during a run, and locate the sample in it."""
        if self.runner is not None:
            self.runner.survey_again(why=self.take_reason())

    def go_alone(self, steps: int) -> None:
        """Let the agent take `steps` steps without asking."""
        if self.runner is not None:
            self.runner.go_alone(steps, why=self.take_reason())

    def approve(self) -> None:
        """Approve the proposal that waits."""
        if self.runner is not None:
            self.runner.approve()

    def veto(self) -> None:
        """Reject the proposal that waits, and its position for the whole run."""
        if self.runner is not None:
            self.runner.veto(why=self.take_reason())

    def keep_out(self, pixel: tuple[int, int]) -> None:
        """Exclude a position for the whole run, the waiting one or any other."""
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
        """Return and clear the user's reason for the current intervention."""
        reason, self.reason = self.reason, ""
        if reason:
            self.reason_taken.emit()
        return reason
