"""What a run tells its listeners, and the words for its states."""

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
    """What a run is doing."""

    IDLE = "idle"
    INITIALISING = "initialising"
    RUNNING = "running"
    WAITING = "waiting for approval"
    PAUSED = "paused"
    FINISHING = "finishing"


class FinishReason(StrEnum):
    """Why a run ended."""

    COMPLETED = "completed"
    """A limit of the budget was reached."""
    STOPPED = "stopped"
    """Somebody stopped it at the end of a step; in records of earlier versions also
    by an abort."""
    ABORTED = "aborted"
    """Somebody had the beam blanked at once."""
    INTERRUPTED = "interrupted"
    """The system ended the program by a signal, or a person by Ctrl+C."""
    EXHAUSTED = "exhausted"
    """No allowed position is left: all are measured, kept out or out of the field."""
    FAILED = "failed"
    """An error ended it."""


class RunEvents:
    """The signals of a run, emitted on the experiment's thread.

    A listener that raises is logged; it never stops a run.
    """

    state_changed = Signal(RunPhase)
    """Emits `(state)` when the run does something else."""
    survey_acquired = Signal(ScanImage)
    """Emits `(image)` when the survey image that the run rests on is stored."""
    surveyed_again = Signal(ScanImage, ImageAgain)
    """Emits `(image, taken)` when a survey image that was taken again is stored."""
    proposed = Signal(Proposal)
    """Emits `(proposal)` before it is measured or offered for approval."""
    refused = Signal(Proposal, str, bool)
    """Emits `(proposal, reason, is_wanted)` when a proposal is not measured: a person
    vetoed it or ordered something that comes first, or the gate refused it."""
    measured = Signal(Measurement)
    """Emits `(measurement)` when it is on disk."""
    retargeted = Signal(tuple)
    """Emits `(targets)`, of all measurements in order, after a change of scalarizer."""
    settings_changed = Signal(int, ExperimentSettings)
    """Emits `(step, settings)` when changed settings take effect."""
    warned = Signal(str)
    """Emits `(text)`: one sentence that says what is the matter."""
    warning_over = Signal(str)
    """Emits `(text)`: a warning that does not hold any more."""
    finished = Signal(FinishReason, str)
    """Emits `(reason, text)`, always, as the last one; the text may be empty."""


def emit(signal: SignalInstance, *arguments: Any) -> None:
    """Emit a signal; a listener that raises is logged."""
    try:
        signal.emit(*arguments)
    except EmitLoopError:
        logger.exception("a listener of %r failed", signal.name)
