"""Allowed area of the beam, by regions and drift, applied at the gate at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_hae.regions.allowed_field import AllowedField

Moved = tuple[tuple[float, float], float]
"""Drift of the sample, `(y, x)` in nm, and its margin of error in nm."""
UNMOVED: Moved = ((0.0, 0.0), 0.0)

if TYPE_CHECKING:
    from napari_hae.coordinates import FieldFrame
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.regions.regions import Regions


class Field:
    """Field of view of a run; a change is in force at the gate before the call returns.

    Any thread may call.
    """

    def __init__(self, instrument: GuardedInstrument, regions: Regions) -> None:
        self._instrument = instrument
        self._lock = threading.Lock()
        self._frame: FieldFrame | None = None
        self._regions = regions
        self._moved = self._moved_since = UNMOVED

    @property
    def regions(self) -> Regions:
        """Allowed area of the beam, as set by the user."""
        return self._regions

    @property
    def drift_nm(self) -> tuple[float, float]:
        """Return the drift `(y, x)` of the sample since the survey image."""
        return self._moved_since[0]

    def begin(self, frame: FieldFrame) -> None:
        """Guard the field of a survey image, taken or about to be taken."""
        with self._lock:
            self._frame = frame
            self._guard()

    def set_regions(self, regions: Regions) -> None:
        """Replace the regions."""
        with self._lock:
            self._regions = regions
            self._guard()

    def move(self, moved: Moved) -> None:
        """Apply the drift of the sample since the last step."""
        with self._lock:
            self._moved = moved
            self._guard_if_new(moved)

    def go_on(self, moved: Moved) -> AllowedField:
        """Apply the drift of the sample within a step, at the gate only.

        Otherwise the agent's choice, computed meanwhile, would depend on a race.
        """
        with self._lock:
            self._guard_if_new(moved)
            return self.as_it_was(self._regions, moved)

    def allowed(self, regions: Regions | None = None) -> AllowedField:
        """Return the newest snapshot of the allowed area, as the step began.

        With `regions`, it uses these, regardless of changes by the user since.
        """
        return self.as_it_was(regions or self._regions, self._moved)

    def as_it_was(self, regions: Regions, moved: Moved) -> AllowedField:
        """Return the allowed area for other regions and another drift."""
        assert self._frame is not None
        drift_nm, margin_nm = moved
        return AllowedField(self._frame, regions.with_margin(margin_nm), drift_nm)

    def _guard_if_new(self, moved: Moved) -> None:
        if moved != self._moved_since:
            self._moved_since = moved
            self._guard()

    def _guard(self) -> None:
        if self._frame is not None:
            constraint = self.as_it_was(self._regions, self._moved_since)
            self._instrument.set_constraint(constraint)
