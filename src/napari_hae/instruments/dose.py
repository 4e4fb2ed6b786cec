"""Dose limits of the sample and dose of an exposure."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.instruments.base import OutOfRange
from napari_hae.types import WHOLE_FIELD, Area, ProbePosition

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_hae.types import ScanImage, Spectrum

Place = tuple[ProbePosition | Area, int]
"""Place of an exposure and its number of points."""


_ROUNDING = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class DoseLimits:
    """Dose limits of the sample; None means no limit.

    Attributes
    ----------
    run_e
        Electrons of a run, its survey images included.
    point_e
        Electrons at any one point.
    local_e_per_nm2
        Electrons per nm² in a disc around any place that is exposed.
    radius_nm
        The radius of that disc.
    current_pa
        The beam current that the user entered; it counts where the instrument does
        not know its own.

    Raises
    ------
    OutOfRange
        If a value is not a number above 0.
    """

    run_e: float | None = None
    point_e: float | None = None
    local_e_per_nm2: float | None = None
    radius_nm: float = 2.0
    current_pa: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not (math.isfinite(value) and value > 0):
                name = each.name.replace("_", " ")
                raise OutOfRange(f"a dose budget ({name}) of {value:g} is not above 0")

    @property
    def is_open(self) -> bool:
        """Return whether nothing is limited."""
        return self.run_e is None and not self.of_places

    @property
    def of_places(self) -> bool:
        """Return whether a point or a disc is limited."""
        return self.point_e is not None or self.local_e_per_nm2 is not None

    @property
    def disc_nm2(self) -> float:
        """The area of the disc of the local dose."""
        return math.pi * self.radius_nm**2

    def to_json(self) -> dict[str, Any]:
        """Return the limits as lossless JSON values for `DoseLimits(**values)`."""
        return asdict(self)


Edges = tuple[float, float, float, float]
ExposureValues = tuple[tuple[float, float] | Edges, float, int, float | None, str]
"""Place or area, seconds of beam, points, electrons, and mark of an exposure."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Place and duration of beam exposure.

    Attributes
    ----------
    beam_on_s
        Exposure of a spectrum; dwell time times pixels of a scan.
    points
        The pixels of a scan; 1 for a spectrum.
    dose_e
        Its electrons, where they are known already.
    mark
        A digest of what it measured, by which it is known again; empty where nothing
        was measured yet, or nothing that tells it from others.
    """

    where: ProbePosition | Area
    beam_on_s: float
    points: int = 1
    dose_e: float = math.nan
    mark: str = ""

    @property
    def place(self) -> Place:
        """Place of the exposure and its number of points."""
        return self.where, self.points

    @classmethod
    def of_spectrum(cls, spectrum: Spectrum) -> Exposure:
        """Return the exposure recorded in a spectrum, without its stated dose."""
        mark = mark_of(spectrum.counts)
        return cls(spectrum.position, spectrum.exposure_s, mark=mark)

    @classmethod
    def of_scan(cls, image: ScanImage) -> Exposure:
        """Return the exposure recorded in a survey image."""
        points = image.shape[0] * image.shape[1]
        beam_on_s, mark = image.dwell_time_s * points, mark_of(image.data)
        return cls(image.area, beam_on_s, points, mark=mark)

    def to_json(self) -> ExposureValues:
        """Return the exposure as JSON values, without loss."""
        known = self.dose_e if math.isfinite(self.dose_e) else None
        where = self.where
        if isinstance(where, ProbePosition):
            return (where.x, where.y), self.beam_on_s, self.points, known, self.mark
        edges = where.left, where.top, where.right, where.bottom
        return edges, self.beam_on_s, self.points, known, self.mark

    @classmethod
    def from_json(cls, values: ExposureValues) -> Exposure:
        """Return the exposure that `to_json` described."""
        where, beam_on_s, points, dose_e, mark = values
        place = Area(*where) if len(where) == 4 else ProbePosition(*where)
        known = math.nan if dose_e is None else dose_e
        return cls(place, beam_on_s, points, known, mark)


@dataclass
class _Run:
    """A run, or what came before the first one.

    Attributes
    ----------
    before
        What it had taken when it began.
    own_s
        For how long each place was exposed in it since, less what is known by its mark.
    """

    before: Counter[Hashable] = field(default_factory=Counter)
    own_s: dict[Place, float] = field(default_factory=dict)

    def claims(self, exposures: Sequence[Exposure]) -> bool:
        """Return whether all these were made in this run and not in another record."""
        asked_s: dict[Place, float] = {}
        for each in exposures:
            asked_s[each.place] = asked_s.get(each.place, 0.0) + each.beam_on_s
        if any(s > self.own_s.get(at, 0.0) * _ROUNDING for at, s in asked_s.items()):
            return False
        for each in exposures:
            if each.mark:
                # From now on it is known by its data.
                self.own_s[each.place] -= each.beam_on_s
        return True


class KnownExposures:
    """Bookkeeping of the exposures of a record that were counted here before.

    A record does not say at which gate it was made, and records resemble each other:
    their places are pixels, and many begin with the same ones. So a record counts as
    made here only as a whole: if it holds what a run here began with, and nothing
    further but what was exposed in that run. Else it is counted in full, rather too
    much than too little, except for what an earlier record told: that is known by its
    data.
    """

    def __init__(self) -> None:
        self._marks: set[str] = set()
        self._runs = [_Run()]
        self._newest: Place | None = None

    def add(self, exposure: Exposure) -> None:
        """Note an exposure that is made here."""
        own_s, self._newest = self._runs[-1].own_s, exposure.place
        own_s[exposure.place] = own_s.get(exposure.place, 0.0) + exposure.beam_on_s

    def begin_run(self, taken: Sequence[Exposure]) -> list[Exposure]:
        """Begin a run; return the exposures of its record that were not counted yet."""
        told = Counter(_key(each) for each in taken)
        new = [] if self._is_from_here(taken, told) else self._further(taken, {})
        self._marks |= {each.mark for each in taken if each.mark}
        self._runs.append(_Run(told))
        return new

    def _is_from_here(self, taken: Sequence[Exposure], told: Counter[Hashable]) -> bool:
        goes_on = [run for run in self._runs if run.before <= told]
        if self._is_imaged_now(taken):
            goes_on.append(self._runs[-1])
        return any(
            run.claims(self._further(taken, run.before)) for run in reversed(goes_on)
        )

    def _is_imaged_now(self, taken: Sequence[Exposure]) -> bool:
        """Return whether a record uses the most recent image, taken for that record.

        In an image of an area it takes along what was measured there before.
        """
        if not taken or taken[0].mark in self._marks:
            return False
        alone = len(taken) == 1 or taken[0].where != WHOLE_FIELD
        return alone and taken[0].place == self._newest

    def _further(
        self, taken: Sequence[Exposure], before: Mapping[Hashable, int]
    ) -> list[Exposure]:
        """Return exposures not reported before, neither ever nor when a run began."""
        known, further = Counter(before), []
        for each in taken:
            key = _key(each)
            if known[key] > 0:
                known[key] -= 1
            elif each.mark not in self._marks:
                further.append(each)
        return further


def _key(exposure: Exposure) -> Hashable:
    return exposure.mark or (exposure.place, exposure.beam_on_s)


def mark_of(data: NDArray[Any]) -> str:
    """Return a digest of data; empty for constant data, such as zero counts."""
    # As a record keeps them.
    kept = np.asarray(data, np.float32)
    if not kept.size or (kept == kept.flat[0]).all():
        return ""
    return hashlib.blake2b(kept.tobytes(), digest_size=16).hexdigest()
