"""Stored run, read back from disk."""

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
    """Run read from its directory.

    Attributes
    ----------
    instrument, instrument_settings
        Name of the instrument, and values of its settings.
    first_settings, settings
        Settings in force at the start and at the end.
    source
        Trust in the record, and the packages of its plugins.
    outside
        Descriptions of code and files that the settings name.
    unusable
        Reasons why parts of the settings are kept as recorded, and cannot be used.
    survey_exposure
        Exposure of the survey image, as the gate booked it.
    measurements
        Measurements in order, with the targets in force at the end.
    regions
        Regions in force at the end.
    vetoed
        Pixels `(row, column)` that the user excluded.
    queue
        Pixels that the user queued to be measured next, in order.
    attempts
        Number of refused answers of the agent, by step.
    last_begun
        State at the start of the last measurement; None before the first.
    regions_begun
        Regions in force at the start of each measurement.
    images_again
        Repeated survey images, in order; see `image`.
    exposures
        Exposures other than the first survey image, including those without result, as
        the gate booked them.
    booked
        Booked exposures of each measurement, by step.
    discarded
        Steps whose measurements are excluded from training.
    votes
        Judgements of spectra by the user, by step.
    history
        History of the agent, in order, with the targets at that time; proposals pending
        at the end of the run are left out.
    journal
        The events of the journal, in order.
    ending
        End of the run; None if the run is in progress, or the program was killed.
    damage_read
        Damage of the survey image and of spectra, which are replaced by NaN; see
        `damage`.
    state
        The same as a state that accepts further events, for a writer.
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
        """Return all missing or damaged arrays; reads images and maps."""
        others = damage_of_images_and_maps(self._arrays, self.journal)
        return tuple(dict.fromkeys((*self.damage_read, *others)))

    @property
    def _arrays(self) -> RunArrays:
        return RunArrays(self.path / ARRAYS, writable=False)

    @cached_property
    def _images_announced(self) -> dict[int, Announced]:
        """Return the journal's expectations of images, by number."""
        return {
            event.index: event.announced
            for event in self.journal
            if isinstance(event, ImageEvent)
        }

    @cached_property
    def _maps_announced(self) -> dict[int, MapsEvent]:
        """Return the journal's last event about the maps of each step."""
        return {e.step: e for e in self.journal if isinstance(e, MapsEvent)}

    @property
    def finish_reason(self) -> FinishReason | None:
        """Return the reason for the end of the run; None as for `ending`."""
        return None if self.ending is None else self.ending.reason

    @property
    def finish_text(self) -> str:
        """Return details of the reason for the end; empty if there are none."""
        return "" if self.ending is None else self.ending.text

    @property
    def is_trusted(self) -> bool:
        """Return whether the user agreed to use code and files named by the record."""
        return self.source.is_trusted

    @property
    def instrument_outside(self) -> tuple[str, ...]:
        """Return hosts and files that the instrument's settings name."""
        return outside_of_instrument(self.instrument, self.instrument_settings)

    def expect_usable(self, *, with_instrument: bool = False) -> None:
        """Check that the run may be continued, or analysed.

        Raises
        ------
        MissingPart
            If a plugin of it is not installed; the text names its package.
        NotTrusted
            If it names code, files or hosts that the user has not agreed to use.
        DamagedRecord
            If arrays are missing or damaged.
        """
        # First, so that no consent is requested for the impossible.
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
        """Return the coordinates of the survey image."""
        if self.survey is None:
            raise NotARecord(f"{self.path} ended before it had a survey image")
        return FieldFrame.of(self.survey)

    def image(self, index: int) -> NDArray[np.float32]:
        """Return a survey image by its number, `(detectors, rows, columns)`.

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
        """Return the last stored maps; None if `damage` names them."""
        return self._maps(list(self.maps_known)[-1]) if self.maps_known else None

    def maps(self) -> Iterator[PredictionMaps]:
        """Return all stored maps, in order, read one by one.

        Those that `damage` names are left out.
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
    """Return the directory of a record, given with its suffix or without.

    Raises
    ------
    NotARecord
        If there is none, or it contains links, pipes or devices.
    """
    found = directory_of(path)
    if not (found / JOURNAL).is_file():
        raise NotARecord(f"{path} is no record: there is no {JOURNAL} in it")
    check_plain(found)
    return found


def open_run(path: Path, *, trust: bool = False) -> StoredRun:
    """Read a run from its directory, finished or not.

    Code, files and hosts named by the record are not run, read or contacted. `trust`
    states that the user agrees to their later use; see `StoredRun.expect_usable`.

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
    """Arrays and settings of a record on disk; collects their damage."""

    def __init__(self, path: Path, trust: bool) -> None:
        self._path, self._trust = path, trust
        self._arrays = RunArrays(path / ARRAYS, writable=False)
        self.is_survey_damaged = False
        self.is_size_known = True
        """In older records only the survey image itself holds its size."""
        self.damage: list[Damage] = []
        self.outside: dict[str, None] = {}
        self.unusable: dict[str, None] = {}

    def image(self, event: SurveyEvent) -> NDArray[np.float32]:
        """Return a survey image, as NaN if it is damaged and its size is known."""
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
        """Return the spectrum of a measurement, as NaN if it is damaged."""
        step, channels = event.step, event.channels
        try:
            return self._arrays.spectrum(step, channels, event.announced)
        except DamagedArray as error:
            self.damage.append(Damage(spectrum_name(step), str(error), step))
            return _missing((channels,) if channels else error.shape or (1,))

    def settings(
        self, values: dict[str, Any], packages: dict[str, str]
    ) -> ExperimentSettings:
        """Return the settings, with unusable or untrusted parts kept as recorded."""
        source = FromRecord(self._trust, packages)
        try:
            settings = ExperimentSettings.model_validate(values, context=source)
        except ValidationError as error:
            raise ValueError(f"the settings: {mistake(error)}") from error
        self.outside.update(dict.fromkeys(outside_of(settings, self._path)))
        self.unusable.update(dict.fromkeys(why_unusable(settings)))
        return settings

    def experience(self, name: str) -> str:
        """Return the path of the record's copy of the earlier data for the model."""
        if not _EXPERIENCE.fullmatch(name) or (self._path / name).is_symlink():
            raise ValueError(f"{name!r} is no name of an experience")
        return str(self._path.absolute() / name)


def _stored(
    path: Path, start: StartEvent, events: list[JournalEvent], trust: bool
) -> StoredRun:
    """Return the run that results from the events of a journal."""
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
    """Return an array of NaN with a shape, which takes no memory."""
    return np.broadcast_to(np.float32(np.nan), shape)
