"""The settings of the policy's first steps."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_hae.settings_base import Settings


class InitialDesign(Settings):
    """Where to measure before the agent knows anything."""

    kind: Literal["latin_hypercube", "random", "grid"] = Field(
        default="latin_hypercube", title="Initial design"
    )
    """latin_hypercube: random, but spread over rows and columns. random: anywhere.
    grid: a coarse grid. All inside the allowed region. Default: latin hypercube."""
    points: int = Field(default=10, ge=1, le=10_000, title="Initial points")
    """How many spectra are measured before the agent chooses. Default 10."""
