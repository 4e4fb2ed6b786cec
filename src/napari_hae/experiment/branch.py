"""New record that shares the beginning of another one, to try another continuation."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from napari_hae.experiment.damage import refuse
from napari_hae.experiment.journal import Journal, first_lines
from napari_hae.experiment.journal_events import Actor, BranchEvent, MeasurementEvent
from napari_hae.experiment.record import (
    ARRAYS,
    JOURNAL,
    RecordExists,
    check_free,
    named,
)
from napari_hae.experiment.record_files import NotARecord
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.writer_lock import WriterLock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.experiment.stored import StoredRun


def branch(record: Path, steps: int, out: Path, *, why: str = "") -> Path:
    """Begin a record with the first steps of another, which stays unchanged.

    Later changes by the user are not included; resuming the new record continues the
    run from there. `why` is the user's reason. Returns the new record's path.

    Raises
    ------
    NotARecord
        If the record has fewer steps.
    RecordExists
        If the new path exists.
    DamagedRecord
        If arrays of these steps are missing or damaged.
    """
    past = open_run(record)
    if not 0 < steps <= len(past.measurements):
        raise NotARecord(
            f"{past.path} has {len(past.measurements)} steps: branch after 1 to "
            f"{len(past.measurements)} of them, not after {steps}"
        )
    refuse(past.path, [each for each in past.damage if each.step < steps])
    path = named(out)
    check_free(path)
    count = _end_of(past.journal, steps)
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise RecordExists(f"{path} exists already; choose another name") from error
    try:
        with WriterLock(path):
            _write(past, steps, count, path, why)
    except BaseException:
        # An incomplete branch is removed, so that its name can be used again.
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path


def _write(past: StoredRun, steps: int, lines: int, path: Path, why: str) -> None:
    for experience in past.path.glob("*.npz"):
        shutil.copy2(experience, path)
    shutil.copytree(past.path / ARRAYS, path / ARRAYS)
    spectra = path / ARRAYS / "spectra" / "c"
    for chunk in [x for x in spectra.iterdir() if int(x.name) >= steps]:
        shutil.rmtree(chunk)
    # Written last: the journal defines what a record contains.
    (path / JOURNAL).write_bytes(first_lines(past.path / JOURNAL, lines))
    journal = Journal(path / JOURNAL)
    journal.append(
        BranchEvent(step=steps, who=Actor.PERSON, why=why, of=str(past.path))
    )
    journal.close()


def _end_of(events: Sequence[JournalEvent], steps: int) -> int:
    """Return the number of lines up to the last of the first measurements."""
    return 1 + max(
        event.n
        for event in events
        if isinstance(event, MeasurementEvent) and event.step == steps - 1
    )
