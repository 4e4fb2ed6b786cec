"""What a person orders beside settings and regions; obeyed at a step's boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_hae.experiment.votes import Vote


@dataclass(frozen=True)
class QueueChanged:
    """The places that are to be measured next are others than before."""

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


HumanOrder = QueueChanged | Voted | Discarded | WentAlone | SurveyAgain
