"""Continuation of a run in a new record: after a step, in a finer image, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hae.coordinates import place_text
from napari_hae.experiment.branch import branch
from napari_hae.experiment.damage import refuse
from napari_hae.experiment.events import RunPhase
from napari_hae.experiment.finer import (
    acquire_finer,
    back_from_finer,
    begin_finer,
    finer_frame,
)
from napari_hae.experiment.journal_events import EACH_STEP
from napari_hae.experiment.record import Record
from napari_hae.experiment.stored import StoredRun, open_run
from napari_hae.experiment.writer_lock import WriterLock
from napari_hae.instruments.base import InstrumentError
from napari_hae.regions.allowed_field import AllowedField

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_hae.coordinates import FieldFrame
    from napari_hae.gui.session import Session
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import Area, ScanImage

NO_IMAGE = "No image here"
NO_WAY_BACK = "Cannot go back"
BEGINNING = "Another run is being begun: wait until it goes."


@dataclass(frozen=True)
class _Successor:
    """Record that is open for writing, with its contents."""

    record: Record
    past: StoredRun

    @classmethod
    def of(cls, path: Path) -> _Successor:
        # Before it is read: no other writer can add to it afterwards.
        lock = WriterLock(path)
        try:
            # Written in this window, or trusted by the user.
            past = open_run(path, trust=True)
            refuse(past.path, past.damage)
            record = Record.reopen(past, lock=lock)
        except BaseException:
            lock.close()
            raise
        # The window shows all of the record's journal, not only the new events.
        record.noted[:0] = [x for x in past.journal if not isinstance(x, EACH_STEP)]
        return cls(record, past)


class Successors(QObject):
    """End a session's run in its own record, and continue it in another one.

    The currently painted regions hold in all of them.
    """

    changed = Signal()
    """Emit when the existence of an earlier record to return to has changed."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._wider: list[Path] = []

    @property
    def has_wider(self) -> bool:
        """Return whether the run uses a finer image of an earlier one's field."""
        return bool(self._wider)

    @property
    def no_way_back(self) -> str:
        """Reason why the shown run cannot be continued from a step; empty if it can.

        While another microscope is connected, no run of this one is shown.
        """
        session, wanted = self._session, self._session.record_instrument
        if session.record_path is None:
            return "There is no run yet to go back in."
        if session.is_beginning:
            return BEGINNING
        if not session.connection.is_open:
            return f"Connect the microscope of this run first: {wanted}."
        return ""

    def forget(self) -> None:
        """Reset after the start or opening of a run without predecessor."""
        self._wider.clear()
        self.changed.emit()

    def go_back(self, steps: int) -> None:
        """Continue from after `steps` steps, in a new record that shares them.

        An active run is stopped; later changes are not in the new one.
        """
        session, path = self._session, self._session.record_path
        if path is None or self.no_way_back:
            session.failed.emit(NO_WAY_BACK, self.no_way_back)
            return
        if not session.trust.covers_record():
            return
        out, why = session.free_path(), session.take_reason()

        def begin() -> Path:
            return branch(path, steps, out, why=why)

        said = f"Back after step {steps}, in a record of its own. Press Resume."
        self._replace("Going back", begin, said, paused=True)

    def image_here(self, area: Area) -> None:
        """Take a finer image of an area, and continue there.

        An active run ends in its own record; a new one includes the measurements inside
        the area. Without a run, the next one begins in the finer image. If the area
        cannot be imaged, nothing happens and the reason is shown.
        """
        session = self._session
        instrument, survey = session.connection.instrument, session.survey
        frame = session.layers.frame
        if instrument is None or survey is None or frame is None:
            return
        if (reason := self._refusal(instrument, frame, area)) is not None:
            session.failed.emit(NO_IMAGE, reason)
            return
        dwell_time_s = session.settings.survey.dwell_time_s

        def acquire() -> ScanImage:
            return acquire_finer(instrument, survey, area, dwell_time_s)

        old, path, settings = (
            session.runner,
            session.record_path,
            session.connection.settings,
        )
        if old is None or path is None or settings is None:
            instrument.rearm()
            session.begin("Imaging the area", acquire, session.show_survey)
            return
        out, regions = session.free_path(), session.watcher.regions
        why, was_paused = session.take_reason(), session.state is RunPhase.PAUSED

        def begin() -> Path:
            image = acquire()
            return begin_finer(
                open_run(path),
                image,
                out,
                instrument_settings=settings,
                regions=regions,
                why=why,
            )

        said = "The run goes on in the finer image, in a record of its own."

        def then() -> None:
            self._wider.append(path)
            self.changed.emit()

        self._replace("Imaging the area", begin, said, paused=was_paused, then=then)

    def go_wider(self) -> None:
        """Continue the record that the finer image was made from."""
        session, finer = self._session, self._session.record_path
        if not self._wider or finer is None:
            return
        if self.no_way_back:
            session.failed.emit(NO_WAY_BACK, self.no_way_back)
            return
        path, why = self._wider[-1], session.take_reason()

        def begin() -> Path:
            return back_from_finer(path, finer, why=why)

        def then() -> None:
            self._wider.pop()
            self.changed.emit()

        said = f"Back in {path.name}, where it was left. Press Resume."
        self._replace("Going back", begin, said, paused=True, then=then)

    def _refusal(
        self, instrument: GuardedInstrument, frame: FieldFrame, area: Area
    ) -> str | None:
        """Return the reason why an area cannot be imaged, before stopping a run."""
        regions = self._session.watcher.regions
        if self._session.is_beginning:
            return BEGINNING
        if self._session.has_moved:
            return self._session.has_moved
        try:
            able = instrument.capabilities()
            if not able.scans_areas:
                return "this microscope scans the whole field of view only"
            finer_frame(frame, area, able)
        except (InstrumentError, ValueError) as error:
            return str(error)
        reason = AllowedField(frame, regions).refusal_of_scan(area)
        where = place_text(area, frame.field_nm)
        return None if reason is None else f"an image of {where} {reason}"

    def _replace(
        self,
        name: str,
        make: Callable[[], Path],
        said: str,
        *,
        paused: bool,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Stop the run, make the record to continue with, and continue it."""
        session, old = self._session, self._session.runner
        presses = session.aborting.presses

        def work() -> _Successor:
            if old is not None:
                old.stop()
                old.wait()
            return _Successor.of(make())

        def done(new: _Successor) -> None:
            if session.go_on_with(new.record, new.past, presses, paused=paused):
                then()
                session.mended.emit(NO_IMAGE)
                session.mended.emit(NO_WAY_BACK)
                # Where it waits for the user, the message holds until it continues.
                until = session.live.measured if paused else session.started
                session.say(said, until=until)
            elif not session.connection.is_open:
                session.failed.emit(name, "the microscope was disconnected meanwhile")

        session.begin(name, work, done)
