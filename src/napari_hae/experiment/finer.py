"""Finer image of an area, and a record that continues another run in it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.schedule import Schedule
from napari_hae.coordinates import FieldFrame, place_text
from napari_hae.experiment.damage import refuse
from napari_hae.experiment.journal import Journal
from napari_hae.experiment.journal_events import (
    Actor,
    FinerEvent,
    SourceValues,
    VoteValues,
    WiderEvent,
)
from napari_hae.experiment.plans import ObjectsPlan
from napari_hae.experiment.record import JOURNAL, Record
from napari_hae.experiment.stored import open_run, record_at
from napari_hae.experiment.writer_lock import WriterLock
from napari_hae.types import ChosenBy, Proposal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pydantic import BaseModel

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.regions.regions import Regions
    from napari_hae.types import Area, Measurement, ScanImage

Pixel = tuple[int, int]
_NAN = math.nan


def finer_frame(before: FieldFrame, area: Area, able: Capabilities) -> FieldFrame:
    """Return the frame for an image of an area: square pixels, as many as before.

    Raises
    ------
    ValueError
        If the instrument's images are too small for finer pixels.
    """
    field = before.within(area, min(before.pixel_nm))
    height_nm, width_nm = field.fov_nm
    pixels = before.shape[0] * before.shape[1]
    rows, columns = (
        min(max(round(math.sqrt(pixels * ratio)), low), high)
        for ratio, low, high in zip(
            (height_nm / width_nm, width_nm / height_nm),
            able.smallest_survey_shape,
            able.largest_survey_shape,
            strict=True,
        )
    )
    frame = replace(field, shape=(rows, columns))
    is_finer = np.less(frame.pixel_nm, before.pixel_nm)
    if not is_finer.all():
        where = place_text(area, able.fov_nm)
        raise ValueError(
            f"an image of {where} with {rows} × {columns} pixels is no finer than the "
            "one that is shown: choose a smaller area"
        )
    return frame


def acquire_finer(
    instrument: GuardedInstrument, before: ScanImage, area: Area, dwell_time_s: float
) -> ScanImage:
    """Acquire a finer image of an area, with the same detectors.

    Raises
    ------
    InstrumentError
        If the instrument cannot scan areas, regions forbid a part of the area, or it
        fails.
    ValueError
        If the image would not be finer.
    """
    frame = finer_frame(FieldFrame.of(before), area, instrument.capabilities())
    return instrument.acquire_survey(before.detectors, frame.shape, dwell_time_s, area)


def begin_finer(
    past: StoredRun,
    image: ScanImage,
    out: Path,
    *,
    instrument_settings: BaseModel,
    regions: Regions,
    why: str = "",
) -> Path:
    """Begin a record in a finer image with the measurements of another one inside it.

    Settings, queued places, vetoes and votes are copied as far as they lie in the
    image; discarded measurements are not. The run continues by resuming the record,
    whose path is returned.

    Raises
    ------
    RecordExists
        If the path exists.
    DamagedRecord
        If spectra of the other record are missing or damaged.
    """
    refuse(past.path, past.damage_read)
    frame = FieldFrame.of(image)
    taken = [
        m
        for m in past.measurements
        if m.proposal.position in frame.area and m.step not in past.discarded
    ]
    record = Record.create(
        out,
        instrument=past.instrument,
        instrument_settings=instrument_settings,
        settings=_settings(past, frame, len(taken)),
    )
    record.survey(image)
    if regions.restricts or regions.soft:
        record.regions(len(taken), regions, old=None)
    now = {m.step: step for step, m in enumerate(taken)}
    area = image.area
    finer = FinerEvent(
        step=len(taken),
        who=Actor.PERSON,
        why=why,
        of=str(past.path),
        after=len(past.measurements),
        area=(area.left, area.top, area.right, area.bottom),
        taken=tuple(now),
        queue=tuple(_moved(past.queue, past.frame, frame)),
        kept_out=tuple(_covered(past.vetoed, past.frame, frame)),
        votes=tuple(
            VoteValues(of=now[step], vote=vote)
            for step, vote in past.votes.items()
            if step in now
        ),
    )
    record.finer(finer)
    for step, measurement in enumerate(taken):
        _take_along(record, measurement, step, frame, past)
    record.close()
    return record.path


def back_from_finer(record: Path, finer: Path, *, why: str = "") -> Path:
    """Note in a record that the run continues in it, after one in a finer image.

    Returns the record's path. Raises `RecordInUse` if it is being written.
    """
    path = record_at(record)
    with WriterLock(path):
        steps = len(open_run(path).measurements)
        journal = Journal(path / JOURNAL)
        journal.append(WiderEvent(step=steps, who=Actor.PERSON, why=why, of=str(finer)))
        journal.close()
    return path


def _take_along(
    record: Record,
    measurement: Measurement,
    step: int,
    frame: FieldFrame,
    past: StoredRun,
) -> None:
    """Copy a spectrum to the nearest of the new pixels."""
    position = measurement.proposal.position
    row, column = frame.pixel(position)
    proposal = Proposal(
        step=step,
        row=row,
        column=column,
        position=position,
        mean=_NAN,
        std=_NAN,
        value=_NAN,
        best=_NAN,
        chosen_by=ChosenBy.EARLIER,
        known=step,
    )
    record.proposal(proposal)
    copied = replace(measurement, proposal=proposal, outcome=None, times=None)
    source = SourceValues(record=str(past.path), step=measurement.step)
    record.measurement(copied, source, exposures=past.booked[measurement.step])


def _settings(past: StoredRun, frame: FieldFrame, taken: int) -> ExperimentSettings:
    """Return the settings in force, for the pixels and the steps of the new record."""
    settings = past.settings
    if isinstance(settings.plan, ObjectsPlan):
        pixels = _moved(settings.plan.pixels, past.frame, frame)
        plan = settings.plan.model_copy(update={"pixels": tuple(pixels)})
        settings = settings.replaced(plan=plan)
    if isinstance(settings.acquisition, Schedule):
        later = len(past.measurements) - taken
        settings = settings.replaced(acquisition=settings.acquisition.shifted(later))
    return settings


def _moved(pixels: Iterable[Pixel], old: FieldFrame, new: FieldFrame) -> list[Pixel]:
    """Return the new pixels at the centres of old ones, without those outside."""
    positions = [old.position(*pixel) for pixel in pixels]
    return [new.pixel(position) for position in positions if position in new.area]


def _covered(pixels: Iterable[Pixel], old: FieldFrame, new: FieldFrame) -> list[Pixel]:
    """Return all new pixels whose centres lie in one of the old pixels."""
    wanted = set(pixels)
    return [
        (row, column)
        for row, column in np.ndindex(new.shape)
        if wanted and old.pixel(new.position(row, column)) in wanted
    ]
