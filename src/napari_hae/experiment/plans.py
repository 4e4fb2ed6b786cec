"""Plans for the positions: by the agent, from a list of objects, or a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from napari_hae.experiment.object_order import AS_LISTED, Pixel
from napari_hae.settings_base import Settings

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray


class AgentPlan(Settings):
    """The agent chooses, by its acquisition function."""

    title: ClassVar[str] = "Agent"
    kind: Literal["agent"] = "agent"


class ObjectsPlan(Settings):
    """The centres of objects, such as particles that another plugin has found."""

    title: ClassVar[str] = "List of objects"
    kind: Literal["objects"] = "objects"
    pixels: tuple[Pixel, ...] = Field(
        default=(), title="Objects", json_schema_extra={"form": "hidden"}
    )
    """Pixels `(row, column)` of the survey image, in the order of measuring."""
    order: str = Field(
        default=AS_LISTED, title="Order", json_schema_extra={"form": "hidden"}
    )
    """The order in words, for the journal."""

    def next_pixel(
        self, open_: NDArray[np.bool_], done: Collection[Pixel]
    ) -> Pixel | None:
        """Return the first listed pixel allowed and not measured; None at the end."""
        rows, columns = open_.shape
        for row, column in self.pixels:
            inside = 0 <= row < rows and 0 <= column < columns
            if inside and open_[row, column] and (row, column) not in done:
                return row, column
        return None


class RasterPlan(Settings):
    """Row by row over all that the regions allow."""

    title: ClassVar[str] = "Raster"
    kind: Literal["raster"] = "raster"
    stride_px: int = Field(default=4, ge=1, le=256, title="Distance (px)")
    """Distance of the raster's rows and columns in pixels of the survey image. Default
    4."""

    def next_pixel(
        self, open_: NDArray[np.bool_], done: Collection[Pixel]
    ) -> Pixel | None:
        """Return the next raster pixel allowed and not measured; None at the end."""
        half = self.stride_px // 2
        grid = np.zeros_like(open_)
        grid[half :: self.stride_px, half :: self.stride_px] = True
        grid &= open_
        for pixel in done:
            grid[pixel] = False
        places = np.argwhere(grid)
        return (int(places[0][0]), int(places[0][1])) if len(places) else None


Plan = Annotated[AgentPlan | ObjectsPlan | RasterPlan, Field(discriminator="kind")]
PLANS: dict[str, type[AgentPlan | ObjectsPlan | RasterPlan]] = {
    "agent": AgentPlan,
    "objects": ObjectsPlan,
    "raster": RasterPlan,
}
