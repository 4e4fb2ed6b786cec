"""What a person orders beside settings and regions; obeyed at a step's boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hae.experiment.votes import Vote

Pixel = tuple[int, int]


@dataclass(frozen=True)
class QueueChanged:
    """The places that are to be measured next are others than before."""

    old: tuple[Pixel, ...]
    new: tuple[Pixel, ...]
    why: str = ""


@dataclass(frozen=True)
class KeptOut:
    """A person says no to a place for the whole run."""

    pixel: Pixel
    why: str = ""


@dataclass(frozen=True)
class Voted:
    """A person judged the spectrum of a step."""

    of: int
    vote: Vote
    why: str = ""


@dataclass(frozen=True)
class Discarded:
    """The measurement of a step is left out of training, or taken in again."""

    of: int
    is_discarded: bool
    why: str = ""


@dataclass(frozen=True)
class WentAlone:
    """The agent needs no approval for some steps."""

    steps: int
    why: str = ""


@dataclass(frozen=True)
class SurveyAgain:
    """The survey image is to be taken again."""

    why: str = ""


HumanOrder = QueueChanged | KeptOut | Voted | Discarded | WentAlone | SurveyAgain
