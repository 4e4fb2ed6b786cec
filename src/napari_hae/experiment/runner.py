"""State machine of a run, and its thread: propose, measure, learn."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_hae.agent.experience import experience_for
from napari_hae.agent.policy import Exhausted
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.controls import Order, Verdict
from napari_hae.experiment.ending import AbortedBy, Ending
from napari_hae.experiment.events import FinishReason, RunEvents, RunPhase, emit
from napari_hae.experiment.feasible import check_computable, check_feasible
from napari_hae.experiment.field import Field
from napari_hae.experiment.journal_events import Actor
from napari_hae.experiment.loop import NOWHERE, Loop
from napari_hae.experiment.oddities import IMAGE, oddities_of
from napari_hae.experiment.ordered_settings import OrderedSettings
from napari_hae.experiment.progress import NO_PROGRESS, NoProgress
from napari_hae.experiment.record import RecordLost
from napari_hae.experiment.rescue import rescue
from napari_hae.experiment.settings_patch import SettingsPatch
from napari_hae.experiment.steered import Steered
from napari_hae.experiment.survey import acquire_survey
from napari_hae.experiment.taken import taken_before
from napari_hae.experiment.targets import Targets
from napari_hae.instruments.base import Aborted, DoseExceeded, InstrumentError
from napari_hae.instruments.broken_off import told
from napari_hae.instruments.delivered import check_image
from napari_hae.instruments.dose import DoseLimits, Exposure
from napari_hae.regions.regions import Regions

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import (
        BeamState,
        Measurement,
        PredictionMaps,
        Proposal,
        ScanImage,
    )

logger = logging.getLogger(__name__)

HELD = (
    "{}. The beam is blanked, and nothing is lost: put it right and press Resume, or "
    "press Stop, and all spectra are saved elsewhere; where, you may choose before."
)
_REGIONS = "regions"
_SETTINGS = "settings"
_BY_ITSELF = frozenset({FinishReason.COMPLETED, FinishReason.EXHAUSTED})


def _nowhere_to_go(loop: Loop) -> str:
    """Return advice for the user if no position is left."""
    if loop.has_left_field:
        return (
            f"Nothing can be measured: {loop.why_nowhere}. Move the sample back and "
            "survey again, then press Resume, or press Stop."
        )
    look = ", or survey again" if loop.following.drift.is_followed else ""
    return (
        f"Every position that the regions allow is measured. Widen them{look}, and "
        "press Resume, or press Stop."
    )


class _Stopped(Exception):
    """End of a run by an order."""


class Runner(Steered):
    """One run: owns the instrument on its own thread, and keeps the record.

    Every method may be called from any thread and returns at once, except `wait`.
    Orders take effect at the next step's boundary; `abort` and `set_regions` reach the
    gate at once. The user's actions during the run are in `Steered`.

    Parameters
    ----------
    instrument
        Connected, behind its gate.
    record
        Open for writing; the runner closes it.
    settings
        Initial settings.
    survey
        Survey image of the run; None: acquire one.
    regions
        Allowed area of the beam.
    past
        Stored run to continue; its survey image and regions replace those above. One
        that ended before its survey image starts again, with its settings.
    attended
        True if a user is present who can widen the regions: the run then pauses, and
        does not end, when all allowed places are measured.

    Raises
    ------
    NotTrusted
        If the stored run names code or files that the user has not agreed to use.
    MissingPart
        If a part of it is not installed.
    """

    def __init__(
        self,
        instrument: GuardedInstrument,
        record: Record,
        settings: ExperimentSettings,
        *,
        survey: ScanImage | None = None,
        regions: Regions | None = None,
        past: StoredRun | None = None,
        attended: bool = False,
    ) -> None:
        if past is not None:
            past.expect_usable()
        super().__init__(instrument, record, past.queue if past else ())
        self.events = RunEvents()
        self._targets = Targets(settings.scalarizer)
        record.may_try_again = self._may_try_again
        # A run that ended before its survey image leaves only its settings, and the
        # dose of exposures without result.
        is_begun = past is not None and past.survey is not None
        self._past = past if is_begun else None
        self._unbegun = None if is_begun else past
        self._attended = attended
        self._first_settings = settings
        self._settings = OrderedSettings(settings)
        self._survey = (past.survey if past else None) or survey
        self._field = Field(
            instrument, (past.regions if past else regions) or Regions()
        )
        self._swapping = threading.Lock()
        self._loop: Loop | None = None
        self._able: Capabilities | None = None
        self._thread: threading.Thread | None = None
        self._beam_at_end: BeamState | None = None
        self._preparing = ""
        """Preparation in progress before the first step; empty if there is none."""
        self.finish_reason: FinishReason | None = None
        """Reason for the end of the run; None before."""
        self.finish_text = ""
        """Details of that reason, or empty."""

    @property
    def settings(self) -> ExperimentSettings:
        """Return the settings in force."""
        return self._settings.in_force

    @property
    def wanted_settings(self) -> ExperimentSettings:
        """Return the settings in force with all pending changes."""
        return self._settings.wanted

    @property
    def survey(self) -> ScanImage | None:
        """Return the survey image of the run, once there is one."""
        return self._survey

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Return all measurements so far, in order, with the targets in force."""
        return self._targets.measurements

    @property
    def drift_nm(self) -> tuple[float, float]:
        """Return the drift `(y, x)` of the sample since the survey image, if known."""
        return self._field.drift_nm

    @property
    def latest_maps(self) -> PredictionMaps | None:
        """Return the newest predicted maps; to be polled, as they are never queued."""
        return self._loop.maps if self._loop else None

    @property
    def latest_picture(self) -> NDArray[np.float32] | None:
        """Return the model's view of all candidates, `(n, 2)`; None before a fit."""
        return self._loop.picture if self._loop else None

    @property
    def latest_proposal(self) -> Proposal | None:
        """Return the proposal in progress, waiting for approval, or the last one."""
        return self._loop.proposal if self._loop else None

    @property
    def waits_for(self) -> str:
        """Return the work that must finish before the run can go on; empty if none."""
        return self._loop.waits_for if self._loop else self._preparing

    def start(self, *, paused: bool = False) -> None:
        """Start the run's thread; a runner starts once.

        Raises
        ------
        RuntimeError
            If it was already started.
        """
        if self._thread is not None:
            raise RuntimeError("a runner starts once; make another for the next run")
        if paused:
            self._controls.pause()
        # Here, not on the thread, so that any later abort stays in force.
        self._instrument.rearm()
        self._thread = threading.Thread(target=self._run, name="napari-hae-experiment")
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the run has ended; return False on a time-out."""
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def configure(self, *, why: str = "", **sections: Any) -> None:
        """Change settings at the next boundary.

        Only the given fields change; earlier pending changes of other fields stay. Seed
        and initial design do not change during a run, which continues with its own.

        Parameters
        ----------
        sections
            New values of the fields by section, as in `budget={"steps": 50}`, or a
            model that replaces the section.

        Raises
        ------
        ValueError
            If the scalarizer's band does not lie on the spectra's energy axis, the
            instrument cannot expose as wanted, the model cannot be computed or learn
            from the earlier run that it names, or the dose is to be limited and the
            beam current is unknown.
        """
        change = SettingsPatch(sections)
        self._check(change.applied_to(self.wanted_settings))
        self._settings.order(change, why)
        self._controls.change(_SETTINGS, None)

    def _check(self, settings: ExperimentSettings) -> None:
        """Raise `ValueError` if the run cannot continue with the settings."""
        if settings.scalarizer != self.settings.scalarizer:
            self._targets.check(settings.scalarizer)
        if self._able is not None:
            check_feasible(settings, self._able, self._targets.energy)
        limits = settings.budget.dose_limits
        if (refusal := self._instrument.refusal_of_limits(limits)) is not None:
            raise ValueError(refusal)
        if settings.model != self.settings.model:
            check_computable(settings.model)
            if self._survey is not None:
                experience_for(settings.model, len(self._survey.data))

    def set_regions(self, regions: Regions, *, why: str = "") -> None:
        """Replace the regions: at the gate at once, then in the agent's mask."""
        with self._swapping:
            try:
                self._field.set_regions(regions)
            finally:
                self._controls.change(_REGIONS, regions, why)

    def _run(self) -> None:
        reason, text = FinishReason.FAILED, ""
        try:
            self._loop = self._prepare()
            reason, text = self._take_steps(self._loop)
        except _Stopped:
            reason, text = FinishReason.STOPPED, self._controls.stopped_why
            if self._aborted_by is not None:
                reason = FinishReason.ABORTED
        except Aborted as error:
            reason = FinishReason.ABORTED
            if self._aborted_by is None:
                self._aborted_by, text = AbortedBy.MICROSCOPE, str(error)
        except Exhausted as error:
            reason, text = FinishReason.EXHAUSTED, str(error)
        except DoseExceeded as error:
            text = str(error)
            if self.measurements:
                reason = FinishReason.COMPLETED
        except (InstrumentError, ValueError, OSError) as error:
            text = str(error)
            logger.info("the run failed", exc_info=True)
        # Any exception of a plugin must end with a message and a blanked beam.
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            logger.exception("the run failed")
        # This includes exceptions that end a thread silently, such as an instrument's
        # `sys.exit`.
        except BaseException as error:
            text = told(error)
            logger.info("the run failed", exc_info=True)
        finally:
            if self._interrupted_by and reason not in _BY_ITSELF:
                # An abort has a message of its own, which needs no repetition.
                more = text if reason is FinishReason.FAILED else ""
                text = "; ".join(filter(None, (self._interrupted_by, more)))
                reason = FinishReason.INTERRUPTED
            self._finish(reason, text)

    def _prepare(self) -> Loop:
        self._set_state(RunPhase.INITIALISING)
        # Starting has cleared an abort that came before.
        self._check_not_aborted()
        able = self._able = self._instrument.capabilities()
        # Before the first electron reaches the sample.
        check_feasible(self._first_settings, able, None)
        check_computable(self._first_settings.model)
        past = self._past or self._unbegun
        self._instrument.begin_run(taken_before(self._survey, past))
        self._instrument.limit_dose(self._first_settings.budget.dose_limits)
        is_fresh = self._survey is None
        self._preparing = "taking the survey image" if is_fresh else ""
        survey = self._survey or self._acquire_survey()
        check_image(survey)
        if self._past is None:
            booked = self._instrument.would_book(Exposure.of_scan(survey))
            if is_fresh and self._instrument.booked is not None:
                booked = self._instrument.booked
            self.record.survey(survey, replace(booked, mark=""))
        self._survey, self._shape = survey, survey.shape
        self._field.begin(FieldFrame.of(survey))
        detector = able.spectrum_detector(self._first_settings.measurement.detector)
        self._targets.energy = detector.energy
        self._targets.check(self._first_settings.scalarizer)
        if self._first_settings.model.earlier is not None:
            self._preparing = "reading what was learned from earlier runs"
        experience_for(self._first_settings.model, len(survey.data))
        loop = self._make_loop(survey, is_fresh=is_fresh)
        emit(self.events.survey_acquired, survey)
        if text := oddities_of(survey):
            loop.warnings.stand_once(IMAGE, text)
        if self._past is not None:
            done = len(self._past.measurements)
            self._preparing = f"leading the agent through the {done} steps so far"
            loop.take_up(self._past, self._first_settings, self._check_not_aborted)
        elif self._field.regions.restricts or self._field.regions.soft:
            loop.change_regions(self._field.regions)
        if self._unbegun is not None:
            change = SettingsPatch.between(loop.settings, self._first_settings)
            loop.in_force.change(change, who=Actor.RESUME)
        if self._targets.is_undecided and detector.suggested_band_ev is not None:
            loop.in_force.take_band(*detector.suggested_band_ev, who=Actor.INSTRUMENT)
        return loop

    def _check_not_aborted(self) -> None:
        if self._aborted_by is not None:
            raise _Stopped

    def _acquire_survey(self) -> ScanImage:
        """Acquire the first survey image, with the regions already in force."""
        able = self._instrument.capabilities()
        self._field.begin(FieldFrame(able.survey_shape, able.fov_nm))
        return acquire_survey(self._instrument, self._first_settings.survey)

    def _make_loop(self, survey: ScanImage, *, is_fresh: bool) -> Loop:
        past = self._past
        if self._unbegun is not None:
            self._settings.settle(self._unbegun.settings)
        return Loop(
            instrument=self._instrument,
            record=self.record,
            events=self.events,
            targets=self._targets,
            settings=self._settings,
            survey=survey,
            field=self._field,
            agree=self._agree,
            may_go_on=self._controls.is_free,
            pause=self._controls.pause,
            queue=self.queue,
            past=past,
            is_fresh=is_fresh,
        )

    def _take_steps(self, loop: Loop) -> tuple[FinishReason, str]:
        while True:
            self._boundary()
            if text := loop.in_force.spent_budget():
                return FinishReason.COMPLETED, text
            try:
                if loop.survey_if_due():
                    loop.take_steps()
            except NoProgress as error:
                if not self._attended:
                    return FinishReason.FAILED, str(error)
                self._controls.pause()
                loop.warnings.stand(
                    NO_PROGRESS, f"The run is paused: {error}; press Resume, or Stop."
                )
            except Exhausted:
                with self._swapping:
                    is_ordered = self._controls.has_orders()
                    restricts = self._field.regions.restricts
                # They may have allowed further places, and must not be lost.
                if is_ordered:
                    continue
                loop.decide_band_at_last()
                left = loop.has_left_field
                if not (self._attended and (restricts or left)):
                    return FinishReason.EXHAUSTED, loop.why_nowhere
                # The user may be about to allow further positions.
                self._controls.pause()
                loop.warnings.stand(NOWHERE, _nowhere_to_go(loop))

    def _boundary(self) -> None:
        """Carry out pending orders; return when the next step may begin."""
        loop = self._loop
        assert loop is not None
        while (order := self._controls.order()) is not Order.GO:
            if order is Order.STOP:
                raise _Stopped
            if order is Order.CHANGE:
                self._apply(self._controls.take_changes())
                for human_order in self._controls.take_orders():
                    loop.obey(human_order)
            else:
                self._set_state(RunPhase.PAUSED)
                loop.show_changes()
                with loop.following.waiting():
                    self._controls.wait_for_order()
        self._set_state(RunPhase.RUNNING)

    def _apply(self, changes: dict[str, tuple[Any, str]]) -> None:
        assert self._loop is not None
        if _REGIONS in changes:
            regions, why = changes[_REGIONS]
            self._loop.change_regions(regions, why=why)
        if _SETTINGS in changes:
            self._change_settings(self._loop)

    def _change_settings(self, loop: Loop) -> None:
        """Put pending changes in force, except unusable ones."""
        change, whys, refused = SettingsPatch(), [], []
        for ordered in self._settings.take():
            more = change.then(ordered.change)
            try:
                # It could not be checked while the run was being prepared.
                self._check(more.applied_to(self.settings))
            except ValueError as error:
                refused.append(str(error))
                continue
            change = more
            whys += [ordered.why] if ordered.why else []
        loop.in_force.change(change, who=Actor.PERSON, why="; ".join(whys))
        for text in refused:
            loop.warnings.say(f"A change of the settings cannot be used: {text}.")
        if refused:
            emit(self.events.settings_changed, loop.step, self.settings)

    def _agree(self, proposal: Proposal) -> Verdict | None:
        if self._controls.takes_alone():
            return Verdict(True)
        assert self._loop is not None
        self._controls.ask()
        self._set_state(RunPhase.WAITING)
        with self._loop.following.waiting():
            return self._controls.wait_for_verdict(self._loop.in_force.time_left_s)

    def _set_state(self, state: RunPhase) -> None:
        if state is not self._state:
            self._state = state
            emit(self.events.state_changed, state)

    def _finish(self, reason: FinishReason, text: str) -> None:
        self.finish_reason, self.finish_text = reason, text
        self._set_state(RunPhase.FINISHING)
        for let_go in (
            self._instrument.blank,
            self._read_beam,
            self._decide_at_last,
            # The limits stay in force until the last exposure has ended.
            self._close_loop,
            self._lift_dose_limit,
            self._close_record,
            self._save_elsewhere,
        ):
            # A failing step must not prevent the others.
            try:
                let_go()
            except BaseException as error:
                if not isinstance(error, RecordLost):
                    logger.exception("the end of the run failed in part")
                self.finish_reason = FinishReason.FAILED
                if told(error) not in self.finish_text:
                    self.finish_text = f"{self.finish_text} {told(error)}".strip()
        self._set_state(RunPhase.IDLE)
        emit(self.events.finished, self.finish_reason, self.finish_text)

    @property
    def ending(self) -> Ending | None:
        """Return the end of the run; None before."""
        return None if self.finish_reason is None else self._ending()

    def _ending(self) -> Ending:
        assert self.finish_reason is not None
        reasons = FinishReason.ABORTED, FinishReason.INTERRUPTED
        is_aborted = self.finish_reason in reasons
        return Ending(
            self.finish_reason,
            self.finish_text,
            self._aborted_by if is_aborted else None,
            len(self.measurements),
            self._beam_at_end,
        )

    def _decide_at_last(self) -> None:
        """Choose a missing band for a completed run, even from few spectra."""
        is_over = self.finish_reason is FinishReason.COMPLETED
        if is_over and self._loop is not None:
            self._loop.decide_band_at_last()

    def rescue(self, folder: Path | None = None) -> Path:
        """Save the whole content of the record elsewhere, as a new record.

        For a run whose `record.trouble` gives the reason why it cannot be written;
        while it waits, or after its end. Waits for an exposure in progress. By default
        the new record is beside the old one, or else in the folder for temporary files.
        Returns its path.

        Raises
        ------
        OSError
            If it cannot be written there.
        """
        # First: work completed meanwhile is then in the record, or among the
        # measurements.
        unrecorded = self._loop.unrecorded() if self._loop else []
        return rescue(self.record, self.measurements, self._survey, folder, unrecorded)

    def _may_try_again(self, trouble: str) -> bool:
        """Pause until the user has solved the problem that prevents recording.

        An exposure in progress completes, and the beam is blanked after it.
        """
        if not self._attended:
            return False
        self._controls.pause()
        # Not a warning of the record, as nothing can be recorded.
        text = HELD.format(trouble)
        emit(self.events.warned, text)
        state = self._state
        self._set_state(RunPhase.PAUSED)
        goes_on = self._controls.wait_to_go_on()
        emit(self.events.warning_over, text)
        self._set_state(state)
        return goes_on

    def _save_elsewhere(self) -> None:
        """Save announced data that the user has not saved yet."""
        if self._attended and self.record.trouble:
            saved = self.record.saved_at or self.rescue()
            self.finish_text += f" All spectra are saved: {saved}"

    def _lift_dose_limit(self) -> None:
        self._instrument.limit_dose(DoseLimits())

    def _read_beam(self) -> None:
        """Read back the beam state after blanking."""
        self._beam_at_end = self._instrument.status().beam

    def _close_loop(self) -> None:
        if self._loop is not None:
            self._loop.close()

    def _close_record(self) -> None:
        assert self.finish_reason is not None
        try:
            self.record.end(self._ending())
        finally:
            self.record.close()
