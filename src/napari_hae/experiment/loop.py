"""One step after another: ask, gate, measure, record, tell."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.choice import VETOED, Choice, Dropped
from napari_hae.experiment.events import emit
from napari_hae.experiment.exposures import Exposures, Judge
from napari_hae.experiment.insight import with_outcome
from napari_hae.experiment.record import FORMAT
from napari_hae.experiment.resume import replay
from napari_hae.experiment.steering import Steering
from napari_hae.experiment.times import StepClock
from napari_hae.experiment.watch import Watch
from napari_hae.instruments.base import ForbiddenPosition, LocalDoseExceeded
from napari_hae.types import ChosenBy, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.diagnostics import StepTimes
    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.orders import HumanOrder
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.experiment.targets import Targets
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.regions.allowed_field import AllowedField
    from napari_hae.regions.regions import Regions
    from napari_hae.types import PredictionMaps, Proposal, ScanImage, Spectrum


class Loop:
    """Takes the steps of a run on the experiment's thread.

    Parameters
    ----------
    allowed
        Gives the newest snapshot of where the beam may go.
    agree
        Given a proposal, blocks until a human agrees; False means veto, None that
        something else was ordered in the meantime.
    may_go_on
        Whether the next step may begin at once, since nothing is ordered.
    """

    def __init__(
        self,
        *,
        instrument: GuardedInstrument,
        record: Record,
        events: RunEvents,
        targets: Targets,
        settings: ExperimentSettings,
        survey: ScanImage,
        allowed: Callable[[], AllowedField],
        agree: Callable[[Proposal], bool | None],
        may_go_on: Callable[[], bool],
        queue: PlaceQueue,
        past: StoredRun | None,
    ) -> None:
        self.settings = settings
        self.proposal: Proposal | None = None
        """What is being measured, or was last."""
        self._started_s = time.monotonic()
        self._instrument = instrument
        self._record = record
        self._events = events
        self._targets = targets
        self._allowed = allowed
        self._queue = queue
        self._agree = agree
        self._may_go_on = may_go_on
        self._exposures = Exposures(instrument)
        self._agent_s = 0.0
        self._clock, self._watch = StepClock(), Watch()
        self._frame = FieldFrame.of(survey)
        self._advisor = Advisor(survey, past.first_settings if past else settings)
        vetoed = past.vetoed if past else ()
        self._choice = Choice(self._advisor, record, queue, allowed, vetoed)
        if past is not None:
            self._choice.prefer(past.regions.preference(self._frame))
        self._steering = Steering(
            record=record,
            targets=targets,
            queue=queue,
            change_settings=lambda new, who: self.change_settings(new, who=who),
            retarget=self._retarget_at_once,
        )
        if past is not None:
            replay(past, self._advisor)
            targets.restore(past)
            self._choice.visit(
                (m.proposal.row, m.proposal.column) for m in past.measurements
            )
            self._watch.catch_up(past.measurements, settings)
            if past.format < FORMAT:
                self._retarget()

    @property
    def maps(self) -> PredictionMaps | None:
        """The newest predicted maps."""
        return self._advisor.maps

    @property
    def picture(self) -> NDArray[np.float32] | None:
        """All candidates as the model sees them, `(n, 2)`."""
        return self._advisor.picture

    @property
    def step(self) -> int:
        """The number of the next step, from 0."""
        return len(self._targets)

    def close(self) -> None:
        """Keep the last maps, and end the threads of the beam and of the agent."""
        self._exposures.close()
        if self.maps is not None:
            self._record.maps(self.maps, self.step)
        self._advisor.close()

    def limit_dose(self) -> None:
        """Give the gate the dose limits in force."""
        self._instrument.limit_dose(self.settings.budget.dose_limits)

    def spent_budget(self) -> str:
        """Which limit of the budget is reached, in words; empty if none is."""
        budget = self.settings.budget
        if self.step >= budget.steps:
            return f"{self.step} of {budget.steps} steps are done"
        if self._is_time_over():
            return f"the time budget of {budget.time_s:g} s is used up"
        return ""

    def change_regions(self, regions: Regions) -> None:
        """Let the agent's mask and preference follow new regions from now on."""
        self._choice.prefer(regions.preference(self._frame))
        self._record.regions(self.step, regions)
        emit(self._events.regions_changed, self.step, regions)

    def obey(self, order: HumanOrder) -> None:
        """Carry out what a person ordered."""
        self._steering.obey(order, self.settings)

    def change_settings(
        self, new: ExperimentSettings, *, who: str, why: str = ""
    ) -> None:
        """Put new settings in force: targets recomputed, the agent told."""
        old = self.settings
        scalarizer = self._steering.completed(new.scalarizer, old.scalarizer)
        self.settings = new = new.replaced(scalarizer=scalarizer)
        before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
        changes = {
            section: (before[section], after[section])
            for section in before
            if before[section] != after[section]
        }
        if not changes:
            return
        of_agent = {"model", "acquisition", "goal", "scalarizer", "moves"}
        concerns_agent = of_agent & changes.keys()
        if concerns_agent | ({"loop"} & changes.keys()):
            self._choice.drop_ahead(Dropped.SETTINGS)
        self._record.settings(self.step, changes, who=who, why=why)
        self._advisor.reschedule(new)
        if concerns_agent:
            self._advisor.configure(new)
        if "scalarizer" in changes:
            self._retarget()
        if {"budget", "measurement"} & changes.keys():
            self.limit_dose()
        emit(self._events.settings_changed, self.step, new)

    def take_steps(self) -> None:
        """Measure what the agent proposes and nobody refuses: one position at least.

        It goes on to the next one, without a boundary between, while that one is known
        already and nothing is ordered: its exposure goes while the last is recorded.

        Raises
        ------
        Exhausted
            If no allowed candidate is left.
        InstrumentError
            If the instrument fails, or the gate refuses for another reason than the
            position.
        """
        with self._clock.going():
            self._decide_band(self.step)
            self._take_steps(self._begin(self.step))

    def _take_steps(self, proposal: Proposal | None) -> None:
        while proposal is not None:
            self._look_ahead(proposal.step)
            try:
                spectrum = self._exposures.wait()
            except ForbiddenPosition as error:
                self._refuse(proposal, str(error))
                return
            except LocalDoseExceeded as error:
                self._refuse(proposal, str(error), keep_out=True)
                return
            times = self._clock.times(
                self._exposures.interval, self._agent_s, self._record.disk_s
            )
            following = None
            try:
                following = self._begin_next(proposal.step + 1)
            finally:
                self._keep(proposal, spectrum, times)
            proposal = following

    def _begin(self, step: int) -> Proposal | None:
        """Begin to measure what the agent proposes for a step; None if refused."""
        proposal = self.proposal = self._choice.proposal(step, self.settings)
        self._agent_s = self._advisor.took_s
        emit(self._events.proposed, proposal)
        if not self._is_agreed(proposal):
            return None
        wanted = self.settings.measurement
        self._exposures.begin(proposal.position, wanted, self._judge(proposal))
        return proposal

    def _begin_next(self, step: int) -> Proposal | None:
        """Begin with a step whose predecessor is not recorded yet, if that may be."""
        if (
            self.settings.loop.approve
            or self._targets.is_undecided
            or step >= self.settings.budget.steps
            or not self._choice.is_known(step, self.settings)
            or not self._may_go_on()
            or self._is_time_over()
        ):
            return None
        return self._begin(step)

    def _judge(self, proposal: Proposal) -> Judge | None:
        """Who tells how long to expose; none where one exposure gives a first look."""
        first_look = proposal.chosen_by is ChosenBy.INITIAL
        if first_look or self._targets.is_undecided:
            return None
        goal = self.settings.goal
        return Judge(self._targets.scalarizer, goal, goal.best(self._targets.values))

    def _is_time_over(self) -> bool:
        time_s = self.settings.budget.time_s
        return time_s is not None and time.monotonic() - self._started_s >= time_s

    def _is_agreed(self, proposal: Proposal) -> bool:
        """Whether a proposal may be measured; refuses it if not."""
        if (reason := self._allowed().refusal(proposal.position)) is not None:
            self._refuse(proposal, f"{proposal.position} {reason}")
            return False
        if not self.settings.loop.approve or proposal.chosen_by is not ChosenBy.AGENT:
            return True
        with self._clock.asking():
            agreed = self._agree(proposal)
        if agreed is False:
            self._refuse(proposal, VETOED, keep_out=True)
        elif agreed is None:
            other = "another place was taken" if self._queue.pixels else ""
            why = other or "something was changed while it waited"
            self._refuse(proposal, why)
        return bool(agreed)

    def _keep(self, proposal: Proposal, spectrum: Spectrum, times: StepTimes) -> None:
        """Record a spectrum, and let everybody know."""
        y_nm, x_nm = self._frame.nm(spectrum.position)
        nan = float("nan")
        measurement = with_outcome(
            self._targets.score(
                Measurement(proposal, spectrum, nan, x_nm=x_nm, y_nm=y_nm, times=times)
            )
        )
        self._record.measurement(measurement)
        self._targets.add(measurement)
        self._advisor.learn(measurement)
        self._keep_maps()
        emit(self._events.measured, measurement)
        if not measurement.usable and not self._targets.is_undecided:
            self.warn(
                f"Step {measurement.step + 1}: the scalarizer finds no value in the "
                "spectrum. It is kept in the record and left out of training; look at "
                "the band and the spectrum."
            )
        for text in self._watch.look(self._targets.measurements, self.settings):
            self.warn(text)

    def warn(self, text: str) -> None:
        """Show and record a warning."""
        self._record.warning(self.step, text)
        emit(self._events.warned, text)

    def _keep_maps(self) -> None:
        if self.maps is not None and self.step % self.settings.loop.maps_every == 0:
            self._record.maps(self.maps, self.step)

    def _look_ahead(self, step: int) -> None:
        """Begin to compute what comes after a step."""
        if self.settings.loop.lookahead and step + 1 < self.settings.budget.steps:
            self._decide_band(step + 1)
            self._choice.look_ahead(step, self.settings)

    def _refuse(
        self, proposal: Proposal, reason: str, *, keep_out: bool = False
    ) -> None:
        self._choice.withdraw(proposal, reason, keep_out=keep_out)
        emit(self._events.refused, proposal, reason)

    def _decide_band(self, step: int) -> None:
        """Choose the band from the initial design's spectra, where none was set."""
        scalarizer = self._targets.scalarizer
        undecided = self._targets.is_undecided and step >= self.settings.initial.points
        if undecided and isinstance(scalarizer, BandScalarizer) and self.step:
            self.take_band(*self._targets.chosen_band_ev(), who="automatic")

    def take_band(self, low_ev: float, high_ev: float, *, who: str) -> None:
        """Put a band in force."""
        scalarizer = self._targets.scalarizer
        assert isinstance(scalarizer, BandScalarizer)
        banded = scalarizer.with_band(low_ev, high_ev)
        new = self.settings.model_copy(update={"scalarizer": banded})
        self.change_settings(new, who=who)

    def _retarget_at_once(self) -> None:
        """Score everything again, and let the agent choose anew."""
        self._choice.drop_ahead(Dropped.DISCARDED)
        self._retarget()

    def _retarget(self) -> None:
        self._targets.rescore(self.settings.scalarizer)
        targets, errors = self._targets.values, self._targets.errors
        if not targets:
            return
        best = self.settings.goal.best(targets)
        best_step = targets.index(best) if best in targets else None
        self._record.targets(targets, errors, best_step)
        self._advisor.retarget(targets, errors)
        emit(self._events.retargeted, tuple(targets))
