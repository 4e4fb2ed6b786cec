"""Signals of a run to its listeners, and names of its states."""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from psygnal import EmitLoopError, Signal

from napari_hae.experiment.drift import ImageAgain
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.types import Measurement, Proposal, ScanImage

if TYPE_CHECKING:
    from psygnal import SignalInstance

logger = logging.getLogger(__name__)


class RunPhase(StrEnum):
    """Current activity of a run."""

    IDLE = "idle"
    INITIALISING = "initialising"
    RUNNING = "running"
    WAITING = "waiting for approval"
    PAUSED = "paused"
    FINISHING = "finishing"


class FinishReason(StrEnum):
    """Reason for the end of a run."""

    COMPLETED = "completed"
    """A limit of the budget was reached."""
    STOPPED = "stopped"
    """The run was stopped at the end of a step; in records of earlier versions also by
    an abort."""
    ABORTED = "aborted"
    """The run was aborted, with the beam blanked at once."""
    INTERRUPTED = "interrupted"
    """The system ended the program by a signal, or the user by Ctrl+C."""
    EXHAUSTED = "exhausted"
    """No allowed position is left: all are measured, forbidden or outside the field."""
    FAILED = "failed"
    """An error ended the run."""


class RunEvents:
    """The signals of a run, emitted on the experiment's thread.

    A listener that raises is logged; it never stops a run.
    """

    state_changed = Signal(RunPhase)
    """Emits `(state)` when the activity of the run changes."""
    survey_acquired = Signal(ScanImage)
    """Emits `(image)` when the survey image of the run is stored."""
    surveyed_again = Signal(ScanImage, ImageAgain)
    """Emits `(image, taken)` when a repeated survey image is stored."""
    proposed = Signal(Proposal)
    """Emits `(proposal)` before it is measured or offered for approval."""
    refused = Signal(Proposal, str, bool)
    """Emits `(proposal, reason, is_wanted)` when a proposal is not measured: the user
    vetoed it or ordered something that takes precedence, or the gate refused it."""
    measured = Signal(Measurement)
    """Emits `(measurement)` when it is on disk."""
    retargeted = Signal(tuple)
    """Emits `(targets)`, of all measurements in order, after a change of scalarizer."""
    settings_changed = Signal(int, ExperimentSettings)
    """Emits `(step, settings)` when changed settings take effect."""
    warned = Signal(str)
    """Emits `(text)`: one sentence that states the problem."""
    warning_over = Signal(str)
    """Emits `(text)`: a warning that no longer applies."""
    finished = Signal(FinishReason, str)
    """Emits `(reason, text)`, always, as the last signal; the text may be empty."""


def emit(signal: SignalInstance, *arguments: Any) -> None:
    """Emit a signal; log an exception of a listener."""
    try:
        signal.emit(*arguments)
    except EmitLoopError:
        logger.exception("a listener of %r failed", signal.name)
