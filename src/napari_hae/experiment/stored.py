"""A run as it lies on disk, read back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from napari_hae.agent.recorded import FromRecord
from napari_hae.coordinates import FieldFrame
from napari_hae.diagnostics import Insight, StepTimes
from napari_hae.experiment.array_files import Announced, DamagedArray
from napari_hae.experiment.arrays import RunArrays, name_of_maps
from napari_hae.experiment.attempts import Attempts
from napari_hae.experiment.damage import (
    Damage,
    DamagedRecord,
    damage_of_images_and_maps,
    refuse,
    spectrum_name,
    survey_name,
)
from napari_hae.experiment.drift import ImageAgain
from napari_hae.experiment.ending import Ending
from napari_hae.experiment.entry_models import mistake
from napari_hae.experiment.history import (
    HistoryEvent,
    LastBegun,
    Retargeting,
    SettingsChange,
)
from napari_hae.experiment.insight import with_outcome
from napari_hae.experiment.journal import (
    FORMAT,
    UNREADABLE,
    Entry,
    damaged,
    read_journal,
)
from napari_hae.experiment.record import ARRAYS, JOURNAL, directory_of
from napari_hae.experiment.record_files import NotARecord, check_plain
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.experiment.taken import exposures_of, scan_of
from napari_hae.experiment.trust import (
    MissingPart,
    NotTrusted,
    expect_instrument,
    outside_of,
    outside_of_instrument,
    why_unusable,
)
from napari_hae.experiment.votes import Vote
from napari_hae.instruments.dose import Exposure
from napari_hae.metadata import NO_METADATA, Metadata, bounded, merged
from napari_hae.regions.regions import Regions
from napari_hae.types import (
    WHOLE_FIELD,
    Area,
    ChosenBy,
    EnergyAxis,
    Measurement,
    PredictionMaps,
    ProbePosition,
    Proposal,
    ScanImage,
    Spectrum,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.experiment.events import FinishReason


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
        The entries of the journal, as they are.
    ending
        None if the run did not end by itself: it runs, or the program was killed.
    damage_read
        The damage of the survey image and of spectra, which are NaN instead; see
        `damage`.
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
    journal: tuple[Entry, ...]
    warnings: tuple[str, ...]
    ending: Ending | None
    maps_known: dict[int, int]
    damage_read: tuple[Damage, ...]

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
            entry["index"]: Announced.of(entry)
            for entry in self.journal
            if entry["event"] in ("survey", "survey_again")
        }

    @cached_property
    def _maps_announced(self) -> dict[int, Entry]:
        """The journal's last line about the maps of each step."""
        maps = (entry for entry in self.journal if entry["event"] == "maps")
        return {entry["step"]: entry for entry in maps}

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
            entry = self._maps_announced[step]
            planes = self._arrays.maps(name_of_maps(entry), Announced.of(entry))
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
    entries = read_journal(found / JOURNAL)
    if not entries or entries[0].get("event") != "start":
        raise NotARecord(f"{found / JOURNAL} does not begin with a start")
    if entries[0]["format"] > FORMAT:
        raise NotARecord(
            f"{found} has format {entries[0]['format']}, written by napari-hae "
            f"{entries[0]['version']}; this version reads up to {FORMAT}"
        )
    return _Reader(found, entries, trust).read()


class _Reader:
    """Walks through a journal once."""

    def __init__(self, path: Path, entries: list[Entry], trust: bool) -> None:
        self._path = path
        self._entries = entries
        self._arrays = RunArrays(path / ARRAYS, writable=False)
        self._trust = trust
        self._settings: dict[str, Any] = {}
        self._packages: dict[str, str] = {}
        self._outside: dict[str, None] = {}
        self._unusable: dict[str, None] = {}
        self._first_settings: ExperimentSettings | None = None
        self._survey: ScanImage | None = None
        self._survey_exposure: Exposure | None = None
        self._surveys = 0
        self._proposals: dict[int, Proposal] = {}
        self._measured: list[Measurement] = []
        self._regions = Regions()
        self._vetoed: set[tuple[int, int]] = set()
        self._queue: list[tuple[int, int]] = []
        self._attempts = Attempts()
        self._last_begun: tuple[list[tuple[int, int]], dict[str, Any]] | None = None
        self._regions_begun: list[Regions] = []
        self._images_again: list[ImageAgain] = []
        self._exposures: list[Exposure] = []
        self._booked: dict[int, tuple[Exposure, ...]] = {}
        self._discarded: set[int] = set()
        self._votes: dict[int, Vote] = {}
        self._history: list[HistoryEvent] = []
        self._warnings: list[str] = []
        self._maps: dict[int, int] = {}
        self._metadata: Metadata = NO_METADATA
        self._end: Entry | None = None
        self._damage: list[Damage] = []
        # Older records have the size of their survey image in that image only.
        self._is_size_known = True

    def read(self) -> StoredRun:
        for number, entry in enumerate(self._entries):
            handler = getattr(self, f"_on_{entry['event']}", None)
            try:
                if handler is not None:
                    handler(entry)
            except NotARecord:
                raise
            except UNREADABLE as error:
                raise damaged(self._path / JOURNAL, number, error) from error
        self._forget_outstanding()
        start, end = self._entries[0], self._end
        assert self._first_settings is not None
        return StoredRun(
            path=self._path,
            format=start["format"],
            version=start["version"],
            instrument=start["instrument"],
            instrument_settings=start["instrument_settings"],
            first_settings=self._first_settings,
            settings=self._validated(self._settings),
            source=FromRecord(self._trust, self._packages),
            outside=tuple(self._outside),
            unusable=tuple(self._unusable),
            survey=self._survey,
            survey_exposure=self._survey_exposure,
            surveys=self._surveys,
            measurements=tuple(self._measured),
            regions=self._regions,
            vetoed=frozenset(self._vetoed),
            queue=tuple(self._queue),
            attempts=self._attempts,
            last_begun=self._at_last_measurement(),
            regions_begun=tuple(self._regions_begun),
            images_again=tuple(self._images_again),
            exposures=tuple(self._exposures),
            booked=self._booked,
            discarded=frozenset(self._discarded),
            votes=self._votes,
            history=tuple(self._history),
            journal=tuple(self._entries),
            warnings=tuple(self._warnings),
            ending=Ending.from_json(end) if end else None,
            maps_known=self._maps,
            damage_read=tuple(self._damage),
        )

    def _at_last_measurement(self) -> LastBegun | None:
        if self._last_begun is None:
            return None
        queue, values = self._last_begun
        settings = self._validated(values)
        return LastBegun(tuple(queue), settings.plan, settings.loop)

    def _forget_outstanding(self) -> None:
        """Drop proposals that came to nothing: who goes on asks for them again."""
        outstanding = {id(proposal) for proposal in self._proposals.values()}
        self._queue[:0] = [
            (proposal.row, proposal.column)
            for proposal in self._proposals.values()
            if proposal.chosen_by is ChosenBy.HUMAN
        ]
        self._history = [x for x in self._history if id(x) not in outstanding]
        self._proposals.clear()

    def _validated(self, values: dict[str, Any]) -> ExperimentSettings:
        """The settings, with what cannot or may not be used as it is recorded."""
        source = FromRecord(self._trust, self._packages)
        try:
            settings = ExperimentSettings.model_validate(values, context=source)
        except ValidationError as error:
            raise ValueError(f"the settings: {mistake(error)}") from error
        self._outside.update(dict.fromkeys(outside_of(settings, self._path)))
        self._unusable.update(dict.fromkeys(why_unusable(settings)))
        return settings

    def _find_experience(self, entry: Entry) -> None:
        """Name the record's own copy of what the model learned of earlier runs."""
        if name := entry.get("experience"):
            if not _EXPERIENCE.fullmatch(name) or (self._path / name).is_symlink():
                raise ValueError(f"{name!r} is no name of an experience")
            copy = str(self._path.absolute() / name)
            self._settings["model"] = {**self._settings["model"], "earlier": copy}

    def _on_start(self, entry: Entry) -> None:
        _expect(self._first_settings is None, "the run begins a second time")
        self._settings = dict(entry["settings"])
        self._packages = dict(entry.get("packages", {}))
        self._find_experience(entry)
        self._first_settings = self._validated(self._settings)

    def _on_survey(self, entry: Entry) -> None:
        data = self._survey_data(entry)
        self._survey = ScanImage(
            data=data,
            detectors=tuple(entry["detectors"]),
            fov_nm=(entry["fov_nm"][0], entry["fov_nm"][1]),
            dwell_time_s=entry["dwell_time_s"],
            area=Area(*entry["area"]) if "area" in entry else WHOLE_FIELD,
        )
        if not self._damage:
            self._survey_exposure = scan_of(entry, self._survey)
        self._surveys += 1

    def _survey_data(self, entry: Entry) -> NDArray[np.float32]:
        """A survey image, as NaN if it is damaged and its size is known."""
        index = entry["index"]
        try:
            return self._arrays.survey(index, Announced.of(entry))
        except DamagedArray as error:
            damage = Damage(survey_name(index), str(error), 0)
            if error.shape is None or len(error.shape) != 3:
                raise NotARecord(
                    f"{self._path} is damaged: {damage}, and nothing else tells its "
                    "size"
                ) from error
            self._damage.append(damage)
            self._is_size_known = Announced.of(entry).shape is not None
            return _missing(error.shape)

    def _counts(self, entry: Entry) -> NDArray[np.float32]:
        """The spectrum of a measurement, as NaN if it is damaged."""
        step, channels = entry["step"], entry.get("channels")
        try:
            return self._arrays.spectrum(step, channels, Announced.of(entry))
        except DamagedArray as error:
            self._damage.append(Damage(spectrum_name(step), str(error), step))
            return _missing((channels,) if channels else error.shape or (1,))

    def _expect_pixels(self, *pixels: tuple[int, int]) -> None:
        rows, columns = (0, 0) if self._survey is None else self._survey.shape
        for row, column in pixels:
            is_inside = 0 <= row < rows and 0 <= column < columns
            _expect(is_inside, f"pixel ({row}, {column}) is not in the survey image")

    def _expect_going_on(self) -> None:
        _expect(self._end is None, "the run had ended before")

    def _expect_in_field(self, entry: Entry) -> None:
        """Expect a measurement in the field, or where drift may have moved its place.

        The instrument may say that the beam was somewhere else in the field.
        """
        if entry.get("beam"):
            beam = ProbePosition(*entry["beam"])
            _expect(beam.is_inside, f"the beam at {beam} was not in the field of view")
        for name, side_nm in zip(("y_nm", "x_nm"), self._frame.field_nm, strict=True):
            is_near = -side_nm <= entry[name] <= 2 * side_nm
            _expect(is_near, f"{name} is {entry[name]:g}, far outside of the field")

    @property
    def _frame(self) -> FieldFrame:
        if self._survey is None:
            raise ValueError("it comes before the survey image")
        return FieldFrame.of(self._survey)

    def _expect_measured(self, step: int) -> None:
        _expect(step < len(self._measured), f"step {step + 1} was not measured before")

    def _on_survey_again(self, entry: Entry) -> None:
        self._images_again.append(ImageAgain.from_entry(entry))
        self._surveys = entry["index"] + 1

    def _on_proposal(self, entry: Entry) -> None:
        proposal = Proposal(
            step=entry["step"],
            row=entry["row"],
            column=entry["column"],
            position=ProbePosition(entry["x"], entry["y"]),
            mean=_number(entry["mean"]),
            std=_number(entry["std"]),
            value=_number(entry["value"]),
            best=_number(entry["best"]),
            chosen_by=ChosenBy(entry["chosen_by"]),
            known=entry["known"],
            insight=Insight.from_json(entry["insight"])
            if entry.get("insight")
            else None,
        )
        pixel = proposal.row, proposal.column
        self._expect_going_on()
        self._expect_pixels(pixel)
        there = self._frame.pixel(proposal.position)
        _expect(
            there == pixel or not self._is_size_known,
            f"pixel {pixel} is proposed at {proposal.position}, which lies in {there}",
        )
        _expect(
            max(proposal.known, len(self._measured)) <= proposal.step,
            f"step {proposal.step + 1} is proposed after {len(self._measured)} "
            f"measurements, on {proposal.known} of them",
        )
        if proposal.chosen_by is ChosenBy.HUMAN and pixel in self._queue:
            self._queue.remove(pixel)
        self._proposals[proposal.step] = proposal
        self._history.append(proposal)

    def _on_refusal(self, entry: Entry) -> None:
        refused = self._proposals.pop(entry["step"], None)
        if refused is None:
            return
        self._attempts.refuse(refused, entry)
        if entry["keep_out"]:
            self._vetoed.add((refused.row, refused.column))

    def _on_veto(self, entry: Entry) -> None:
        self._expect_pixels((entry["row"], entry["column"]))
        self._vetoed.add((entry["row"], entry["column"]))

    def _on_booked(self, entry: Entry) -> None:
        self._exposures.append(Exposure.from_json(entry["exposure"]))

    def _on_measurement(self, entry: Entry) -> None:
        proposal = self._proposals.pop(entry["step"], None)
        if proposal is None:
            raise ValueError("the measurement has no proposal")
        _expect(
            entry["step"] == len(self._measured),
            f"step {len(self._measured) + 1} is missing before step "
            f"{entry['step'] + 1}",
        )
        self._expect_going_on()
        self._expect_in_field(entry)
        counts = self._counts(entry)
        beam, drift = entry.get("beam"), entry.get("drift_nm")
        offset_ev, step_ev = entry["energy_offset_ev"], entry["energy_dispersion_ev"]
        spectrum = Spectrum(
            counts=counts,
            energy=EnergyAxis(offset_ev, step_ev, len(counts)),
            detector=entry["detector"],
            position=ProbePosition(*beam) if beam else proposal.position,
            exposure_s=entry["exposure_s"],
            dose_e=_number(entry["dose_e"]),
            metadata=self._metadata_with(entry.get("metadata")),
        )
        measurement = Measurement(
            proposal=proposal,
            spectrum=spectrum,
            target=_number(entry["target"]),
            error=_number(entry.get("error")),
            x_nm=entry["x_nm"],
            y_nm=entry["y_nm"],
            times=StepTimes(**entry["times"]) if entry.get("times") else None,
            drift_nm=(drift[0], drift[1]) if drift else None,
        )
        measurement = with_outcome(measurement)
        booked = self._booked[entry["step"]] = exposures_of(entry, spectrum)
        self._exposures += booked
        self._measured.append(measurement)
        self._history.append(measurement)
        self._last_begun = list(self._queue), dict(self._settings)
        self._regions_begun.append(self._regions)

    def _metadata_with(self, own: Metadata | None) -> Metadata:
        """What is known of all spectra, and of one of them."""
        return bounded(merged(self._metadata, own)) if own else self._metadata

    def _on_settings(self, entry: Entry) -> None:
        for section, change in entry["changes"].items():
            self._settings[section] = change["new"]
        self._find_experience(entry)
        self._packages.update(entry.get("packages", {}))
        settings = self._validated(self._settings)
        self._history.append(SettingsChange(entry["step"], entry["who"], settings))

    def _on_targets(self, entry: Entry) -> None:
        targets = tuple(_number(target) for target in entry["targets"])
        unknown = [None] * len(targets)
        errors = tuple(_number(error) for error in entry.get("errors", unknown))
        change = Retargeting(targets, errors)
        self._measured = change.of(self._measured)
        self._history.append(change)

    def _on_regions(self, entry: Entry) -> None:
        self._regions = Regions.from_json(entry["regions"])

    def _on_queue(self, entry: Entry) -> None:
        self._queue = _pixels(entry["pixels"])
        self._expect_pixels(*self._queue)

    def _on_vote(self, entry: Entry) -> None:
        self._expect_measured(entry["of"])
        self._votes[entry["of"]] = Vote(entry["vote"])

    def _on_discard(self, entry: Entry) -> None:
        self._expect_measured(entry["of"])
        self._discarded.discard(entry["of"])
        if entry["is_discarded"]:
            self._discarded.add(entry["of"])

    def _on_finer(self, entry: Entry) -> None:
        self._vetoed.update(_pixels(entry["kept_out"]))
        self._queue = _pixels(entry["queue"])
        self._expect_pixels(*self._vetoed, *self._queue)
        self._votes = {each["of"]: Vote(each["vote"]) for each in entry["votes"]}

    def _on_metadata(self, entry: Entry) -> None:
        self._metadata = bounded(entry["metadata"])

    def _on_maps(self, entry: Entry) -> None:
        self._expect_measured(entry["known"] - 1)
        self._maps[entry["step"]] = entry["known"]

    def _on_warning(self, entry: Entry) -> None:
        self._warnings.append(entry["text"])

    def _on_resume(self, entry: Entry) -> None:
        self._end = None
        self._attempts.resume(entry)
        self._forget_outstanding()

    def _on_end(self, entry: Entry) -> None:
        self._end = entry


def _expect(is_true: bool, otherwise: str) -> None:
    """Raise `ValueError` with a reason why a line is not possible."""
    if not is_true:
        raise ValueError(otherwise)


def _missing(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """NaN of a shape, which takes no memory."""
    return np.broadcast_to(np.float32(np.nan), shape)


def _pixels(stored: list[list[int]]) -> list[tuple[int, int]]:
    return [(row, column) for row, column in stored]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
