"""How many electrons the sample may take, and what an exposure takes."""

from __future__ import annotations

import math
from dataclasses import asdict, astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import OutOfRange
from napari_hae.types import Area, ProbePosition

if TYPE_CHECKING:
    from napari_hae.types import ScanImage, Spectrum


@dataclass(frozen=True, slots=True)
class DoseLimits:
    """How many electrons the sample may take; None is no limit.

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
        The beam current that a person entered; it counts where the instrument does
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
        """Whether nothing is limited."""
        return self.run_e is None and not self.of_places

    @property
    def of_places(self) -> bool:
        """Whether a point or a disc is limited."""
        return self.point_e is not None or self.local_e_per_nm2 is not None

    @property
    def disc_nm2(self) -> float:
        """The area of the disc of the local dose."""
        return math.pi * self.radius_nm**2

    def to_json(self) -> dict[str, Any]:
        """The limits as JSON values, without loss; `DoseLimits(**values)` again."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Exposure:
    """Where the beam is on, and for how long.

    Attributes
    ----------
    beam_on_s
        Exposure of a spectrum; dwell time times pixels of a scan.
    points
        The pixels of a scan; 1 for a spectrum.
    dose_e
        Its electrons, where they are known already.
    """

    where: ProbePosition | Area
    beam_on_s: float
    points: int = 1
    dose_e: float = math.nan

    @classmethod
    def of_spectrum(cls, spectrum: Spectrum) -> Exposure:
        """What a spectrum took."""
        return cls(spectrum.position, spectrum.exposure_s, dose_e=spectrum.dose_e)

    @classmethod
    def of_scan(cls, image: ScanImage) -> Exposure:
        """What a survey image took."""
        points = image.shape[0] * image.shape[1]
        return cls(image.area, image.dwell_time_s * points, points)

    def to_json(self) -> list[Any]:
        """The exposure as JSON values, without loss."""
        known = self.dose_e if math.isfinite(self.dose_e) else None
        return [astuple(self.where), self.beam_on_s, self.points, known]

    @classmethod
    def from_json(cls, values: list[Any]) -> Exposure:
        """The exposure that `to_json` described."""
        where, beam_on_s, points, dose_e = values
        place = Area(*where) if len(where) == 4 else ProbePosition(*where)
        return cls(place, beam_on_s, points, math.nan if dose_e is None else dose_e)
