"""Where the beam may be now: regions, and the sample's drift, at the gate at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_hae.regions.allowed_field import AllowedField

if TYPE_CHECKING:
    from napari_hae.coordinates import FieldFrame
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.regions.regions import Regions


class Field:
    """The field of view of a run; what changes holds at the gate before it returns.

    Any thread may call.
    """

    def __init__(self, instrument: GuardedInstrument, regions: Regions) -> None:
        self._instrument = instrument
        self._lock = threading.Lock()
        self._frame: FieldFrame | None = None
        self._regions = regions
        self._drift_nm = (0.0, 0.0)
        self._margin_nm = 0.0

    @property
    def regions(self) -> Regions:
        """Where the beam may go, as a person wants it."""
        return self._regions

    def begin(self, frame: FieldFrame) -> None:
        """Guard the field that a survey image shows, or is to show."""
        with self._lock:
            self._frame = frame
            self._guard()

    def set_regions(self, regions: Regions) -> None:
        """Swap in new regions."""
        with self._lock:
            self._regions = regions
            self._guard()

    def move(self, drift_nm: tuple[float, float], margin_nm: float) -> None:
        """The sample has moved, as far as is known to within a margin."""
        with self._lock:
            if (drift_nm, margin_nm) != (self._drift_nm, self._margin_nm):
                self._drift_nm, self._margin_nm = drift_nm, margin_nm
                self._guard()

    def allowed(self) -> AllowedField:
        """The newest snapshot of where the beam may go."""
        assert self._frame is not None
        regions = self._regions.with_margin(self._margin_nm)
        return AllowedField(self._frame, regions, self._drift_nm)

    def _guard(self) -> None:
        if self._frame is not None:
            self._instrument.set_constraint(self.allowed())
