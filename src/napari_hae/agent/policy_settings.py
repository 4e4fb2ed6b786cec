"""The settings of the initial design, and of moves between positions."""

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


class MoveSettings(Settings):
    """How the agent moves from one position to the next."""

    places: int = Field(default=6, ge=1, le=20, title="Places proposed")
    """So many places are proposed for each step, the chosen one included; take or veto
    any of them in "Why here". Default 6."""
    leave_traps: bool = Field(default=True, title="Leave traps")
    """When the last measurements found nothing better, all in places that look alike:
    measure where the model is least certain instead, until it is elsewhere. Default
    on."""
    patience: int = Field(default=8, ge=3, le=100, title="Patience (steps)")
    """So many measurements without anything better, in like places, are a trap.
    Default 8."""
    travel_cost: float = Field(default=0.0, ge=0, le=100, title="Travel cost")
    """How much long jumps of the beam are avoided. At 1 a jump across the field costs
    one standard deviation of the acquisition function over what is open, or, where that
    is a logarithm, a factor of a thousand. Default 0."""
    per_exposure: bool = Field(default=False, title="Improvement per electron")
    """With a relative error to reach: divide the expected improvement by the exposure
    that places of like targets took. Other acquisition functions stay as they are
    (Snoek et al., NeurIPS 2012). Default off."""
