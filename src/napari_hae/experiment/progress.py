"""Detection of a run that continues without results."""

from __future__ import annotations

NO_PROGRESS = "no progress"
"""Subject of a warning that stays in force until a useful spectrum is taken."""
REFUSALS = 10
"""Number of consecutive proposals refused by the gate that ends or pauses a run."""
OTHER_AXES = 5
"""Number of consecutive foreign spectra that ends or pauses a run."""


class NoProgress(Exception):
    """Error for consecutive steps without result; the text tells the user a remedy."""


class Progress:
    """Counter of consecutive failures; used by the experiment's thread."""

    def __init__(self) -> None:
        self._refused = self._foreign = 0
        self._why = ""

    def refused(self, reason: str) -> None:
        """Count a place that the gate refused although the mask allowed it."""
        self._refused += 1
        self._why = reason

    def exposed(self, why_foreign: str) -> None:
        """Count a spectrum; the reason is empty unless it is foreign to the run."""
        self._refused = 0
        self._foreign = self._foreign + 1 if why_foreign else 0
        self._why = why_foreign

    @property
    def is_lacking(self) -> bool:
        """Return whether the next step should not begin."""
        return self._refused >= REFUSALS or self._foreign >= OTHER_AXES

    def check(self) -> None:
        """Raise `NoProgress` if there is no progress, and restart the count.

        After a pause, the user thus gets the same number of attempts again.
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
