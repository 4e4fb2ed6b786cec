"""Relay of a run's signals from the experiment's thread to Qt's main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    from napari_hae.experiment.events import RunEvents

_CARRIED = (
    "state_changed",
    "survey_acquired",
    "surveyed_again",
    "refused",
    "retargeted",
    "settings_changed",
    "warned",
    "warning_over",
    "finished",
)


class RunBridge(QObject):
    """Relay of a run's psygnal signals as Qt signals, which Qt queues across threads.

    Data of every step (measurements, proposals, maps) are polled from the runner
    instead, so that a fast instrument cannot flood the window.
    """

    state_changed = Signal(object)
    """Emit `(phase: RunPhase)` when the state of the run changes."""
    survey_acquired = Signal(object)
    """Emit `(survey: ScanImage)` when the run has its survey image."""
    surveyed_again = Signal(object, object)
    """Emit `(survey: ScanImage, taken: ImageAgain)` when the survey is repeated."""
    refused = Signal(object, str, bool)
    """Emit `(proposal: Proposal, reason: str, by_user: bool)` when a proposal is not
    measured."""
    retargeted = Signal(object)
    """Emit `(targets)` of all measurements, in order, when they change."""
    settings_changed = Signal(int, object)
    """Emit `(step: int, settings: ExperimentSettings)`: settings in force from a step
    on."""
    warned = Signal(str)
    """Emit `(sentence: str)` for a warning."""
    warning_over = Signal(str)
    """Emit `(sentence: str)` when a warning no longer holds."""
    finished = Signal(object, str)
    """Emit `(reason: FinishReason, details: str)` when the run has ended."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._connections: list[tuple[Any, Any]] = []

    def attach(self, events: RunEvents) -> None:
        """Connect the signals of a run, and disconnect those of an earlier one."""
        self.detach()
        for name in _CARRIED:
            source, forward = getattr(events, name), getattr(self, name).emit
            source.connect(forward, check_nargs=False, on_ref_error="ignore")
            self._connections.append((source, forward))

    def detach(self) -> None:
        """Disconnect the signals of the run."""
        for source, forward in self._connections:
            source.disconnect(forward)
        self._connections.clear()
