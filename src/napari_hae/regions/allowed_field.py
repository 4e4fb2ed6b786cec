"""Which positions may be chosen: the pixels of the survey image that regions allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_hae.coordinates import FieldFrame
from napari_hae.regions.regions import Regions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.types import Area, ProbePosition


@dataclass(frozen=True)
class AllowedField:
    """Regions on one field of view: the mask for the agent, the rule for the gate.

    Both answers come from the same regions, so that a pixel that the mask allows is
    never refused at the gate unless a region was painted in between.
    """

    frame: FieldFrame
    regions: Regions = field(default_factory=Regions)

    def refusal_of_scan(self, area: Area) -> str | None:
        """Why the beam may not scan an area, in words; None where it may.

        The area has to be open everywhere, looked at in quarters of a pixel.
        """
        if not self.regions.restricts:
            return None
        fineness_nm = min(self.frame.pixel_nm) / 4
        if self.regions.mask(self.frame.within(area, fineness_nm)).all():
            return None
        return (
            "would expose what regions close to the beam: switch those regions off, "
            "or scan an area outside them"
        )

    def refusal(self, position: ProbePosition) -> str | None:
        """Why the beam may not be there, in words; None where it may."""
        return self.regions.allows(*self.frame.nm(position))

    def mask(self) -> NDArray[np.bool_]:
        """Shape `(rows, columns)`, True where the beam may be."""
        return self.regions.mask(self.frame)

    def to_json(self) -> dict[str, Any]:
        """The frame and the regions as JSON values, without loss."""
        return {"frame": self.frame.to_json(), "regions": self.regions.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AllowedField:
        """The field that `to_json` described."""
        return cls(
            FieldFrame.from_json(values["frame"]), Regions.from_json(values["regions"])
        )
