"""Similarity to spectra that the user voted for, alone or beside another scalarizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, SerializeAsAny

from napari_hae import plugins
from napari_hae.agent.recorded import part_of
from napari_hae.agent.scalarizers import NO_VALUE, Scalarizer, ScalarizerError

if TYPE_CHECKING:
    from napari_hae.types import EnergyAxis, Spectrum


Base = Annotated[
    SerializeAsAny[Scalarizer], BeforeValidator(part_of(plugins.SCALARIZERS))
]


class SimilarityToVotes(Scalarizer):
    """The cosine of a spectrum and a target spectrum made of good and bad ones.

    Below a weight of 1 it is a sum: the weight times the cosine, plus the rest times
    the other scalarizer's target, standardised. Without a good spectrum the other
    scalarizer counts alone.
    """

    title: ClassVar[str] = "Your votes"
    kind: Literal["votes"] = "votes"
    weight: float = Field(default=1.0, ge=0, le=1, title="Weight of the votes")
    """1: only the similarity to spectra that you called good, and not to bad ones,
    counts. Less: what the goal was before counts too. Default 1."""
    target_counts: tuple[float, ...] | None = Field(
        default=None, title="Target counts", json_schema_extra={"form": "hidden"}
    )
    """Made of the votes; None without a good one."""
    base: Base | None = Field(
        default=None, title="Joined with", json_schema_extra={"form": "hidden"}
    )
    """The scalarizer that it joins."""
    base_centre: float = Field(default=0.0, json_schema_extra={"form": "hidden"})
    """Of the other scalarizer's targets when the votes joined it."""
    base_spread: float = Field(default=1.0, gt=0, json_schema_extra={"form": "hidden"})
    """Standard deviation of the same."""

    @property
    def is_automatic(self) -> bool:
        """Return whether there is neither a good spectrum nor another scalarizer."""
        has_other = self.base is not None and not self.base.is_automatic
        return self.target_counts is None and not has_other

    def following(self, before: Scalarizer) -> Self:
        """Return the scalarizer, adapted to replace the one before from now on.

        Where only votes count and no spectrum is voted good any more, it keeps the
        target spectrum: without targets the agent could not choose.
        """
        joins = self.base is not None and self.weight < 1
        if self.target_counts is not None or joins:
            return self
        if not isinstance(before, SimilarityToVotes):
            return self
        return self.model_copy(update={"target_counts": before.target_counts})

    def check(self, energy: EnergyAxis) -> None:
        """Raise `ValueError` if the votes were for spectra with another axis."""
        if self.target_counts is not None and len(self.target_counts) != energy.size:
            raise ValueError(
                f"the votes are for spectra of {len(self.target_counts)} channels, the "
                f"measured ones have {energy.size}"
            )
        if self.base is not None and not self.base.is_automatic:
            self.base.check(energy)

    def __call__(self, spectrum: Spectrum) -> float:
        """See `Scalarizer`."""
        if self.target_counts is None:
            return self._other(spectrum)
        target, counts = np.array(self.target_counts), spectrum.counts.astype(float)
        norm = float(np.linalg.norm(counts) * np.linalg.norm(target))
        similarity = float(counts @ target) / norm if norm else NO_VALUE
        if self.base is None or self.weight == 1:
            return similarity
        return self.weight * similarity + (1 - self.weight) * self._other(spectrum)

    def _other(self, spectrum: Spectrum) -> float:
        """Return the other scalarizer's target, standardised."""
        if self.base is None:
            raise ScalarizerError("your votes: call a spectrum good first")
        return (self.base(spectrum) - self.base_centre) / self.base_spread
