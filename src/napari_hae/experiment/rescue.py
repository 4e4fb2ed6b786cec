"""Saving a record elsewhere from memory, when it can no longer be written."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from napari_hae.experiment.array_files import DamagedArray
from napari_hae.experiment.arrays import RunArrays
from napari_hae.experiment.journal import Journal, events_of, renumbered
from napari_hae.experiment.journal_events import (
    MapsEvent,
    MeasurementEvent,
    SurveyAgainEvent,
    WarningEvent,
)
from napari_hae.experiment.record import ARRAYS, JOURNAL
from napari_hae.experiment.record_files import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.experiment.loop import Taken
    from napari_hae.experiment.record import Record
    from napari_hae.types import Measurement, ScanImage


def rescue(
    record: Record,
    measurements: Sequence[Measurement],
    survey: ScanImage | None,
    folder: Path | None = None,
    unrecorded: Sequence[Taken] = (),
) -> Path:
    """Write the whole content of a record as a new record.

    It holds all spectra, and can be resumed and exported like any other. Predicted
    maps, and repeated images that are no longer in memory, are included as far as they
    can still be read.

    Parameters
    ----------
    measurements
        All measurements of the run, including those before it was resumed.
    folder
        Folder for the new record; by default that of the old one, or else the folder
        for temporary files.
    unrecorded
        Measurements that are not yet, or only just, in the record.

    Returns the new record's path.

    Raises
    ------
    OSError
        If it cannot be written there.
    """
    places = [folder] if folder else [record.path.parent, Path(tempfile.gettempdir())]
    failure: OSError | None = None
    for place in places:
        try:
            path = _free(place, record.path.stem)
            copied = _write(record, measurements, survey, path, unrecorded)
        except OSError as error:
            failure = failure or error
        else:
            record.saved_at, record.copied = path, copied
            return path
    assert failure is not None
    raise failure


def _free(place: Path, name: str) -> Path:
    """Create a new directory for the record."""
    names = (f"{name}-rescued{'' if n == 1 else f'-{n}'}{SUFFIX}" for n in count(1))
    for each in names:
        try:
            (place / each).mkdir(parents=True)
        except FileExistsError:
            continue
        return place / each
    raise AssertionError("there are names without end")


def _write(
    record: Record,
    measurements: Sequence[Measurement],
    survey: ScanImage | None,
    path: Path,
    unrecorded: Sequence[Taken],
) -> frozenset[int]:
    """Write the record there; return the steps whose spectra are in it."""
    try:
        arrays = RunArrays(path / ARRAYS, writable=True)
        if survey is not None:
            arrays.write_survey(0, survey.data)
        spectra = {each.step: each.spectrum.counts for each in measurements}
        spectra |= record.spectra
        more = {t.measurement.step: t.measurement.spectrum.counts for t in unrecorded}
        for step, counts in {**spectra, **more}.items():
            arrays.write_spectrum(step, counts)
        for name, content in record.files.items():
            (path / name).write_bytes(content)
        kept = list(_kept(record, arrays))
        # Written last: the journal defines what a record contains.
        lines = renumbered(line for line, _ in kept)
        (path / JOURNAL).write_bytes(b"".join(lines))
        journal = Journal(path / JOURNAL)
        named = {e.step for _, e in kept if isinstance(e, MeasurementEvent)}
        for taken in unrecorded:
            if taken.measurement.step not in named:
                event = record.event_of(taken.measurement, exposures=taken.exposures)
                journal.append(event)
                named.add(event.step)
        text = f"This record was saved here: {record.trouble}"
        journal.append(WarningEvent(step=len(named), text=text))
        journal.close()
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    return frozenset(named)


def _kept(record: Record, arrays: RunArrays) -> Iterator[tuple[bytes, JournalEvent]]:
    """Return the journal's lines and events, after copying their images and maps.

    Lines with unreadable maps are left out.
    """
    old = record.readable_arrays()
    for line, event in zip(record.lines, events_of(record.lines), strict=True):
        if isinstance(event, MapsEvent):
            if old is None or not _copied_maps(old, arrays, event):
                continue
        elif isinstance(event, SurveyAgainEvent):
            image = record.images.get(event.index)
            if image is None and old is not None:
                with suppress(DamagedArray):
                    image = old.survey(event.index, event.announced)
            if image is not None:
                arrays.write_survey(event.index, image)
        yield line, event


def _copied_maps(old: RunArrays, arrays: RunArrays, event: MapsEvent) -> bool:
    """Copy the maps of an event; return whether they could be read."""
    try:
        arrays.copy_maps(old, event.name, event.announced)
    except DamagedArray:
        return False
    return True
