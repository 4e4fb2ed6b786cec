"""Orders of the user other than settings and regions; carried out between two steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hae.experiment.votes import Vote

Pixel = tuple[int, int]


@dataclass(frozen=True)
class QueueChanged:
    """Change of the queue of places to be measured next."""

    old: tuple[Pixel, ...]
    new: tuple[Pixel, ...]
    why: str = ""


@dataclass(frozen=True)
class KeptOut:
    """Exclusion of a place for the whole run."""

    pixel: Pixel
    why: str = ""


@dataclass(frozen=True)
class Voted:
    """Judgement of the spectrum of a step."""

    of: int
    vote: Vote
    why: str = ""


@dataclass(frozen=True)
class Discarded:
    """Exclusion of the measurement of a step from training, or its restoration."""

    of: int
    is_discarded: bool
    why: str = ""


@dataclass(frozen=True)
class WentAlone:
    """Permission for the agent to take some steps without approval."""

    steps: int
    why: str = ""


@dataclass(frozen=True)
class SurveyAgain:
    """Request to take the survey image again."""

    why: str = ""


HumanOrder = QueueChanged | KeptOut | Voted | Discarded | WentAlone | SurveyAgain
