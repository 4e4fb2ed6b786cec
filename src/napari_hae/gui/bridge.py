"""Carries a run's signals from the experiment's thread to Qt's main thread."""

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
    """Emits Qt signals where a run emits psygnal ones; Qt queues them across threads.

    What comes with every step (measurements, proposals, maps) is polled from the runner
    instead, so that a fast instrument cannot flood the window.
    """

    state_changed = Signal(object)
    """Emits a `RunPhase`."""
    survey_acquired = Signal(object)
    """Emits the `ScanImage` that the run rests on."""
    surveyed_again = Signal(object, object)
    """Emits the `ScanImage` that was taken again, and the `ImageAgain`."""
    refused = Signal(object, str, bool)
    """Emits a `Proposal`, why it was not measured, and whether a person wanted so."""
    retargeted = Signal(object)
    """Emits the targets of all measurements, in order."""
    settings_changed = Signal(int, object)
    """Emits the step from which on the `ExperimentSettings` hold."""
    warned = Signal(str)
    """Emits one sentence."""
    warning_over = Signal(str)
    """Emits the sentence that does not hold any more."""
    finished = Signal(object, str)
    """Emits a `FinishReason` and more about it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._connections: list[tuple[Any, Any]] = []

    def attach(self, events: RunEvents) -> None:
        """Carry the signals of a run; those of an earlier run are let go."""
        self.detach()
        for name in _CARRIED:
            source, forward = getattr(events, name), getattr(self, name).emit
            source.connect(forward, check_nargs=False, on_ref_error="ignore")
            self._connections.append((source, forward))

    def detach(self) -> None:
        """Let go of the run."""
        for source, forward in self._connections:
            source.disconnect(forward)
        self._connections.clear()
