"""Tells when a run goes on and on without getting anywhere."""

from __future__ import annotations

NO_PROGRESS = "no progress"
"""What a warning is about that stands until a spectrum is taken that is of use."""
REFUSALS = 10
"""So many proposals in a row that the gate refuses end or pause a run."""
OTHER_AXES = 5
"""So many spectra in a row that do not belong to the run end or pause it."""


class NoProgress(Exception):
    """Step after step comes to nothing; the text says what a person can do."""


class Progress:
    """Counts what comes to nothing in a row; used by the experiment's thread."""

    def __init__(self) -> None:
        self._refused = self._foreign = 0
        self._why = ""

    def refused(self, reason: str) -> None:
        """The gate has refused a place that the mask had open."""
        self._refused += 1
        self._why = reason

    def exposed(self, why_foreign: str) -> None:
        """A spectrum was taken; why it does not belong to the run, empty if it does."""
        self._refused = 0
        self._foreign = self._foreign + 1 if why_foreign else 0
        self._why = why_foreign

    @property
    def is_lacking(self) -> bool:
        """Whether the next step is not to begin."""
        return self._refused >= REFUSALS or self._foreign >= OTHER_AXES

    def check(self) -> None:
        """Raise `NoProgress` where there is none, and count anew.

        So that a person who goes on after a pause gets as many tries again.
        """
        if not self.is_lacking:
            return
        if self._refused >= REFUSALS:
            text = (
                f"{self._refused} proposals in a row were refused and nothing was "
                f"exposed between them, the last because {self._why}. Look at the "
                "regions, the field of view and the survey image"
            )
        else:
            text = (
                f"{self._foreign} spectra in a row were set aside, the last because "
                f"{self._why}. Look at the detector; where its energy axis was "
                "changed, start a new run"
            )
        self._refused = self._foreign = 0
        raise NoProgress(text)
