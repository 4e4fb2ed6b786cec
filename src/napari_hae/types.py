"""Value types shared by every part of the package.

All are immutable. Arrays are indexed `[row, column]`; probe positions are fractions
`(x, y)` of the field of view with the origin at its top left corner. Units stand in
the field names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.diagnostics import opinion, prediction
from napari_hae.metadata import NO_METADATA, Metadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.diagnostics import Insight, Outcome, StepTimes

ELEMENTARY_CHARGE_C = 1.602176634e-19
LARGEST = 1e30
"""Largest number in a run; its square is still finite."""


def dose_electrons(current_pa: float, exposure_s: float) -> float:
    """Return the electrons that a beam of `current_pa` delivers in `exposure_s`."""
    return current_pa * 1e-12 * exposure_s / ELEMENTARY_CHARGE_C


@dataclass(frozen=True, slots=True)
class ProbePosition:
    """Beam position in fractions of the field of view, origin top left.

    Any float is allowed here; instruments and the gate refuse what is not finite or
    lies outside 0..1.
    """

    x: float
    y: float

    @property
    def is_inside(self) -> bool:
        """Return whether the position is finite and inside the field of view."""
        finite = math.isfinite(self.x) and math.isfinite(self.y)
        return finite and 0 <= self.x <= 1 and 0 <= self.y <= 1

    def __str__(self) -> str:
        return f"(x={self.x:.4f}, y={self.y:.4f})"


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle in the field of view, its edges as fractions of the field.

    Raises
    ------
    ValueError
        If it is empty, or not inside the field of view.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(
                f"an area {self} is empty or not inside the field of view: "
                "0 ≤ left < right ≤ 1 and 0 ≤ top < bottom ≤ 1 are needed"
            )

    @property
    def width(self) -> float:
        """Width as a fraction of the width of the field of view."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height as a fraction of the height of the field of view."""
        return self.bottom - self.top

    def covers(self, other: Area) -> bool:
        """Return whether another area lies in this one and is smaller."""
        within_x = self.left <= other.left and other.right <= self.right
        within_y = self.top <= other.top and other.bottom <= self.bottom
        return self != other and within_x and within_y

    def __contains__(self, position: ProbePosition) -> bool:
        inside_x = self.left <= position.x <= self.right
        return inside_x and self.top <= position.y <= self.bottom

    def __str__(self) -> str:
        return (
            f"(x={self.left:.4f}–{self.right:.4f}, y={self.top:.4f}–{self.bottom:.4f})"
        )


WHOLE_FIELD = Area(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class EnergyAxis:
    """A linear energy axis: channel `i` is at `offset_ev + i * dispersion_ev`."""

    offset_ev: float
    dispersion_ev: float
    size: int

    @property
    def energies_ev(self) -> NDArray[np.float64]:
        """The energy of every channel, shape `(size,)`, in eV."""
        return self.offset_ev + self.dispersion_ev * np.arange(self.size, dtype=float)

    @property
    def last_ev(self) -> float:
        """The energy of the last channel in eV."""
        return self.offset_ev + self.dispersion_ev * (self.size - 1)

    def is_like(self, other: EnergyAxis) -> bool:
        """Return whether the channels are the same, each within half its width."""
        off_ev = max(
            abs(self.offset_ev - other.offset_ev), abs(self.last_ev - other.last_ev)
        )
        return self.size == other.size and off_ev < abs(other.dispersion_ev) / 2

    def __str__(self) -> str:
        channels = "1 channel" if self.size == 1 else f"{self.size} channels"
        return f"{channels} from {self.offset_ev:g} to {self.last_ev:g} eV"

    def channels(self, low_ev: float, high_ev: float) -> slice:
        """Return the channels with `low_ev <= energy <= high_ev`; may be empty."""
        tolerance = 1e-9
        first = math.ceil((low_ev - self.offset_ev) / self.dispersion_ev - tolerance)
        last = math.floor((high_ev - self.offset_ev) / self.dispersion_ev + tolerance)
        start = min(max(first, 0), self.size)
        return slice(start, min(max(last + 1, start), self.size))


@dataclass(frozen=True, slots=True, eq=False)
class ScanImage:
    """An image scanned over the field of view or an area of it, one plane per detector.

    Attributes
    ----------
    data
        Shape `(detectors, rows, columns)`, float32, in the detector's own counts.
    detectors
        One name per plane.
    fov_nm
        Size of the field, `(height, width)` in nm, between the pixels' outer edges.
    dwell_time_s
        Dwell time per pixel in s.
    area
        Scanned part of the field of view.
    """

    data: NDArray[np.float32]
    detectors: tuple[str, ...]
    fov_nm: tuple[float, float]
    dwell_time_s: float
    area: Area = WHOLE_FIELD

    def __post_init__(self) -> None:
        if self.data.ndim != 3 or len(self.data) != len(self.detectors):
            raise ValueError(
                "a scan image needs data (detectors, rows, columns) with one plane "
                f"per detector; got shape {self.data.shape} for {list(self.detectors)}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows, columns)`."""
        return int(self.data.shape[1]), int(self.data.shape[2])


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """One spectrum taken at one probe position.

    Attributes
    ----------
    counts
        Shape `(channels,)`, float32.
    energy
        The axis of the channels.
    dose_e
        Electrons delivered during the exposure; NaN where the current is unknown.
    metadata
        Other information about it, in the layout of HyperSpy's `metadata`, beside what
        the instrument's capabilities say of all its spectra. Small, and of JSON.
    """

    counts: NDArray[np.float32]
    energy: EnergyAxis
    detector: str
    position: ProbePosition
    exposure_s: float
    dose_e: float
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)


class BeamState(StrEnum):
    """State of the beam: whether electrons reach the sample."""

    BLANKED = "blanked"
    ON = "on"
    UNVERIFIED = "unverified"
    """The instrument took the command to blank and cannot be asked whether it did."""


class ChosenBy(StrEnum):
    """Origin of the choice of a position."""

    INITIAL = "initial design"
    AGENT = "agent"
    HUMAN = "human"
    PLAN = "plan"
    EARLIER = "earlier record"
    """Measured in the record that this one continues."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A position that the agent wants to measure next, and the reason.

    `mean` and `std` are the posterior's for the target, in the target's own units,
    before the measurement (NaN while the initial design is measured); `value` is what
    the acquisition function gave; `best` the best target known (NaN where none is).
    """

    step: int
    row: int
    column: int
    position: ProbePosition
    mean: float
    std: float
    value: float
    best: float
    chosen_by: ChosenBy
    known: int
    """Number of measurements the agent knew of when it chose; a lower bound if the
    agent did not choose."""
    insight: Insight | None = None
    """Diagnostics of the agent at that time; None if no model was used."""

    @property
    def is_of_agent(self) -> bool:
        """Return whether the agent chose it, by its model or its initial design."""
        return self.chosen_by in (ChosenBy.AGENT, ChosenBy.INITIAL)

    @property
    def reason(self) -> str:
        """Reason for the choice, in one line for the window."""
        if self.chosen_by is ChosenBy.INITIAL:
            return "initial design: a first look at the sample"
        if self.chosen_by is ChosenBy.HUMAN:
            return f"chosen by you{self._opinion}"
        if self.chosen_by is ChosenBy.PLAN:
            return "next in the plan"
        if self.chosen_by is ChosenBy.EARLIER:
            return "measured in an earlier record"
        if not math.isfinite(self.mean):
            return "chosen without a prediction"
        exploring = math.nan if self.insight is None else self.insight.exploring
        return prediction(self.mean, self.std, self.best, exploring)

    @property
    def _opinion(self) -> str:
        """Opinion of the agent on a place chosen by the user, if it was asked."""
        if self.insight is None:
            return ""
        return f", {opinion(self.mean, self.std, self.best, self.insight.rank)}"


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """One measured spectrum with what is known about it.

    `x_nm` and `y_nm` lie on the sample, in the coordinates of the survey image,
    wherever the beam had to be for it. `target` is NaN, and `usable` False, where the
    scalarizer found no value in the spectrum; such a measurement is kept in the record
    and left out of training. `error` is the standard deviation that the target is known
    to have, NaN where nothing is.
    """

    proposal: Proposal
    spectrum: Spectrum
    target: float
    x_nm: float
    y_nm: float
    error: float = math.nan
    outcome: Outcome | None = None
    """Comparison with the prediction; None if there was no prediction or no target."""
    times: StepTimes | None = None
    drift_nm: tuple[float, float] | None = None
    """Assumed drift `(y, x)` of the sample, which the beam position compensates; None
    if drift was not tracked."""

    @property
    def step(self) -> int:
        """Number of the step that took it, from 0."""
        return self.proposal.step

    @property
    def usable(self) -> bool:
        """Return whether the target is a number that the agent may learn from."""
        return math.isfinite(self.target)


@dataclass(frozen=True, slots=True, eq=False)
class PredictionMaps:
    """Predictions of the agent for every pixel of the survey image.

    Attributes
    ----------
    known
        Number of measurements the prediction rests on.
    mean, std
        Posterior mean and standard deviation in the target's own units, shape
        `(rows, columns)`, float32.
    acquisition
        Value of the acquisition function, same shape; NaN where nothing may be
        measured.
    """

    known: int
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    acquisition: NDArray[np.float32]
