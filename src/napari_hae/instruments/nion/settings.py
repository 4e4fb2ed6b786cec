"""The settings of a microscope that Nion Swift drives."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_hae.settings_base import Settings

SAMPLES = ("flakes", "amorphous", "gold")
"""The samples of Nion's simulator, in its order."""


class NionSettings(Settings):
    """What to image, and how this Swift calls its controls."""

    pixels: Annotated[int, Field(ge=16, le=2048)] = Field(
        default=64, title="Pixels per side"
    )
    """Rows and columns of the usual survey image; it is square. Default 64."""
    fov_nm: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        title="Field of view (nm)",
        json_schema_extra={"empty": "as in Swift"},
    )
    """Side of the field of view in nm. Default: what the scan shows in Swift when
    connecting."""
    current_pa: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        title="Beam current (pA)",
        json_schema_extra={"empty": "ask the instrument"},
    )
    """Beam current in pA, for the dose. Default: the control BeamCurrent, if the
    instrument has it; else unknown."""
    blanker: str = Field(default="C_Blank", min_length=1, title="Blanker control")
    """Name of the control that blanks the beam where it is not 0. Default C_Blank."""
    timeout_s: float = Field(default=10, gt=0, le=600, title="Patience (s)")
    """How long to wait for a scan or an exposure beyond the time it takes, in s.
    Default 10 s."""
    simulator: bool = Field(default=True, title="Simulator outside Swift")
    """Whether Nion's simulator is started where no Nion Swift runs in this program.
    Off: connecting fails there. Default on."""
    sample: Literal["flakes", "amorphous", "gold"] = Field(
        default="flakes", title="Simulator's sample"
    )
    """What lies in the simulator: flakes of nickel, germanium and silicon, a film of
    amorphous carbon, or gold particles on one. Of no effect inside Swift. Default
    flakes."""
