"""Which positions may be chosen: the pixels of the survey image that regions allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.regions.regions import Regions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.types import Area, ProbePosition

_ROUNDING_PX = 1e-6
"""Positions so near to a pixel's centre mean it."""


@dataclass(frozen=True)
class AllowedField:
    """Regions on one field of view: the mask for the agent, the rule for the gate.

    Both answers come from the same regions, so that a pixel that the mask allows is
    never refused at the gate unless a region was painted in between.

    Attributes
    ----------
    frame
        The survey image, whose coordinates are those of the sample.
    regions
        On the sample, where the survey image has shown it.
    drift_nm
        How far `(y, x)` the sample has moved since, as far as is known.
    """

    frame: FieldFrame
    regions: Regions = field(default_factory=Regions)
    drift_nm: tuple[float, float] = (0.0, 0.0)

    def refusal_of_scan(self, area: Area) -> str | None:
        """Why the beam may not scan an area, in words; None where it may.

        The area has to be open everywhere, looked at in quarters of a pixel.
        """
        if not self.regions.restricts:
            return None
        fineness_nm = min(self.frame.pixel_nm) / 4
        y, x = self.frame.within(area, fineness_nm).centres_nm()
        down, right = self.drift_nm
        if self.regions.are_open(y - down, x - right).all():
            return None
        return (
            "would expose what regions close to the beam: switch those regions off, "
            "or scan an area outside them"
        )

    def refusal(self, position: ProbePosition) -> str | None:
        """Why the beam may not be there, in words; None where it may.

        The position is the probe's, wherever the sample has moved.
        """
        if self._has_moved and not position.is_inside:
            return "has drifted out of the field of view"
        return self.regions.allows(*self.on_sample_nm(position))

    def position(self, on_sample: ProbePosition) -> ProbePosition:
        """Where the probe has to be for a place of the sample, inside the field or not.

        The place is given as the position that it had in the survey image.
        """
        if not self._has_moved:
            return on_sample
        y_nm, x_nm = self.frame.nm(on_sample)
        down, right = self.drift_nm
        return self.frame.position_at(y_nm + down, x_nm + right)

    def on_sample_nm(self, position: ProbePosition) -> tuple[float, float]:
        """`(y, x)` on the sample, in nm of the survey image, under a probe position."""
        y_nm, x_nm = self.frame.nm(position)
        if not (self._has_moved and position.is_inside):
            return y_nm, x_nm
        down, right = self.drift_nm
        return self._snapped(y_nm - down, x_nm - right)

    def mask(self) -> NDArray[np.bool_]:
        """Shape `(rows, columns)`, True where the beam may be."""
        mask = self.regions.mask(self.frame)
        if self._has_moved:
            for nm, moved_nm, size_nm in zip(
                self.frame.centres_nm(),
                self.drift_nm,
                self.frame.field_nm,
                strict=True,
            ):
                share = (nm + moved_nm) / size_nm
                mask &= (share >= 0) & (share <= 1)
        return mask

    def to_json(self) -> dict[str, Any]:
        """Frame, regions and drift as JSON values, without loss."""
        return {
            "frame": self.frame.to_json(),
            "regions": self.regions.to_json(),
            "drift_nm": list(self.drift_nm),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> AllowedField:
        """The field that `to_json` described."""
        down, right = values["drift_nm"]
        return cls(
            FieldFrame.from_json(values["frame"]),
            Regions.from_json(values["regions"]),
            (down, right),
        )

    @property
    def _has_moved(self) -> bool:
        return self.drift_nm != (0.0, 0.0)

    def _snapped(self, y_nm: float, x_nm: float) -> tuple[float, float]:
        """A pixel's centre where only rounding is between: no edge may come between."""
        at = self.frame.position_at(y_nm, x_nm)
        if at not in self.frame.area:
            return y_nm, x_nm
        centre_nm = self.frame.nm(self.frame.position(*self.frame.pixel(at)))
        near = _ROUNDING_PX * np.array(self.frame.pixel_nm)
        if (np.abs(np.subtract((y_nm, x_nm), centre_nm)) < near).all():
            return centre_nm
        return y_nm, x_nm
