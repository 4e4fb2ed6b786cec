"""One step after another: ask, gate, measure, record, tell."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.coordinates import FieldFrame
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.events import emit
from napari_hae.experiment.exposures import Exposures, Judge
from napari_hae.experiment.record import FORMAT
from napari_hae.experiment.resume import replay
from napari_hae.instruments.base import DoseExceeded, ForbiddenPosition
from napari_hae.types import ChosenBy, Measurement

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hae.experiment.candidates import AllowedField
    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.regions import Regions
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.experiment.targets import Targets
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import PredictionMaps, Proposal, ScanImage, Spectrum

    Preference = NDArray[np.float64]


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
        self._agree = agree
        self._may_go_on = may_go_on
        self._exposures = Exposures(instrument)
        self._attempts: Counter[int] = Counter()
        self._vetoed = set(past.vetoed if past else ())
        self._frame = FieldFrame.of(survey)
        self._preference = past.regions.preference(self._frame) if past else None
        self._advisor = Advisor(survey, past.first_settings if past else settings)
        if past is not None:
            replay(past, self._advisor)
            targets.restore(past.measurements)
            if past.format < FORMAT:
                self._retarget()

    @property
    def maps(self) -> PredictionMaps | None:
        """The newest predicted maps."""
        return self._advisor.maps

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
        """Give the gate what is left of the dose budget."""
        budget_e = self.settings.budget.dose_e
        if budget_e is not None:
            budget_e -= self._targets.dose_e
            if budget_e <= 0:
                raise DoseExceeded("the dose budget is used up")
        self._instrument.set_dose_budget(budget_e)

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
        preference = regions.preference(self._frame)
        if _differ(preference, self._preference):
            self._drop_ahead("the soft regions were changed")
        self._preference = preference
        self._record.regions(self.step, regions)
        emit(self._events.regions_changed, self.step, regions)

    def change_settings(self, new: ExperimentSettings, *, who: str) -> None:
        """Put new settings in force: targets recomputed, the agent told."""
        old, self.settings = self.settings, new
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
            self._drop_ahead("the settings were changed")
        self._record.settings(self.step, changes, who=who)
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
        self._decide_band(self.step)
        proposal = self._begin(self.step)
        while proposal is not None:
            self._look_ahead(proposal.step)
            try:
                spectrum = self._exposures.wait()
            except ForbiddenPosition as error:
                self._refuse(proposal, str(error))
                return
            following = None
            try:
                following = self._begin_next(proposal.step + 1)
            finally:
                self._keep(proposal, spectrum)
            proposal = following

    def _begin(self, step: int) -> Proposal | None:
        """Begin to measure what the agent proposes for a step; None if refused."""
        attempt = self._attempts[step]
        proposal = self._advisor.ask(step, self._mask(), attempt, self._preference)
        self._attempts[step] += 1
        self._record.proposal(proposal)
        self.proposal = proposal
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
            or not self._advisor.is_ready(step)
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
        agreed = self._agree(proposal)
        if agreed is False:
            self._vetoed.add((proposal.row, proposal.column))
            self._refuse(proposal, "vetoed by you", keep_out=True)
        elif agreed is None:
            self._refuse(proposal, "something was changed while it waited")
        return bool(agreed)

    def _keep(self, proposal: Proposal, spectrum: Spectrum) -> None:
        """Record a spectrum, and let everybody know."""
        y_nm, x_nm = self._frame.nm(spectrum.position)
        measurement = self._targets.score(
            Measurement(proposal, spectrum, float("nan"), x_nm=x_nm, y_nm=y_nm)
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
            self._advisor.look_ahead(step, self._mask(), self._preference)

    def _mask(self) -> NDArray[np.bool_]:
        mask = self._allowed().mask()
        for pixel in self._vetoed:
            mask[pixel] = False
        return mask

    def _refuse(
        self, proposal: Proposal, reason: str, *, keep_out: bool = False
    ) -> None:
        self._record.refusal(proposal.step, reason, keep_out=keep_out)
        emit(self._events.refused, proposal, reason)
        self._drop_ahead("it counted on a proposal that was refused")
        self._advisor.withdraw(proposal)

    def _drop_ahead(self, reason: str) -> None:
        # It is recorded although it is not used: the agent may have fitted for it, and
        # a resumed run has to fit there too.
        for proposal in self._advisor.drop_ahead():
            self._record.proposal(proposal)
            self._record.refusal(proposal.step, reason)

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

    def _retarget(self) -> None:
        self._targets.rescore(self.settings.scalarizer)
        targets, errors = self._targets.values, self._targets.errors
        if not targets:
            return
        self._record.targets(targets, errors)
        self._advisor.retarget(targets, errors)
        emit(self._events.retargeted, tuple(targets))


def _differ(one: Preference | None, other: Preference | None) -> bool:
    if one is None or other is None:
        return one is not other
    return not np.array_equal(one, other)
