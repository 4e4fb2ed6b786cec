"""A run as it lies on disk, read back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from napari_hae.agent.recorded import FromRecord
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.array_files import Announced, DamagedArray
from napari_hae.experiment.arrays import RunArrays
from napari_hae.experiment.damage import (
    Damage,
    DamagedRecord,
    damage_of_images_and_maps,
    refuse,
    spectrum_name,
    survey_name,
)
from napari_hae.experiment.journal import (
    UNREADABLE,
    NewerFormat,
    damaged,
    read_journal,
)
from napari_hae.experiment.journal_events import (
    ImageEvent,
    MapsEvent,
    StartEvent,
    mistake,
)
from napari_hae.experiment.record import ARRAYS, JOURNAL, directory_of
from napari_hae.experiment.record_files import NotARecord, check_plain
from napari_hae.experiment.run_state import RunState
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.experiment.trust import (
    MissingPart,
    NotTrusted,
    expect_instrument,
    outside_of,
    outside_of_instrument,
    why_unusable,
)
from napari_hae.types import PredictionMaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.experiment.drift import ImageAgain
    from napari_hae.experiment.ending import Ending
    from napari_hae.experiment.events import FinishReason
    from napari_hae.experiment.history import HistoryEvent, LastBegun
    from napari_hae.experiment.journal_events import (
        JournalEvent,
        MeasurementEvent,
        SurveyEvent,
    )
    from napari_hae.experiment.votes import Vote
    from napari_hae.instruments.dose import Exposure
    from napari_hae.regions.regions import Regions
    from napari_hae.types import Measurement, ScanImage


_EXPERIENCE = re.compile(r"experience-[0-9a-f]{16}\.npz")


@dataclass(frozen=True)
class StoredRun:
    """A run read from its directory.

    Attributes
    ----------
    instrument, instrument_settings
        The instrument's name and the values of its settings.
    first_settings, settings
        Those in force at the start and at the end.
    source
        Whether it is trusted, and the packages of its parts.
    outside
        Code and files that the settings name, in words.
    unusable
        Reasons why parts of the settings are kept as recorded, and cannot be used.
    survey_exposure
        The exposure of the survey image, as the gate booked it.
    measurements
        In order, with the targets in force at the end.
    regions
        Those in force at the end.
    vetoed
        Pixels `(row, column)` that a human kept out.
    queue
        Pixels that a human wants to be measured next, in order.
    attempts
        How often the agent was asked for a step's place, and the answer refused.
    last_begun
        What held when the last measurement was begun; None before the first.
    regions_begun
        The regions that held when each measurement was begun.
    images_again
        Survey images that were taken again, in order; see `image`.
    exposures
        What was exposed beside the survey images: for spectra, and all that came to
        nothing, as the gate booked it.
    booked
        Those of each measurement, by step.
    discarded
        Steps whose measurements are left out of training.
    votes
        What a human thinks of spectra, by step.
    history
        What the agent went through, in order, with the targets as they were then;
        proposals that came to nothing when the run ended are left out.
    journal
        The events of the journal, in order.
    ending
        None if the run did not end by itself: it runs, or the program was killed.
    damage_read
        The damage of the survey image and of spectra, which are NaN instead; see
        `damage`.
    state
        The same as a state that follows further events, for who writes them.
    """

    path: Path
    format: int
    version: str
    instrument: str
    instrument_settings: dict[str, Any]
    first_settings: ExperimentSettings
    settings: ExperimentSettings
    source: FromRecord
    outside: tuple[str, ...]
    unusable: tuple[str, ...]
    survey: ScanImage | None
    survey_exposure: Exposure | None
    surveys: int
    measurements: tuple[Measurement, ...]
    regions: Regions
    vetoed: frozenset[tuple[int, int]]
    queue: tuple[tuple[int, int], ...]
    attempts: Mapping[int, int]
    last_begun: LastBegun | None
    regions_begun: tuple[Regions, ...]
    images_again: tuple[ImageAgain, ...]
    exposures: tuple[Exposure, ...]
    booked: Mapping[int, tuple[Exposure, ...]]
    discarded: frozenset[int]
    votes: Mapping[int, Vote]
    history: tuple[HistoryEvent, ...]
    journal: tuple[JournalEvent, ...]
    warnings: tuple[str, ...]
    ending: Ending | None
    maps_known: dict[int, int]
    damage_read: tuple[Damage, ...]
    state: RunState = field(compare=False, repr=False)

    @cached_property
    def damage(self) -> tuple[Damage, ...]:
        """All that is missing or damaged; images and maps are read for it."""
        others = damage_of_images_and_maps(self._arrays, self.journal)
        return tuple(dict.fromkeys((*self.damage_read, *others)))

    @property
    def _arrays(self) -> RunArrays:
        return RunArrays(self.path / ARRAYS, writable=False)

    @cached_property
    def _images_announced(self) -> dict[int, Announced]:
        """What the journal says of images, by number."""
        return {
            event.index: event.announced
            for event in self.journal
            if isinstance(event, ImageEvent)
        }

    @cached_property
    def _maps_announced(self) -> dict[int, MapsEvent]:
        """The journal's last event about the maps of each step."""
        return {e.step: e for e in self.journal if isinstance(e, MapsEvent)}

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the run ended; None as for `ending`."""
        return None if self.ending is None else self.ending.reason

    @property
    def finish_text(self) -> str:
        """More about why it ended, in words; empty if there is nothing."""
        return "" if self.ending is None else self.ending.text

    @property
    def is_trusted(self) -> bool:
        """Whether the user agreed to use what the record names."""
        return self.source.is_trusted

    @property
    def instrument_outside(self) -> tuple[str, ...]:
        """Hosts and files that the instrument's settings name, in words."""
        return outside_of_instrument(self.instrument, self.instrument_settings)

    def expect_usable(self, *, with_instrument: bool = False) -> None:
        """Check that the run may be gone on with, or analysed.

        Raises
        ------
        MissingPart
            If a part of it is not installed; the text says which package has it.
        NotTrusted
            If it names code, files or hosts, and nobody agreed to use them.
        DamagedRecord
            If arrays are missing or damaged.
        """
        # First: nobody is asked to agree to what cannot be done.
        refuse(self.path, self.damage)
        outside = self.outside
        if with_instrument:
            expect_instrument(self.instrument, self.source)
            outside += self.instrument_outside
        if outside and not self.is_trusted:
            raise NotTrusted(self.path, outside)
        if self.unusable:
            raise MissingPart(f"{self.path}: {self.unusable[0]}")

    @property
    def frame(self) -> FieldFrame:
        """The coordinates of the survey image."""
        if self.survey is None:
            raise NotARecord(f"{self.path} ended before it had a survey image")
        return FieldFrame.of(self.survey)

    def image(self, index: int) -> NDArray[np.float32]:
        """A survey image by its number, `(detectors, rows, columns)`.

        Raises
        ------
        DamagedRecord
            If it is missing or damaged.
        """
        announced = self._images_announced.get(index, Announced())
        try:
            return self._arrays.survey(index, announced)
        except DamagedArray as error:
            why = f"{self.path}: {survey_name(index)} {error}"
            raise DamagedRecord(why) from error

    def latest_maps(self) -> PredictionMaps | None:
        """The last predicted maps that were stored; None if `damage` names them."""
        return self._maps(list(self.maps_known)[-1]) if self.maps_known else None

    def maps(self) -> Iterator[PredictionMaps]:
        """All predicted maps that were stored, in order, read one by one.

        Those are left out that `damage` names.
        """
        found = (self._maps(step) for step in self.maps_known)
        return (maps for maps in found if maps is not None)

    def _maps(self, step: int) -> PredictionMaps | None:
        try:
            event = self._maps_announced[step]
            planes = self._arrays.maps(event.name, event.announced)
        except DamagedArray:
            return None
        return PredictionMaps(self.maps_known[step], *planes)


def record_at(path: Path) -> Path:
    """The directory of a record, named with its suffix or without.

    Raises
    ------
    NotARecord
        If there is none, or one with links, pipes or devices in it.
    """
    found = directory_of(path)
    if not (found / JOURNAL).is_file():
        raise NotARecord(f"{path} is no record: there is no {JOURNAL} in it")
    check_plain(found)
    return found


def open_run(path: Path, *, trust: bool = False) -> StoredRun:
    """Read a run's directory, finished or not.

    Nothing that the record names is run, read or contacted. `trust` says that the user
    agrees to it later; see `StoredRun.expect_usable`.

    Raises
    ------
    NotARecord
        If there is none, or one of a newer format.
    BrokenJournal
        If the journal is damaged before its last line.
    """
    found = record_at(path)
    try:
        events = read_journal(found / JOURNAL)
    except NewerFormat as error:
        raise NotARecord(f"{found} {error}") from error
    if not events or not isinstance(events[0], StartEvent):
        raise NotARecord(f"{found / JOURNAL} does not begin with a start")
    return _stored(found, events[0], events, trust)


class _Arrays:
    """The arrays and settings of a record on disk; collects what is wrong with them."""

    def __init__(self, path: Path, trust: bool) -> None:
        self._path, self._trust = path, trust
        self._arrays = RunArrays(path / ARRAYS, writable=False)
        self.is_survey_damaged = False
        self.is_size_known = True
        """Older records have the size of their survey image in that image only."""
        self.damage: list[Damage] = []
        self.outside: dict[str, None] = {}
        self.unusable: dict[str, None] = {}

    def image(self, event: SurveyEvent) -> NDArray[np.float32]:
        """A survey image, as NaN if it is damaged and its size is known."""
        try:
            return self._arrays.survey(event.index, event.announced)
        except DamagedArray as error:
            damage = Damage(survey_name(event.index), str(error), 0)
            if error.shape is None or len(error.shape) != 3:
                raise NotARecord(
                    f"{self._path} is damaged: {damage}, and nothing else tells its "
                    "size"
                ) from error
            self.damage.append(damage)
            self.is_survey_damaged = True
            self.is_size_known = event.shape is not None
            return _missing(error.shape)

    def counts(self, event: MeasurementEvent) -> NDArray[np.float32]:
        """The spectrum of a measurement, as NaN if it is damaged."""
        step, channels = event.step, event.channels
        try:
            return self._arrays.spectrum(step, channels, event.announced)
        except DamagedArray as error:
            self.damage.append(Damage(spectrum_name(step), str(error), step))
            return _missing((channels,) if channels else error.shape or (1,))

    def settings(
        self, values: dict[str, Any], packages: dict[str, str]
    ) -> ExperimentSettings:
        """The settings, with what cannot or may not be used as it is recorded."""
        source = FromRecord(self._trust, packages)
        try:
            settings = ExperimentSettings.model_validate(values, context=source)
        except ValidationError as error:
            raise ValueError(f"the settings: {mistake(error)}") from error
        self.outside.update(dict.fromkeys(outside_of(settings, self._path)))
        self.unusable.update(dict.fromkeys(why_unusable(settings)))
        return settings

    def experience(self, name: str) -> str:
        """Path of the record's own copy of what the model learned of earlier runs."""
        if not _EXPERIENCE.fullmatch(name) or (self._path / name).is_symlink():
            raise ValueError(f"{name!r} is no name of an experience")
        return str(self._path.absolute() / name)


def _stored(
    path: Path, start: StartEvent, events: list[JournalEvent], trust: bool
) -> StoredRun:
    """The run that the events of a journal amount to."""
    arrays = _Arrays(path, trust)
    state = RunState(arrays)
    for event in events:
        try:
            state.apply(event)
        except NotARecord:
            raise
        except UNREADABLE as error:
            raise damaged(path / JOURNAL, event.n, error) from error
    state.forget_outstanding()
    assert state.first_settings is not None and state.settings is not None
    return StoredRun(
        path=path,
        format=start.format,
        version=start.version,
        instrument=start.instrument,
        instrument_settings=start.instrument_settings,
        first_settings=state.first_settings,
        settings=state.settings,
        source=FromRecord(trust, state.packages),
        outside=tuple(arrays.outside),
        unusable=tuple(arrays.unusable),
        survey=state.survey,
        survey_exposure=state.survey_exposure,
        surveys=state.surveys,
        measurements=tuple(state.measurements),
        regions=state.regions,
        vetoed=frozenset(state.vetoed),
        queue=tuple(state.queue),
        attempts=dict(state.attempts),
        last_begun=state.last_begun,
        regions_begun=tuple(state.regions_begun),
        images_again=tuple(state.images_again),
        exposures=tuple(state.exposures),
        booked=dict(state.booked),
        discarded=state.discarded,
        votes=state.votes,
        history=tuple(state.history),
        journal=tuple(events),
        warnings=tuple(state.warnings),
        ending=state.ending,
        maps_known=dict(state.maps_known),
        damage_read=tuple(arrays.damage),
        state=state,
    )


def _missing(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """NaN of a shape, which takes no memory."""
    return np.broadcast_to(np.float32(np.nan), shape)
