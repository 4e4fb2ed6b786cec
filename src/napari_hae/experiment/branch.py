"""A new record that shares the beginning of another one: to go back, and try else."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from napari_hae.experiment.damage import refuse
from napari_hae.experiment.journal import Journal
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

    from napari_hae.experiment.journal import Entry
    from napari_hae.experiment.stored import StoredRun


def branch(record: Path, steps: int, out: Path, *, why: str = "") -> Path:
    """Begin a record with the first steps of another, which stays as it is.

    What a person changed later than that is not in it; the run goes on from there by
    resuming it. `why` is the person's reason. Returns the new record's path.

    Raises
    ------
    NotARecord
        If the record has not so many steps.
    RecordExists
        If there is something at the new path.
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
    kept = _beginning(past.journal, steps)
    try:
        path.mkdir(parents=True)
    except FileExistsError as error:
        raise RecordExists(f"{path} exists already; choose another name") from error
    try:
        with WriterLock(path):
            _write(past, steps, kept, path, why)
    except BaseException:
        # Half of a branch is none, and its name is free again.
        shutil.rmtree(path, ignore_errors=True)
        raise
    return path


def _write(
    past: StoredRun, steps: int, kept: Sequence[Entry], path: Path, why: str
) -> None:
    for experience in past.path.glob("*.npz"):
        shutil.copy2(experience, path)
    shutil.copytree(past.path / ARRAYS, path / ARRAYS)
    spectra = path / ARRAYS / "spectra" / "c"
    for chunk in [x for x in spectra.iterdir() if int(x.name) >= steps]:
        shutil.rmtree(chunk)
    # Last: a record is what its journal names.
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in kept)
    (path / JOURNAL).write_text("".join(lines), encoding="utf-8")
    journal = Journal(path / JOURNAL)
    journal.append("branch", step=steps, who="human", why=why, of=str(past.path))
    journal.close()


def _beginning(entries: Sequence[Entry], steps: int) -> Sequence[Entry]:
    """The entries up to the last of the first measurements."""
    last = max(
        index
        for index, entry in enumerate(entries)
        if entry["event"] == "measurement" and entry["step"] == steps - 1
    )
    return entries[: last + 1]
