"""Where the beam may be now: regions, and the sample's drift, at the gate at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_hae.regions.allowed_field import AllowedField

Moved = tuple[tuple[float, float], float]
"""How far the sample has drifted, `(y, x)` in nm, and to within what margin in nm."""
UNMOVED: Moved = ((0.0, 0.0), 0.0)

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
        self._moved = self._moved_since = UNMOVED

    @property
    def regions(self) -> Regions:
        """Where the beam may go, as a person wants it."""
        return self._regions

    @property
    def drift_nm(self) -> tuple[float, float]:
        """`(y, x)`: how far the sample has moved since the survey image."""
        return self._moved_since[0]

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

    def move(self, moved: Moved) -> None:
        """The sample has moved since the last step."""
        with self._lock:
            self._moved = moved
            self._guard_if_new(moved)

    def go_on(self, moved: Moved) -> AllowedField:
        """The sample has moved on in mid-step: the gate follows, and only the gate.

        The agent, which chooses meanwhile, would else depend on which came first.
        """
        with self._lock:
            self._guard_if_new(moved)
            return self.as_it_was(self._regions, moved)

    def allowed(self, regions: Regions | None = None) -> AllowedField:
        """The newest snapshot of where the beam may go, as the step began.

        With `regions` it is under these, whatever a person has painted since.
        """
        return self.as_it_was(regions or self._regions, self._moved)

    def as_it_was(self, regions: Regions, moved: Moved) -> AllowedField:
        """Where the beam might go under other regions, with the sample elsewhere."""
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
