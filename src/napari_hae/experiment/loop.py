"""Sequence of steps: propose, check, measure, record, learn."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_hae.agent.scalarizers import ScalarizerError
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.choice import Choice
from napari_hae.experiment.consent import Consent
from napari_hae.experiment.events import emit
from napari_hae.experiment.exposures import Exposures, Judge
from napari_hae.experiment.following import Following
from napari_hae.experiment.in_force import InForce
from napari_hae.experiment.insight import with_outcome
from napari_hae.experiment.journal_events import Actor
from napari_hae.experiment.oddities import ELSEWHERE, STATED, placed_elsewhere
from napari_hae.experiment.progress import NO_PROGRESS, Progress
from napari_hae.experiment.record import RecordLost
from napari_hae.experiment.refusals import LostExposure, Refusal, RefusalReason
from napari_hae.experiment.resume import replay
from napari_hae.experiment.sentences import refusal_text
from napari_hae.experiment.settings_patch import SettingsPatch
from napari_hae.experiment.steering import Steering
from napari_hae.experiment.times import StepClock
from napari_hae.experiment.warnings import Warnings
from napari_hae.experiment.watch import Watch
from napari_hae.instruments.base import ForbiddenPosition, LocalDoseExceeded
from napari_hae.instruments.broken_off import told
from napari_hae.types import ChosenBy, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.controls import Verdict
    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.field import Field
    from napari_hae.experiment.ordered_settings import OrderedSettings
    from napari_hae.experiment.orders import HumanOrder
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.experiment.targets import Targets
    from napari_hae.instruments.dose import Exposure
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.regions.allowed_field import AllowedField
    from napari_hae.regions.regions import Regions
    from napari_hae.types import (
        PredictionMaps,
        ProbePosition,
        Proposal,
        ScanImage,
        Spectrum,
    )


TARGETS_PER_SECOND = 2
"""Targets of records of older formats differ: all spectra are scored again."""
NOWHERE = "nowhere to measure"
"""Subject of a warning that stays until the user widens the regions."""


@dataclass(frozen=True)
class Begun:
    """Proposal that is being measured, and the field at its start."""

    proposal: Proposal
    allowed: AllowedField
    is_followed: bool

    @property
    def meant(self) -> ProbePosition:
        """Return the intended position of the beam."""
        return self.allowed.position(self.proposal.position)


@dataclass(frozen=True)
class Refused:
    """Proposal that will not be measured, and the reason."""

    proposal: Proposal
    refusal: Refusal


@dataclass(frozen=True)
class Taken:
    """Measurement that is not scored yet, and its exposures."""

    measurement: Measurement
    exposures: Sequence[Exposure]


class Loop:
    """Steps of a run, on the experiment's thread.

    Parameters
    ----------
    field
        Allowed area of the beam, and position of the sample.
    agree
        See `Consent`.
    may_go_on
        Returns whether the next step may begin at once, since no order waits.
    pause
        Orders a pause.
    settings
        Initial settings; replaced by those of `past`.
    is_fresh
        True if the survey image has just been taken.
    """

    def __init__(
        self,
        *,
        instrument: GuardedInstrument,
        record: Record,
        events: RunEvents,
        targets: Targets,
        settings: OrderedSettings,
        survey: ScanImage,
        field: Field,
        agree: Callable[[Proposal], Verdict | None],
        may_go_on: Callable[[], bool],
        pause: Callable[[], None],
        queue: PlaceQueue,
        past: StoredRun | None,
        is_fresh: bool,
    ) -> None:
        self.proposal: Proposal | None = None
        """Proposal in progress, or the last one."""
        self._recording: Taken | None = None
        """Measurement that is being recorded; may wait for the user to solve a
        problem."""
        self._exposed: Begun | None = None
        """Proposal that is being exposed, and not waited for yet."""
        self._record, self._events, self._targets = record, events, targets
        self._field = field
        self._may_go_on, self._pause = may_go_on, pause
        self._exposures = Exposures(instrument)
        self._agent_s = 0.0
        self._progress = Progress()
        self._clock, self._watch = StepClock(), Watch()
        self.warnings = Warnings(record, events, lambda: self.step)
        self._consent = Consent(
            field=field,
            queue=queue,
            clock=self._clock,
            agree=agree,
            look_again=self._look_again,
            is_time_over=lambda: self.in_force.is_time_over(),
        )
        self.following = Following(
            instrument=instrument,
            record=record,
            events=events,
            survey=survey,
            field=field,
            warnings=self.warnings,
            is_fresh=is_fresh,
            past=past,
        )
        if past is not None:
            settings.settle(past.settings)
        first = past.first_settings if past else settings.in_force
        self._advisor = Advisor(survey, first)
        self._choice = Choice(self._advisor, record, queue, self._open)
        self.in_force = InForce(
            instrument=instrument,
            record=record,
            events=events,
            targets=targets,
            advisor=self._advisor,
            choice=self._choice,
            warnings=self.warnings,
            settings=settings,
            completed=lambda new, old: self._steering.completed(new, old),
            search_anew=self._search_anew,
        )
        self._steering = Steering(
            record=record,
            targets=targets,
            queue=queue,
            change_settings=lambda change, who: self.in_force.change(change, who=who),
            drop_ahead=self._choice.drop_ahead,
            retarget=self.in_force.retarget_at_once,
            survey_again=self._survey_as_asked,
        )

    def take_up(
        self,
        past: StoredRun,
        new: ExperimentSettings,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Continue as the stored run would have, and put new settings in force.

        An exception of `check` cancels it.
        """
        is_asked = replay(past, self._advisor, check)
        # Look-ahead as the stored run would have done it with the steps left.
        self._advisor.reschedule(past.settings.replaced(budget=new.budget))
        self._advisor.maps = self._advisor.chosen_on = past.latest_maps()
        self._targets.restore(past)
        self._watch.catch_up(past.measurements, self.settings, past.journal)
        is_older = past.format < TARGETS_PER_SECOND

        def allowed(step: int) -> AllowedField:
            moved = self.following.proposed_at[step]
            return self._field.as_it_was(past.regions_begun[step], moved)

        self._choice.take_up(past, allowed, is_asked=is_asked or is_older)
        if is_older:
            self.in_force.retarget()
        change = SettingsPatch.between(self.settings, new)
        self.in_force.change(change, who=Actor.RESUME)
        # The scalarizer may have failed before, and been repaired since.
        if self._targets.score_last_again():
            self.in_force.tell_targets()

    @property
    def settings(self) -> ExperimentSettings:
        """Return the settings in force."""
        return self.in_force.settings

    @property
    def maps(self) -> PredictionMaps | None:
        """Return the newest predicted maps."""
        return self._advisor.maps

    @property
    def picture(self) -> NDArray[np.float32] | None:
        """Return the model's view of all candidates, `(n, 2)`."""
        return self._advisor.picture

    @property
    def waits_for(self) -> str:
        """Return the computation that the beam waits for; empty if it does not wait."""
        return self._advisor.waits_for

    @property
    def step(self) -> int:
        """Return the number of the next step, from 0."""
        return len(self._targets)

    def close(self) -> None:
        """Store the last maps, and end the threads of the beam and of the agent.

        Run every clean-up step; re-raise the first error.
        """
        errors = []
        for let_go in (
            self._exposures.close,
            self._note_lost,
            self._keep_last_maps,
            self._advisor.close,
        ):
            try:
                let_go()
            except BaseException as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def change_regions(self, regions: Regions, *, why: str = "") -> None:
        """Apply new regions to the agent's mask and preference from now on."""
        self._choice.prefer(regions.preference(self._open().frame))
        old = self._record.state.regions
        self._record.regions(self.step, regions, old=old, why=why)
        self._search_anew()
        if self._choice.has_places:
            self.warnings.end(NOWHERE)

    def unrecorded(self) -> list[Taken]:
        """Return unrecorded measurements, after their exposures; on any thread.

        Not all of them are scored.
        """
        recording, exposed = self._recording, self._exposed
        taken = [] if recording is None else [recording]
        under_way = self._exposures.under_way()
        if exposed is not None and under_way is not None:
            spectrum, exposures = under_way
            taken.append(Taken(_unscored(exposed, spectrum), exposures))
        return taken

    @property
    def why_nowhere(self) -> str:
        """Return the reason why no position is left to measure."""
        return self._choice.why_nowhere()

    @property
    def has_left_field(self) -> bool:
        """Return whether unmeasured places have drifted out of the field of view."""
        return self._choice.left_field() > 0

    def decide_band_at_last(self) -> None:
        """Choose a band that is still missing, from the spectra so far."""
        self.in_force.decide_band(self.step, is_last=True)

    def show_changes(self) -> None:
        """Recompute the maps for changed inputs, while the run is paused."""
        self._choice.preview(self.step)

    def obey(self, order: HumanOrder) -> None:
        """Carry out an order of the user."""
        self._steering.obey(order, self.settings)

    def survey_if_due(self) -> bool:
        """Repeat the survey image if it is due; return False if the run is to pause.

        Raises
        ------
        InstrumentError
            If the instrument fails, or the dose does not suffice.
        """
        wanted = self.settings.drift
        if not self.following.is_due(self.step, wanted):
            return True
        is_found = self.following.survey_again(self.step, wanted)
        if is_found or not wanted.pause:
            return True
        self._pause()
        return False

    def _open(self) -> AllowedField:
        """Return the pixels allowed for the agent, by the regions in the journal.

        Later changes of the regions are already in force at the gate and for consent.
        """
        return self._field.allowed(self._record.state.regions)

    def _look_again(self) -> bool:
        """Locate the sample after an interval without images; return False if lost."""
        is_found = self.survey_if_due()
        self.following.move()
        return is_found

    def _survey_as_asked(self, why: str) -> None:
        wanted = self.settings.drift
        is_found = self.following.survey_again(
            self.step, wanted, is_asked=True, why=why
        )
        if not is_found and wanted.pause:
            self._pause()

    def take_steps(self) -> None:
        """Measure the proposals that are not refused.

        Continues with the next step, without a boundary between, while its proposal is
        known and no order waits: it is exposed while the last one is recorded.

        Raises
        ------
        Exhausted
            If no allowed candidate is left.
        NoProgress
            If several steps in a row gave no result.
        InstrumentError
            If the instrument fails, or the gate refuses for another reason than the
            position.
        """
        with self._clock.going():
            try:
                self.in_force.decide_band(self.step)
                self._take_steps(self._begin(self.step))
            except RecordLost:
                self._keep_unscored()
                raise
        self._progress.check()

    def _take_steps(self, begun: Begun | Refused | None) -> None:
        while isinstance(begun, Begun):
            proposal = begun.proposal
            self._look_ahead(proposal.step)
            try:
                spectrum = self._wait()
            except BaseException as error:
                self._note_lost(LostExposure.FAILED, told(error))
                if not isinstance(error, ForbiddenPosition | LocalDoseExceeded):
                    raise
                is_dose = isinstance(error, LocalDoseExceeded)
                reason = (
                    RefusalReason.LOCAL_DOSE if is_dose else RefusalReason.FORBIDDEN
                )
                begun = Refused(proposal, Refusal(reason, str(error)))
                break
            taken = self._taken(begun, spectrum)
            following = None
            try:
                following = self._begin_next(proposal.step + 1)
            finally:
                try:
                    self._keep(taken)
                except ScalarizerError:
                    self._keep_unscored()
                    if isinstance(following, Refused):
                        self._refuse(following)
                    raise
            begun = following
        # Only now: until the previous step is in the journal, a run that is resumed
        # there would compute ahead again the proposals that this withdraws.
        if begun is not None:
            self._refuse(begun)

    def _wait(self) -> Spectrum:
        """Return the spectrum being exposed. Raises the errors of `Exposures.wait`."""
        try:
            return self._exposures.wait()
        finally:
            self._exposed = None

    def _keep_unscored(self) -> None:
        """Record the exposure in progress unscored: its dose is spent."""
        if (exposed := self._exposed) is not None:
            under_way = self._taken(exposed, self._wait())
            self._write(under_way, under_way.measurement)

    def _taken(self, begun: Begun, spectrum: Spectrum) -> Taken:
        """Return the measurement that has just been exposed, before it is scored."""
        exposures = self._exposures.take_booked()
        # Recording starts here.
        self._recording = Taken(_unscored(begun, spectrum), exposures)
        self._progress.exposed(self._targets.why_foreign(spectrum))
        self.following.exposed(spectrum.exposure_s)
        for exposure in self._exposures.take_left_out():
            field_nm = self._open().frame.field_nm
            self._record.booked(exposure, field_nm, LostExposure.OTHER_AXIS)
            self.warnings.say(
                f"Left out: an exposure of step {begun.proposal.step + 1} has another "
                "energy axis than those before it, and was not added to them. Look at "
                "the detector."
            )
        if text := self._exposures.take_corrected():
            self.warnings.stand_once(STATED, text)
        else:
            self.warnings.end(STATED)
        self._warn_of_place(begun, spectrum)
        times = self._clock.times(
            self._exposures.interval, self._agent_s, self._record.disk_s
        )
        measurement = replace(self._recording.measurement, times=times)
        self._recording = Taken(measurement, exposures)
        return self._recording

    def _warn_of_place(self, begun: Begun, spectrum: Spectrum) -> None:
        """Warn if a spectrum was taken at another place than intended."""
        meant = begun.meant
        if text := placed_elsewhere(spectrum.position, meant, begun.allowed.frame):
            self.warnings.stand_once(ELSEWHERE, text)
        else:
            self.warnings.end(ELSEWHERE)

    def _begin(self, step: int) -> Begun | Refused:
        """Start measuring the proposal for a step."""
        self.following.move()
        proposal = self.proposal = self._choice.proposal(
            step, self.settings, waited_s=self.following.waited_s
        )
        self._agent_s = self._advisor.took_s
        self.warnings.end(NOWHERE)
        emit(self._events.proposed, proposal)
        refusal = self._consent.refusal(proposal, asks=self.settings.loop.approve)
        if refusal is not None:
            return Refused(proposal, refusal)
        allowed, wanted = self._field.allowed(), self.settings.measurement
        position = allowed.position(proposal.position)
        track = self.following.track(proposal.position)
        self._exposures.begin(position, wanted, self._judge(proposal), track)
        self._exposed = Begun(proposal, allowed, self.following.drift.is_followed)
        return self._exposed

    def _begin_next(self, step: int) -> Begun | Refused | None:
        """Start a step whose predecessor is not recorded yet, if that is possible."""
        # The sample drifts meanwhile, which changes the allowed pixels.
        self.following.move()
        if (
            self.settings.loop.approve
            or self._progress.is_lacking
            or self._targets.is_undecided
            or step >= self.settings.budget.steps
            or not self._choice.is_known(step, self.settings)
            or not self._may_go_on()
            or self.following.is_due(step, self.settings.drift)
            or self.in_force.is_time_over()
        ):
            return None
        return self._begin(step)

    def _judge(self, proposal: Proposal) -> Judge | None:
        """Return the judge of the exposure; None if one exposure gives a first look."""
        first_look = proposal.chosen_by is ChosenBy.INITIAL
        if first_look or self._targets.is_undecided:
            return None
        goal = self.settings.goal
        if self.settings.measurement.relative_error is None:
            return Judge(self._targets.scalarizer, goal, math.nan)
        # The measurement just taken is left out: whether it is scored before this place
        # is begun is a matter of timing, and a replay has to expose in the same way.
        known = self._targets.values[: max(proposal.step - 1, 0)]
        return Judge(self._targets.scalarizer, goal, goal.best(known))

    def _write(self, taken: Taken, measurement: Measurement) -> None:
        self._recording = replace(taken, measurement=measurement)
        self._record.measurement(
            measurement, exposures=taken.exposures, waited_s=self.following.waited_s
        )
        self._recording = None

    def _keep(self, taken: Taken) -> None:
        """Record a spectrum, and inform all listeners."""
        measurement = taken.measurement
        # It is on disk even if the scalarizer fails, which ends the run.
        try:
            measurement = with_outcome(self._targets.score(measurement))
        finally:
            self._write(taken, measurement)
        self._targets.add(measurement)
        self._advisor.learn(measurement)
        self._keep_maps()
        emit(self._events.measured, measurement)
        self._warn_of(measurement)
        for text in self._watch.look(self._targets.measurements, self.settings):
            self.warnings.say(text)
        for text, since in self._watch.over:
            self.warnings.over(text, since)

    def _search_anew(self) -> None:
        """Reset the warnings about the search, as they do not apply to another one."""
        for text in self._watch.search_anew(self.step):
            self.warnings.over(text, self.step)

    def _warn_of(self, measurement: Measurement) -> None:
        """Warn if a spectrum has no target."""
        number = measurement.step + 1
        if why := self._targets.why_foreign(measurement.spectrum):
            self.warnings.say(
                f"Step {number} is set aside: {why}. It is kept in the record and "
                "left out of training."
            )
            return
        self.warnings.end(NO_PROGRESS)
        if not measurement.usable and not self._targets.is_undecided:
            self.warnings.say(
                f"Step {number}: the scalarizer finds no value in the spectrum. It is "
                "kept in the record and left out of training; look at the band and "
                "the spectrum."
            )

    def _note_lost(
        self, reason: LostExposure = LostExposure.RUN_ENDED, detail: str = ""
    ) -> None:
        """Record the dose of exposures whose spectra are lost."""
        for exposure in self._exposures.take_booked():
            field_nm = self._open().frame.field_nm
            self._record.booked(exposure, field_nm, reason, detail)

    def _keep_last_maps(self) -> None:
        if (maps := self._advisor.chosen_on) is not None:
            self._record.maps(maps, self.step)

    def _keep_maps(self) -> None:
        if self.step % self.settings.loop.maps_every == 0:
            self._keep_last_maps()

    def _look_ahead(self, step: int) -> None:
        """Start computing the proposals after a step."""
        if self.settings.loop.lookahead and step + 1 < self.settings.budget.steps:
            self.in_force.decide_band(step + 1)
            self._choice.look_ahead(step, self.settings)

    def _refuse(self, refused: Refused) -> None:
        refusal = refused.refusal
        text = refusal_text(refusal.reason, refusal.detail)
        if refusal.reason is RefusalReason.FORBIDDEN:
            self._progress.refused(text)
        self._choice.withdraw(refused.proposal, refusal)
        is_wanted = refusal.reason.is_wanted
        emit(self._events.refused, refused.proposal, text, is_wanted)


def _unscored(begun: Begun, spectrum: Spectrum) -> Measurement:
    """Return a measurement, with its position, before it has a target."""
    if not spectrum.position.is_inside:
        spectrum = replace(spectrum, position=begun.meant)
    y_nm, x_nm = begun.allowed.on_sample_nm(spectrum.position)
    return Measurement(
        begun.proposal,
        spectrum,
        target=math.nan,
        x_nm=x_nm,
        y_nm=y_nm,
        drift_nm=begun.allowed.drift_nm if begun.is_followed else None,
    )
