"""Missing or damaged arrays of a record; the others stay readable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hae.experiment.array_files import DamagedArray
from napari_hae.experiment.journal_events import MapsEvent, SurveyAgainEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from napari_hae.experiment.arrays import RunArrays
    from napari_hae.experiment.journal_events import JournalEvent

_NAMED = 10


class DamagedRecord(ValueError):
    """Error for damage that prevents the requested use; the text names the damage."""


@dataclass(frozen=True)
class Damage:
    """Array of a record that cannot be read.

    Attributes
    ----------
    what, why
        Subject and predicate of the description.
    step
        Step that it was stored for; 0 for the survey image.
    """

    what: str
    why: str
    step: int

    def __str__(self) -> str:
        return f"{self.what} {self.why}"


def survey_name(index: int) -> str:
    """Return the name of a survey image, by its number from 0."""
    return f"survey image {index + 1}"


def spectrum_name(step: int) -> str:
    """Return the name of a spectrum, by its step from 0."""
    return f"the spectrum of step {step + 1}"


def in_words(damage: Iterable[Damage]) -> str:
    """Return the damage as one clause; empty if there is none."""
    all_of_it = [str(each) for each in damage]
    more = len(all_of_it) - _NAMED
    named = "; ".join(all_of_it[:_NAMED])
    return f"{named}; and {more} more" if more > 0 else named


def refuse(path: Path, damage: Iterable[Damage]) -> None:
    """Raise `DamagedRecord` if there is any damage."""
    if words := in_words(damage):
        raise DamagedRecord(
            f"{path} is damaged: {words}. `napari-hae info` and `export` read the rest"
        )


def damage_of_images_and_maps(
    arrays: RunArrays, events: Iterable[JournalEvent]
) -> Iterator[Damage]:
    """Return the unreadable repeated survey images and maps."""
    for event in events:
        try:
            if isinstance(event, SurveyAgainEvent):
                what, step = survey_name(event.index), event.step
                arrays.survey(event.index, event.announced)
            elif isinstance(event, MapsEvent):
                what, step = f"the set of maps before step {event.step + 1}", event.step
                arrays.maps(event.name, event.announced)
        except DamagedArray as error:
            yield Damage(what, str(error), step)
