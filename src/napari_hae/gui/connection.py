"""The instrument of one viewer: connection, guards, survey images and release."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_hae.experiment.changes import changes
from napari_hae.experiment.feasible import put_back
from napari_hae.experiment.survey import acquire_survey
from napari_hae.gui.system_signals import system_signals
from napari_hae.instruments.catalogue import guarded
from napari_hae.instruments.gate import Unconstrained
from napari_hae.regions.allowed_field import AllowedField

if TYPE_CHECKING:
    from pydantic import BaseModel

    from napari_hae.gui.session import Session
    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.dose import DoseLimits
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.regions.regions import Regions
    from napari_hae.types import ScanImage

    _Connected = tuple[GuardedInstrument, ScanImage | None, Capabilities]

logger = logging.getLogger(__name__)

NOT_TAKEN = (
    "No survey image was taken, as your regions close a part of the field. The last "
    "one stays: switch the regions off and take a new one if sample or field have "
    "changed."
)
NOT_HAD = (
    "Settings of before that this microscope cannot have were put back: the program {}."
)
CONNECTING = "Connecting"
DRAWN_ELSEWHERE = (
    "your regions close a part of the field, but were drawn for another one: switch "
    "them off, so that a survey image can be taken"
)


class Connection(QObject):
    """Connection of an instrument, made in the background; at most one at a time."""

    changed = Signal()
    """Emit when the instrument was connected or disconnected."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.instrument: GuardedInstrument | None = None
        self.name = ""
        self.settings: BaseModel | None = None
        self._opening: GuardedInstrument | None = None
        """Instrument while it connects and takes its first survey image."""
        self._connecting = threading.Lock()
        self._survey_of: tuple[str, BaseModel] | None = None

    @property
    def is_open(self) -> bool:
        """Return whether an instrument is connected."""
        return self.instrument is not None

    @property
    def reachable(self) -> GuardedInstrument | None:
        """Instrument that an abort reaches, including one that is still connecting."""
        return self.instrument or self._opening

    def open(self, name: str, settings: BaseModel) -> None:
        """Connect an instrument, if none is, and take a survey image.

        Regions are in force before the first electron: where they close a part of the
        field, the survey image of the previous connection is kept instead of a new one.
        """
        if self.is_open:
            return
        session = self._session
        wanted, limits = session.settings.survey, self._limits
        regions, frame = session.watcher.regions, session.layers.frame
        is_closed = frame is not None and regions.restricts
        if is_closed and self._survey_of != (name, settings):
            session.failed.emit(CONNECTING, DRAWN_ELSEWHERE)
            return

        def connect() -> _Connected:
            instrument = self._opening = guarded(name, settings)
            try:
                instrument.connect()
                instrument.limit_dose(limits)
                if frame is not None and is_closed:
                    instrument.set_constraint(AllowedField(frame, regions))
                    return instrument, None, instrument.capabilities()
                survey = acquire_survey(instrument, wanted)
                return instrument, survey, instrument.capabilities()
            except Exception:
                self._opening = None
                instrument.disconnect()
                raise

        def work() -> _Connected:
            with self._connecting:
                return connect()

        def done(result: _Connected) -> None:
            self.instrument, survey, able = result
            self._opening = None
            is_another = self.name not in ("", name)
            self.name, self.settings = name, settings
            session.mended.emit(CONNECTING)
            session.leave_run_of_another(name, settings)
            session.forget_chosen_band()
            if is_another:
                self._put_back(able)
            if survey is None:
                self.guard(session.watcher.regions)
                session.say(NOT_TAKEN, until=session.survey_changed)
            else:
                self._survey_of = name, settings
                session.show_survey(survey)
            self.changed.emit()

        def ended() -> None:
            if not self.is_open:
                system_signals().release(session)

        system_signals().hold(session)
        session.do(f"{CONNECTING} to {name}", work, done, ended)

    def _put_back(self, able: Capabilities) -> None:
        """Reset settings from another instrument that this one does not support."""
        session = self._session
        old = session.settings.model_dump(mode="json")
        if sections := put_back(session.settings, able):
            session.configure(**sections)
            new = session.settings.model_dump(mode="json")
            parts = (changes(each, old[each], new[each]) for each in sections)
            text = NOT_HAD.format("; ".join(chain.from_iterable(parts)))
            session.say(text, until=session.settings_changed)

    def close(self) -> None:
        """Stop the run, blank the beam and release the instrument."""
        instrument, runner = self.instrument, self._session.runner
        if instrument is None:
            return

        def work() -> None:
            if runner is not None:
                runner.stop()
                runner.wait()
            instrument.disconnect()

        def done(_: None) -> None:
            self.forget()

        self._session.do("Disconnecting", work, done)

    def let_go(self) -> None:
        """Disconnect at once, as the window or the program ends; on any thread.

        Waits for an instrument that is just connecting.
        """
        with self._connecting:
            # One that was connected just now may not be registered yet.
            instrument = self.reachable
            if instrument is None:
                return
            try:
                instrument.disconnect()
            except Exception:
                logger.exception("the microscope was not let go of as it should be")

    def forget(self) -> None:
        """Clear the instrument after its release."""
        self.instrument = self._opening = None
        system_signals().release(self._session)
        self.changed.emit()

    def acquire_survey(self) -> None:
        """Take a new survey image; not during a run."""
        instrument, session = self.instrument, self._session
        if instrument is None or not session.can_begin:
            return
        instrument.rearm()
        wanted, limits = session.settings.survey, self._limits
        if not session.watcher.regions.restricts:
            # The field may have changed by now: the new image has to show it.
            instrument.set_constraint(Unconstrained())

        def work() -> ScanImage:
            instrument.limit_dose(limits)
            return acquire_survey(instrument, wanted)

        session.do("Acquiring a survey image", work, session.show_survey)

    def guard(self, regions: Regions) -> None:
        """Put regions into force in the shown field, while no run does so."""
        frame = self._session.layers.frame
        if self.instrument is not None and frame is not None:
            self.instrument.set_constraint(AllowedField(frame, regions))

    def forget_survey(self) -> None:
        """Detach the shown survey image from any connection."""
        self._survey_of = None

    @property
    def _limits(self) -> DoseLimits:
        """Return the dose limits for survey images outside a run."""
        return replace(self._session.settings.budget.dose_limits, run_e=None)
