"""The record of a run while it is written: arrays first, then the journal's line.

A run is one directory, `NAME.hae/`: `journal.jsonl` beside `arrays.zarr`, and a copy of
the earlier data that the model learned from. The journal's line is the commit:
everything that it names exists.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.agent.experience import load_experience
from napari_hae.agent.recorded import FromRecord
from napari_hae.experiment.array_files import checksum
from napari_hae.experiment.arrays import RunArrays
from napari_hae.experiment.journal import FORMAT, Journal, Kind
from napari_hae.experiment.journal_events import (
    EACH_STEP,
    Actor,
    AloneEvent,
    BookedEvent,
    Change,
    DiscardEvent,
    EndEvent,
    FinerEvent,
    InsightValues,
    JournalEvent,
    MapsEvent,
    MeasurementEvent,
    MetadataEvent,
    ProposalEvent,
    QueueEvent,
    RefusalEvent,
    RegionsEvent,
    RegionsValues,
    ResumeEvent,
    SettingsEvent,
    SourceValues,
    StartEvent,
    SurveyAgainEvent,
    SurveyEvent,
    TargetsEvent,
    TimesValues,
    VetoEvent,
    VoteEvent,
    WarningEvent,
    WarningOverEvent,
)
from napari_hae.experiment.record_files import SUFFIX, check_plain
from napari_hae.experiment.refusals import RefusalReason
from napari_hae.experiment.run_state import RunState
from napari_hae.experiment.settings import ExperimentSettings
from napari_hae.experiment.taken import booked_values
from napari_hae.experiment.trust import packages_of
from napari_hae.experiment.writer_lock import LOCK, WRITER, WriterLock
from napari_hae.metadata import NO_METADATA, difference
from napari_hae.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from pydantic import BaseModel

    from napari_hae.experiment.drift import ImageAgain
    from napari_hae.experiment.ending import Ending
    from napari_hae.experiment.refusals import LostExposure, Refusal
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.experiment.votes import Vote
    from napari_hae.instruments.dose import Exposure
    from napari_hae.metadata import Metadata
    from napari_hae.regions.regions import Regions
    from napari_hae.types import Measurement, PredictionMaps, Proposal, ScanImage

_NAMELESS = ("", "..")
KEPT_IMAGES = 2**28
"""Bytes of repeated survey images kept in memory, for saving them elsewhere."""
JOURNAL = "journal.jsonl"
EXPERIENCES = "experience-*.npz"
ARRAYS = "arrays.zarr"
_NOT_RESCUED = EndEvent, MapsEvent
"""Events that are dispensable if everything else was saved elsewhere."""


class RecordExists(ValueError):
    """Error for a new record whose path already exists."""


class RecordLost(OSError):
    """Error for a record that cannot be written any more; the text gives the reason."""


class Record:
    """Writer of one run; every method returns after its data are on disk.

    Within `at_once`, the journal's lines are written at its end.

    Use `create` for a new run and `reopen` to continue one.

    Data that cannot be written, because the record was moved or deleted or the disk is
    full, are kept in memory, see `rescue`. Nothing is written after them, so that the
    record has no gap.

    Attributes
    ----------
    trouble
        Reason for a failed write; empty while all data are on disk.
    saved_at
        Record to which all data were saved, see `rescue`; None if there is none, or
        data were added since.
    copied
        Steps whose spectra are in that record.
    may_try_again
        Given the trouble, waits until it is solved; False if it will not be.
    state
        State that results from the journal so far, changed on the experiment's thread
        only.
    spectra, images, files
        Spectra by step, repeated survey images by number, and other data written.
    """

    def __init__(
        self,
        path: Path,
        lock: WriterLock | None = None,
        state: RunState | None = None,
    ) -> None:
        self.path = path
        self._lock = lock or WriterLock(path)
        try:
            self._arrays = RunArrays(path / ARRAYS, writable=True)
            self._journal = Journal(path / JOURNAL, self._attempt)
        except BaseException:
            self._lock.close()
            raise
        self.survey_image: NDArray[np.float32] | None = None
        self.state = state or RunState()
        self.state.sources = _InMemory(self)
        self._again: tuple[int, tuple[int, int, int], int] | None = None
        self._arrays_s = 0.0
        self._metadata: Metadata = NO_METADATA
        self._is_lost = False
        self.trouble = ""
        self.saved_at: Path | None = None
        self.copied: frozenset[int] = frozenset()
        self.may_try_again: Callable[[str], bool] = lambda trouble: False
        self.spectra: dict[int, NDArray[np.float32]] = {}
        self.images: dict[int, NDArray[np.float32]] = {}
        self.files = {each.name: each.read_bytes() for each in path.glob("*.npz")}
        self.noted: list[JournalEvent] = []
        """Journal events of this session, except those of each step, in order; only
        ever extended, and readable from any thread."""

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        instrument: str,
        instrument_settings: BaseModel,
        settings: ExperimentSettings,
    ) -> Record:
        """Begin the record of a new run.

        The name of a record that was killed before its first line is reused.

        Raises
        ------
        RecordExists
            If the path exists; nothing is ever overwritten.
        RecordInUse
            If another writer begins a record there.
        ValueError
            If the path is no valid name of a record, or the model cannot learn from the
            earlier run that the settings name.
        OSError
            If the directory cannot be made.
        """
        path = named(path)
        if settings.model.earlier is not None:
            load_experience(settings.model.earlier)
        record = cls(path, _claimed(path))
        values = settings.model_dump(mode="json")
        record._write(
            StartEvent(
                format=FORMAT,
                version=__version__,
                instrument=instrument,
                instrument_settings=instrument_settings.model_dump(mode="json"),
                settings=values,
                experience=record._kept(settings.model.earlier),
                packages=packages_of({"instrument": instrument, **values}),
            )
        )
        return record

    @classmethod
    def reopen(cls, past: StoredRun, *, lock: WriterLock | None = None) -> Record:
        """Continue a stored run, whose state follows the newly written events.

        A caller that has read the record must have locked it before, and passes the
        lock.

        Raises
        ------
        RecordInUse
            If another writer holds it.
        """
        record = cls(past.path, lock, past.state)
        record._write(ResumeEvent(version=__version__))
        return record

    def survey(self, image: ScanImage, booked: Exposure | None = None) -> None:
        """Store a survey image, with its dose as booked by the gate."""
        self.survey_image, index = image.data, self.state.surveys
        with self._timed():
            self._store(lambda: self._arrays.write_survey(index, image.data))
        area = image.area
        self._write(
            SurveyEvent(
                index=index,
                detectors=tuple(image.detectors),
                fov_nm=image.fov_nm,
                dwell_time_s=image.dwell_time_s,
                area=(area.left, area.top, area.right, area.bottom),
                booked=booked.to_json() if booked else None,
                shape=image.data.shape,
                crc32=checksum(image.data),
            )
        )

    @property
    def disk_s(self) -> float:
        """Return the total time spent writing, in s."""
        return self._arrays_s + self._journal.disk_s

    def image(self, image: ScanImage) -> None:
        """Store a repeated survey image, before `survey_again` names it."""
        index = self.state.surveys
        kept = sum(each.nbytes for each in self.images.values())
        if kept + image.data.nbytes <= KEPT_IMAGES:
            self.images[index] = image.data
        with self._timed():
            self._store(lambda: self._arrays.write_survey(index, image.data))
        self._again = index, image.data.shape, checksum(image.data)

    def survey_again(self, taken: ImageAgain, *, why: str = "") -> None:
        """Record a repeated survey image, and its outcome."""
        if self._again is None or self._again[0] != taken.index:
            raise ValueError(f"image {taken.index} is not the one that was stored last")
        _, shape, crc32 = self._again
        self._write(
            SurveyAgainEvent(
                who=Actor.PERSON if taken.is_asked else None,
                why=why,
                step=taken.step,
                index=taken.index,
                scan_s=taken.scan_s,
                dose_e=taken.dose_e,
                area=taken.area,
                at_s=taken.at_s,
                is_fiducial=taken.is_fiducial,
                is_anew=taken.is_anew,
                offset_nm=taken.offset_nm,
                correlation=taken.correlation,
                against=taken.against,
                refusal=taken.refusal,
                waited_s=taken.waited_s,
                shape=shape,
                crc32=crc32,
            )
        )

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Commit the events recorded in the block together, at its end.

        A resumed run thus never starts from between its lines.
        """
        with self._journal.at_once():
            yield

    def proposal(self, proposal: Proposal, *, waited_s: float = 0.0) -> None:
        """Record a proposal of the agent, and its reasons.

        `waited_s` is the time spent waiting for the user since the last survey image.
        """
        insight = proposal.insight
        self._write(
            ProposalEvent(
                step=proposal.step,
                row=proposal.row,
                column=proposal.column,
                x=proposal.position.x,
                y=proposal.position.y,
                mean=proposal.mean,
                std=proposal.std,
                value=proposal.value,
                best=proposal.best,
                chosen_by=proposal.chosen_by,
                known=proposal.known,
                insight=InsightValues.model_validate(insight) if insight else None,
                waited_s=waited_s,
            )
        )

    def refusal(self, step: int, refusal: Refusal) -> None:
        """Record that the last proposal of a step was not measured."""
        self._write(
            RefusalEvent(
                who=Actor.PERSON if refusal.reason is RefusalReason.VETOED else None,
                why=refusal.why,
                step=step,
                reason=refusal.reason,
                detail=refusal.detail,
            )
        )

    def veto(self, step: int, pixel: tuple[int, int], *, why: str) -> None:
        """Record that the user excluded a place that was not about to be measured."""
        row, column = pixel
        self._write(
            VetoEvent(who=Actor.PERSON, why=why, step=step, row=row, column=column)
        )

    def booked(
        self,
        exposure: Exposure,
        field_nm: tuple[float, float],
        reason: LostExposure,
        detail: str = "",
    ) -> None:
        """Record the dose and the reason of an exposure without result.

        `field_nm` is `(height, width)` of the field of view of its place.
        """
        self._write(
            BookedEvent(
                who=Actor.PROGRAM,
                exposure=exposure.to_json(),
                field_nm=field_nm,
                reason=reason,
                detail=detail,
            )
        )

    def measurement(
        self,
        measurement: Measurement,
        source: SourceValues | None = None,
        *,
        exposures: Sequence[Exposure] = (),
        waited_s: float = 0.0,
    ) -> None:
        """Store a spectrum and its values.

        `source` is its origin, if it was not measured here; `exposures` are those
        summed in it, and `waited_s` is the time spent waiting for the user since the
        last survey image.
        """
        step, counts = measurement.step, measurement.spectrum.counts
        self.spectra[step] = counts
        with self._timed():
            self._store(lambda: self._arrays.write_spectrum(step, counts))
        metadata = measurement.spectrum.metadata
        if not self._metadata and metadata:
            self._metadata = metadata
            self._write(MetadataEvent(metadata=metadata))
        self._write(
            self.event_of(measurement, source, exposures=exposures, waited_s=waited_s)
        )

    def event_of(
        self,
        measurement: Measurement,
        source: SourceValues | None = None,
        *,
        exposures: Sequence[Exposure] = (),
        waited_s: float = 0.0,
    ) -> MeasurementEvent:
        """Return the journal's event of a measurement, see `measurement`."""
        spectrum, times = measurement.spectrum, measurement.times
        drift_nm, at = measurement.drift_nm, spectrum.position
        # Position of the beam, if it differs from that in the survey image: by drift,
        # or as reported by the instrument.
        is_there = drift_nm is None and at == measurement.proposal.position
        booked, several = booked_values(exposures)
        return MeasurementEvent(
            step=measurement.step,
            target=measurement.target,
            error=measurement.error,
            x_nm=measurement.x_nm,
            y_nm=measurement.y_nm,
            detector=spectrum.detector,
            exposure_s=spectrum.exposure_s,
            dose_e=spectrum.dose_e,
            energy_offset_ev=spectrum.energy.offset_ev,
            energy_dispersion_ev=spectrum.energy.dispersion_ev,
            channels=len(spectrum.counts),
            crc32=checksum(spectrum.counts),
            times=TimesValues.model_validate(times.to_json()) if times else None,
            drift_nm=drift_nm,
            beam=None if is_there else (at.x, at.y),
            waited_s=waited_s,
            booked=booked,
            exposures=several,
            metadata=difference(spectrum.metadata, self._metadata) or {},
            source=source,
        )

    def maps(self, maps: PredictionMaps, step: int) -> None:
        """Store the maps known before a step."""
        planes = np.stack([maps.mean, maps.std, maps.acquisition])
        name = self._arrays.free_name(step)
        with self._timed():
            self._store(lambda: self._arrays.write_maps(name, planes))
        self._write(
            MapsEvent(
                step=step,
                known=maps.known,
                crc32=checksum(planes),
                array=None if name == str(step) else name,
            )
        )

    def settings(
        self,
        step: int,
        changes: Mapping[str, tuple[Any, Any]],
        *,
        who: Actor,
        why: str = "",
    ) -> None:
        """Record a change of settings, section by section as `(old, new)` values."""
        earlier = changes["model"][1]["earlier"] if "model" in changes else None
        self._write(
            SettingsEvent(
                step=step,
                who=who,
                why=why,
                changes={
                    section: Change(old=old, new=new)
                    for section, (old, new) in changes.items()
                },
                experience=self._kept(earlier),
                packages=packages_of({name: new for name, (_, new) in changes.items()}),
            )
        )

    def targets(
        self, targets: Sequence[float], errors: Sequence[float], best_step: int | None
    ) -> None:
        """Record the targets of all measurements after a change of the scalarizer.

        `best_step` is the step of the best target, None if there is none.
        """
        self._write(
            TargetsEvent(
                targets=tuple(targets), errors=tuple(errors), best_step=best_step
            )
        )

    def regions(
        self, step: int, regions: Regions, *, old: Regions | None, why: str = ""
    ) -> None:
        """Record the regions in force from a step on, and the previous ones, if any."""
        self._write(
            RegionsEvent(
                step=step,
                who=Actor.PERSON,
                why=why,
                regions=_values_of(regions),
                old=None if old is None else _values_of(old),
            )
        )

    def queue(
        self,
        step: int,
        pixels: Iterable[tuple[int, int]],
        *,
        old: Iterable[tuple[int, int]],
        why: str,
    ) -> None:
        """Record the queue of places to be measured next, and the previous one."""
        waiting = QueueEvent(
            step=step, who=Actor.PERSON, why=why, old=tuple(old), pixels=tuple(pixels)
        )
        self._write(waiting)

    def alone(self, step: int, steps: int, *, why: str) -> None:
        """Record that the agent may take some steps without approval."""
        self._write(AloneEvent(step=step, who=Actor.PERSON, why=why, steps=steps))

    def vote(
        self, step: int, of: int, vote: Vote, *, old: Vote | None, why: str
    ) -> None:
        """Record the user's judgement of a step's spectrum, and the previous one."""
        self._write(
            VoteEvent(step=step, who=Actor.PERSON, why=why, of=of, vote=vote, old=old)
        )

    def discard(self, step: int, of: int, *, is_discarded: bool, why: str) -> None:
        """Record that a measurement is excluded from training, or restored."""
        self._write(
            DiscardEvent(
                step=step,
                who=Actor.PERSON,
                why=why,
                of=of,
                is_discarded=is_discarded,
            )
        )

    def finer(self, event: FinerEvent) -> None:
        """Record the coarser record that this one continues, with the copied data."""
        self._write(event)

    def warning(self, step: int, text: str, about: str) -> None:
        """Record a warning, and its subject if it stays in force."""
        self._write(WarningEvent(step=step, text=text, about=about))

    def warning_over(self, step: int, text: str, since: int, about: str) -> None:
        """Record that a warning no longer applies, since a step."""
        over = WarningOverEvent(step=step, text=text, since=since, about=about)
        self._write(over)

    def end(self, ending: Ending) -> None:
        """Record the end of the run."""
        self._write(
            EndEvent(
                reason=ending.reason,
                text=ending.text,
                aborted_by=ending.aborted_by,
                at_step=ending.step,
                beam=ending.beam,
            )
        )

    def close(self) -> None:
        """Close the files, for the next writer; a second call does nothing."""
        self._journal.close()
        self._lock.close()

    def _kept(self, earlier: Path | str | None) -> str | None:
        """Copy the data that the model learns from; return the name of the copy.

        The run can then be continued without the original file.
        """
        if earlier is None:
            return None
        content = Path(earlier).read_bytes()
        name = f"experience-{hashlib.sha256(content).hexdigest()[:16]}.npz"
        if name not in self.files:
            self.files[name] = content
            self._store(lambda: _write_file(self.path / name, content))
        return name

    @property
    def lines(self) -> tuple[bytes, ...]:
        """Return the journal's lines, including those that could not be written."""
        return tuple(self._journal.lines)

    def readable_arrays(self) -> RunArrays | None:
        """Return the arrays for reading, if they still exist."""
        try:
            self._arrays.check()
        except OSError:
            return None
        return self._arrays

    @property
    def is_unsaved(self) -> bool:
        """Return whether some of its data are in memory only."""
        return bool(self.trouble) and self.saved_at is None

    def _store(self, write: Callable[[], None]) -> None:
        """Write the data that a line of the journal names.

        If this fails, the data stay in memory, and so must the line that follows.
        """
        with suppress(RecordLost):
            self._attempt(write)

    def _attempt(self, write: Callable[[], None]) -> None:
        """Write to the record, and try again after a problem was solved.

        Raises
        ------
        RecordLost
            If it cannot be written.
        """
        while not self._is_lost:
            try:
                self._arrays.check()
                self._lock.check()
                write()
            except OSError as error:
                self.trouble = (
                    f"{self.path} cannot be written ({error.strerror or error})"
                )
                self._is_lost = not self.may_try_again(self.trouble)
            else:
                self.trouble = ""
                return
        raise RecordLost(self.trouble)

    def _write(self, event: Kind) -> Kind:
        is_copied = isinstance(event, MeasurementEvent) and event.step in self.copied
        if not (isinstance(event, _NOT_RESCUED) or is_copied):
            self.saved_at = None
        written = self._journal.append(event)
        self.state.apply(written)
        if not isinstance(written, EACH_STEP):
            self.noted.append(written)
        return written

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self._arrays_s += time.perf_counter() - begin_s


class _InMemory:
    """Arrays and settings named by events, while writing; see `run_state.Sources`.

    The settings are not used from here, so that no code named by them is run.
    """

    is_survey_damaged, is_size_known = False, True

    def __init__(self, record: Record) -> None:
        self._record = record

    def image(self, event: SurveyEvent) -> NDArray[np.float32]:
        """Return the survey image that has just been stored."""
        assert self._record.survey_image is not None
        return self._record.survey_image

    def counts(self, event: MeasurementEvent) -> NDArray[np.float32]:
        """Return the spectrum of a step."""
        return self._record.spectra[event.step]

    def settings(
        self, values: dict[str, Any], packages: dict[str, str]
    ) -> ExperimentSettings:
        """Return the settings as they are recorded."""
        source = FromRecord(is_trusted=False, packages=packages)
        return ExperimentSettings.model_validate(values, context=source)

    def experience(self, name: str) -> str:
        """Return the path of the record's copy of the earlier data for the model."""
        return str(self._record.path.absolute() / name)


def check_free(path: Path) -> None:
    """Refuse a path at which no new record can be made.

    Raises
    ------
    RecordExists
        If it already exists.
    ValueError
        If it is no valid name of a record, or is not inside a folder.
    """
    path = named(path)
    above = next((each for each in path.parents if each.exists()), path.parent)
    if not above.is_dir():
        raise ValueError(f"{path} cannot be a record: {above} is no folder")
    if path.exists():
        _check_unused(path)


def _claimed(path: Path) -> WriterLock:
    """Create the directory of a new record, and lock it."""
    check_free(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        path.mkdir()
    _check_unused(path)
    lock = WriterLock(path)
    try:
        # Another writer may have started there meanwhile.
        _check_unused(path)
        for left in path.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name not in (LOCK, WRITER):
                left.unlink()
    except BaseException:
        lock.close()
        raise
    return lock


def _check_unused(path: Path) -> None:
    """Raise `RecordExists` if the path exists, unless its journal is empty.

    A program that is killed before the first line leaves a record without data.
    """
    if path.is_dir():
        check_plain(path)
        names = {x.name for x in path.iterdir() if not x.match(EXPERIENCES)}
        arrays = {x.name for x in (path / ARRAYS).glob("*")}
        is_begun = all(name.startswith("zarr.json") for name in arrays)
        known = {LOCK, WRITER, ARRAYS, JOURNAL}
        if is_begun and names <= known and not _has_line(path / JOURNAL):
            return
    raise RecordExists(
        f"{path} exists already; choose another name, or go on with it by "
        f"`napari-hae resume`"
    )


def _has_line(journal: Path) -> bool:
    if not journal.exists():
        return False
    with journal.open("rb") as file:
        return file.readline().endswith(b"\n")


def _values_of(regions: Regions) -> RegionsValues:
    return RegionsValues.model_validate(regions.to_json())


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def named(path: Path) -> Path:
    """Return the path with the suffix of a record.

    Raises
    ------
    ValueError
        If it has no name, such as `/`, `..` or an empty path.
    """
    path = Path(path)
    if path.name in _NAMELESS:
        raise ValueError(
            f"{str(path)!r} names no record; a name such as run.hae is needed"
        )
    return path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)


def directory_of(path: Path) -> Path:
    """Return the directory of an existing record, given with its suffix or without."""
    path = Path(path)
    if not path.is_dir():
        return named(path)
    # Files beside the record are named after it.
    return path if path.name not in _NAMELESS else path.resolve()
