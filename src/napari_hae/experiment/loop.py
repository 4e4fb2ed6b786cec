"""One step after another: ask, gate, measure, record, tell."""

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
"""Records of older formats have other targets: all spectra are scored again."""
NOWHERE = "nowhere to measure"
"""What a warning is about that waits for a person to widen the regions."""


@dataclass(frozen=True)
class Begun:
    """A proposal that is being measured, and the field as it was when it began."""

    proposal: Proposal
    allowed: AllowedField
    is_followed: bool

    @property
    def meant(self) -> ProbePosition:
        """Where the beam was sent."""
        return self.allowed.position(self.proposal.position)


@dataclass(frozen=True)
class Refused:
    """A proposal that will not be measured, and why not."""

    proposal: Proposal
    refusal: Refusal


@dataclass(frozen=True)
class Taken:
    """A measurement that is not scored yet, and the exposures that it took."""

    measurement: Measurement
    exposures: Sequence[Exposure]


class Loop:
    """Takes the steps of a run on the experiment's thread.

    Parameters
    ----------
    field
        Where the beam may go, and where the sample is.
    agree
        See `Consent`.
    may_go_on
        Whether the next step may begin at once, since nothing is ordered.
    pause
        Orders a pause.
    settings
        What the run starts with; those of `past` take their place.
    is_fresh
        Whether the survey image was taken just now.
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
        """What is being measured, or was last."""
        self._recording: Taken | None = None
        """What is being recorded, and may wait for a person who puts that right."""
        self._exposed: Begun | None = None
        """What is exposed, and not waited for yet."""
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
        """Go on as the stored run would have, and put new settings in force.

        What `check` raises ends it.
        """
        is_asked = replay(past, self._advisor, check)
        # As far as it would have looked ahead with the steps that it is to take.
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
        # A scalarizer that failed may have been mended.
        if self._targets.score_last_again():
            self.in_force.tell_targets()

    @property
    def settings(self) -> ExperimentSettings:
        """The settings in force."""
        return self.in_force.settings

    @property
    def maps(self) -> PredictionMaps | None:
        """The newest predicted maps."""
        return self._advisor.maps

    @property
    def picture(self) -> NDArray[np.float32] | None:
        """All candidates as the model sees them, `(n, 2)`."""
        return self._advisor.picture

    @property
    def waits_for(self) -> str:
        """What is computed while the beam waits, in words; empty while it does not."""
        return self._advisor.waits_for

    @property
    def step(self) -> int:
        """The number of the next step, from 0."""
        return len(self._targets)

    def close(self) -> None:
        """Keep the last maps, and end the threads of the beam and of the agent.

        All of it is done, whatever fails; the first error is raised.
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
        """Let the agent's mask and preference follow new regions from now on."""
        self._choice.prefer(regions.preference(self._open().frame))
        old = self._record.state.regions
        self._record.regions(self.step, regions, old=old, why=why)
        self._search_anew()
        if self._choice.has_places:
            self.warnings.end(NOWHERE)

    def unrecorded(self) -> list[Taken]:
        """What is not in the record yet, when its exposures are done; on any thread.

        Not all of it is scored.
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
        """Why no position is left to measure, in words."""
        return self._choice.why_nowhere()

    @property
    def has_left_field(self) -> bool:
        """Whether places not measured have drifted out of the field of view."""
        return self._choice.left_field() > 0

    def decide_band_at_last(self) -> None:
        """Choose a band that is still missing from the spectra that there are."""
        self.in_force.decide_band(self.step, is_last=True)

    def show_changes(self) -> None:
        """Redraw the maps under what was changed, while the run waits to go on."""
        self._choice.preview(self.step)

    def obey(self, order: HumanOrder) -> None:
        """Carry out what a person ordered."""
        self._steering.obey(order, self.settings)

    def survey_if_due(self) -> bool:
        """Take the survey image again if it is time; False if the run is to pause.

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
        """Where the agent may choose: by the regions that are in the journal.

        What was painted since holds at the gate and for consent already.
        """
        return self._field.allowed(self._record.state.regions)

    def _look_again(self) -> bool:
        """Look for the sample after a while in which nobody did; False if lost."""
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
        """Measure what the agent proposes and nobody refuses.

        It goes on to the next one, without a boundary between, while that one is known
        already and nothing is ordered: its exposure goes while the last is recorded.

        Raises
        ------
        Exhausted
            If no allowed candidate is left.
        NoProgress
            If steps came to nothing for a while.
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
        # Only now: until the step before is in the journal, a run that is taken up
        # there computes ahead again what is taken back by this.
        if begun is not None:
            self._refuse(begun)

    def _wait(self) -> Spectrum:
        """The spectrum of what is exposed. Raises what `Exposures.wait` raises."""
        try:
            return self._exposures.wait()
        finally:
            self._exposed = None

    def _keep_unscored(self) -> None:
        """Record what is exposed: nothing scores it, but its electrons are spent."""
        if (exposed := self._exposed) is not None:
            under_way = self._taken(exposed, self._wait())
            self._write(under_way, under_way.measurement)

    def _taken(self, begun: Begun, spectrum: Spectrum) -> Taken:
        """What has been exposed just now, and not been scored yet."""
        exposures = self._exposures.take_booked()
        # From here on something is recorded.
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
        """Warn if a spectrum is not where it should be."""
        meant = begun.meant
        if text := placed_elsewhere(spectrum.position, meant, begun.allowed.frame):
            self.warnings.stand_once(ELSEWHERE, text)
        else:
            self.warnings.end(ELSEWHERE)

    def _begin(self, step: int) -> Begun | Refused:
        """Begin to measure what the agent proposes for a step."""
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
        """Begin with a step whose predecessor is not recorded yet, if that may be."""
        # The sample moves on meanwhile, and with it what is open and may be known.
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
        """Who tells how long to expose; none where one exposure gives a first look."""
        first_look = proposal.chosen_by is ChosenBy.INITIAL
        if first_look or self._targets.is_undecided:
            return None
        goal = self.settings.goal
        if self.settings.measurement.relative_error is None:
            return Judge(self._targets.scalarizer, goal, math.nan)
        # Without the one just measured: it counts neither where this place is begun
        # before that is scored nor, so that a replay exposes alike, where after.
        known = self._targets.values[: max(proposal.step - 1, 0)]
        return Judge(self._targets.scalarizer, goal, goal.best(known))

    def _write(self, taken: Taken, measurement: Measurement) -> None:
        self._recording = replace(taken, measurement=measurement)
        self._record.measurement(
            measurement, exposures=taken.exposures, waited_s=self.following.waited_s
        )
        self._recording = None

    def _keep(self, taken: Taken) -> None:
        """Record a spectrum, and let everybody know."""
        measurement = taken.measurement
        # It is on disk even where the scalarizer fails, which ends the run.
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
        """What was said of the search does not hold of another one."""
        for text in self._watch.search_anew(self.step):
            self.warnings.over(text, self.step)

    def _warn_of(self, measurement: Measurement) -> None:
        """Say it where a spectrum has no target."""
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
        """Record the dose of exposures whose spectra nobody gets."""
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
        """Begin to compute what comes after a step."""
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
    """What was measured, with a position, before there is a target."""
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
