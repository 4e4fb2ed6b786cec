"""End of a run: its reason, its origin, and the beam state read back afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from napari_hae.experiment.events import FinishReason
from napari_hae.types import BeamState


class AbortedBy(StrEnum):
    """Origin of an abort."""

    BUTTON = "button"
    KEY = "key"
    CLOSED_WINDOW = "closed window"
    SIGNAL = "signal"
    """Command line: Ctrl+C, or a signal to the process."""
    PROGRAM = "program"
    """Script that drives the run."""
    MICROSCOPE = "microscope"
    """Instrument or its server, if the run was not aborted on this side."""


_BY = {
    AbortedBy.BUTTON: "by you",
    AbortedBy.KEY: "by you",
    AbortedBy.CLOSED_WINDOW: "as the window was closed",
    AbortedBy.SIGNAL: "from the command line",
    AbortedBy.PROGRAM: "by a program",
    AbortedBy.MICROSCOPE: "by the microscope",
}
_BEAM = {
    BeamState.BLANKED: "beam blanked (read back)",
    BeamState.UNVERIFIED: "beam told to blank (it cannot be read back)",
    BeamState.ON: "the beam reads as on: blank it by hand",
}


@dataclass(frozen=True)
class Ending:
    """End of a run.

    Parameters
    ----------
    text
        Details of the reason; may be empty.
    aborted_by
        Origin of an abort; None without one.
    step
        Step in progress, from 0; None in records of earlier versions.
    beam
        Beam state read back after blanking; None as for `step`.
    """

    reason: FinishReason
    text: str = ""
    aborted_by: AbortedBy | None = None
    step: int | None = None
    beam: BeamState | None = None

    def as_json(self) -> dict[str, object]:
        """Return the values as JSON, with null for unknown values."""
        by, beam = self.aborted_by, self.beam
        return {
            "reason": str(self.reason),
            "text": self.text,
            "aborted_by": str(by) if by else None,
            "at_step": self.step,
            "beam": str(beam) if beam else None,
        }

    def __str__(self) -> str:
        """Return it without a subject, as in 'completed: 12 of 12 steps are done'."""
        if self.reason is not FinishReason.ABORTED:
            return f"{self.reason}{': ' if self.text else ''}{self.text}"
        by = _BY[self.aborted_by] if self.aborted_by else ""
        beam = _BEAM[self.beam] if self.beam else ""
        at = "" if self.step is None else f"at step {self.step + 1}"
        words = " ".join(part for part in (str(self.reason), by, at) if part)
        said = ", ".join(part for part in (words, beam) if part)
        return f"{said}{': ' if self.text else ''}{self.text}"
