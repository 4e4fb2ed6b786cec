"""History of the agent of a stored run, and the state of the run around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_hae.types import Measurement, Proposal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.experiment.journal_events import Actor
    from napari_hae.experiment.plans import Plan
    from napari_hae.experiment.settings import ExperimentSettings, LoopSettings


@dataclass(frozen=True)
class SettingsChange:
    """Start of these settings being in force."""

    step: int
    who: Actor
    settings: ExperimentSettings


@dataclass(frozen=True)
class Retargeting:
    """Start of these targets being in force for the measurements so far."""

    targets: tuple[float, ...]
    errors: tuple[float, ...]

    def of(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        """Return the measurements with these targets."""
        return [
            replace(measurement, target=target, error=error)
            for measurement, target, error in zip(
                measurements, self.targets, self.errors, strict=True
            )
        ]


HistoryEvent = Proposal | Measurement | SettingsChange | Retargeting


@dataclass(frozen=True)
class LastBegun:
    """State of the run when the last measurement was begun.

    Attributes
    ----------
    queue
        Pixels that the user had queued to be measured next.
    """

    queue: tuple[tuple[int, int], ...]
    plan: Plan
    loop: LoopSettings
