"""The beam blanker, which is one of the microscope's controls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import InstrumentError
from napari_hae.instruments.nion.recorder import check_not_aborted, in_words
from napari_hae.types import BeamState

if TYPE_CHECKING:
    import threading

_CONFIRM_MS = 1000


class Blanker:
    """Blanker that keeps electrons off the sample while its control is not 0.

    Attributes
    ----------
    beam
        Last state read; `UNVERIFIED` if the control cannot be read.
    """

    def __init__(self, controller: Any, name: str, aborted: threading.Event) -> None:
        self._controller = controller
        self._name = name
        self._aborted = aborted
        self.beam = BeamState.UNVERIFIED

    def look(self) -> None:
        """Read the control; never raises."""
        self.beam = self._read()

    def blank(self) -> None:
        """Blank the beam. Raises `InstrumentError` if the control is not taken."""
        if not self._set(1.0):
            raise InstrumentError(
                f"Nion Swift did not blank the beam by its control {self._name!r}: "
                "blank it by hand, and look up the name of the control"
            )

    def unblank(self) -> None:
        """Let the electrons through.

        Raises `Aborted` while an abort holds, `InstrumentError` if it is not taken.
        """
        check_not_aborted(self._aborted)
        if not self._set(0.0):
            raise InstrumentError(
                f"Nion Swift did not unblank the beam by its control {self._name!r}"
            )

    def _set(self, value: float) -> bool:
        controller = self._controller
        try:
            with in_words(f"set its control {self._name!r}"):
                if controller.TryGetVal(self._name)[0]:
                    return bool(
                        controller.SetValAndConfirm(self._name, value, 1.0, _CONFIRM_MS)
                    )
                return bool(controller.SetVal(self._name, value))
        finally:
            self.look()

    def _read(self) -> BeamState:
        try:
            readable, value = self._controller.TryGetVal(self._name)
        except Exception:  # whatever it was, nothing is known then
            return BeamState.UNVERIFIED
        if not readable or value is None or not math.isfinite(value):
            return BeamState.UNVERIFIED
        return BeamState.BLANKED if value != 0 else BeamState.ON
