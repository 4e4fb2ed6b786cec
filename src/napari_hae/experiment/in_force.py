"""Settings in force: consequences of a change, and their limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.experiment.events import emit
from napari_hae.experiment.journal_events import Actor
from napari_hae.experiment.ordered_settings import AT_THE_START
from napari_hae.experiment.refusals import RefusalReason
from napari_hae.experiment.settings_patch import SettingsPatch
from napari_hae.experiment.votes import plea
from napari_hae.experiment.watch import SEARCH

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.advisor import Advisor
    from napari_hae.experiment.choice import Choice
    from napari_hae.experiment.events import RunEvents
    from napari_hae.experiment.ordered_settings import OrderedSettings
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.targets import Targets
    from napari_hae.experiment.warnings import Warnings
    from napari_hae.instruments.gate import GuardedInstrument

VOTES = "votes"
"""Subject of warnings that ask for votes."""


class InForce:
    """Settings of a run; used by the experiment's thread.

    Parameters
    ----------
    completed
        Given a new scalarizer and the one in force, returns the new one completed from
        the run so far.
    search_anew
        Called when the goal or the method of the search was changed.
    """

    def __init__(
        self,
        *,
        instrument: GuardedInstrument,
        record: Record,
        events: RunEvents,
        targets: Targets,
        advisor: Advisor,
        choice: Choice,
        warnings: Warnings,
        settings: OrderedSettings,
        completed: Callable[[Scalarizer, Scalarizer], Scalarizer],
        search_anew: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._instrument, self._record, self._events = instrument, record, events
        self._warnings = warnings
        self._targets, self._advisor, self._choice = targets, advisor, choice
        self._completed, self._search_anew = completed, search_anew
        self._started_s = time.monotonic()

    @property
    def settings(self) -> ExperimentSettings:
        """Return the settings in force."""
        return self._settings.in_force

    def change(self, change: SettingsPatch, *, who: Actor, why: str = "") -> None:
        """Put changed fields in force: recompute the targets, and inform the agent.

        Seed and initial design stay: they only take effect at the start.

        Raises
        ------
        ValueError
            If the fields are inconsistent with those in force.
        """
        old = self.settings
        new = change.without(*AT_THE_START).applied_to(old)
        scalarizer = self._completed(new.scalarizer, old.scalarizer)
        scalarizer = scalarizer.following(old.scalarizer)
        acquisition = new.acquisition.begun(old.acquisition, len(self._targets))
        new = new.replaced(scalarizer=scalarizer, acquisition=acquisition)
        before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
        changes = {
            section: (before[section], after[section])
            for section in before
            if before[section] != after[section]
        }
        if not changes:
            self._settings.settle(new)
            return
        # If this fails, the record keeps the old scalarizer, which its targets belong
        # to.
        scored = (
            self._targets.rescored(new.scalarizer) if "scalarizer" in changes else ()
        )
        self._settings.settle(new)
        of_agent = {"model", "acquisition", "goal", "scalarizer", "moves"}
        concerns_agent = of_agent & changes.keys()
        if concerns_agent | ({"loop"} & changes.keys()):
            self._choice.drop_ahead(RefusalReason.SETTINGS)
        self._record.settings(len(self._targets), changes, who=who, why=why)
        self._advisor.reschedule(new)
        if concerns_agent:
            self._advisor.configure(new)
        if SEARCH & changes.keys():
            self._search_anew()
        if "scalarizer" in changes:
            self._targets.take(new.scalarizer, scored)
            self.tell_targets()
        if {"budget", "measurement"} & changes.keys():
            self.limit_dose()
        emit(self._events.settings_changed, len(self._targets), new)

    def decide_band(self, step: int, *, is_last: bool = False) -> None:
        """Choose the band from the initial design's spectra, if none was set.

        If `is_last`, choose it from the spectra so far, as no more will come. Votes,
        which only the user can give, are then requested.
        """
        if step < self.settings.initial.points and not is_last:
            return
        scalarizer, undecided = self._targets.scalarizer, self._targets.is_undecided
        if undecided and isinstance(scalarizer, BandScalarizer) and len(self._targets):
            self.take_band(*self._targets.chosen_band_ev(), who=Actor.PROGRAM)
        self._ask_for_votes()

    def take_band(self, low_ev: float, high_ev: float, *, who: Actor) -> None:
        """Put a band in force, if the scalarizer uses one."""
        if isinstance(self._targets.scalarizer, BandScalarizer):
            band = {"low_ev": low_ev, "high_ev": high_ev}
            self.change(SettingsPatch({"scalarizer": band}), who=who)

    def retarget_at_once(self) -> None:
        """Let the agent choose anew, after targets were discarded or restored."""
        self._choice.drop_ahead(RefusalReason.DISCARDED)
        self.tell_targets()

    def retarget(self) -> None:
        """Recompute all targets."""
        self._targets.rescore(self.settings.scalarizer)
        self.tell_targets()

    def tell_targets(self) -> None:
        """Record all targets, and inform all listeners."""
        targets, errors = self._targets.values, self._targets.errors
        if not targets:
            return
        best = self.settings.goal.best(targets)
        best_step = targets.index(best) if best in targets else None
        self._record.targets(targets, errors, best_step)
        self._advisor.retarget(targets, errors)
        emit(self._events.retargeted, tuple(targets))

    def limit_dose(self) -> None:
        """Pass the dose limits in force to the gate."""
        self._instrument.limit_dose(self.settings.budget.dose_limits)

    def spent_budget(self) -> str:
        """Return the limit of the budget that is reached; empty if none is."""
        budget, step = self.settings.budget, len(self._targets)
        if step >= budget.steps:
            return f"{step} of {budget.steps} steps are done"
        if self.is_time_over():
            return f"the time budget of {budget.time_s:g} s is used up"
        return ""

    def is_time_over(self) -> bool:
        """Return whether the time budget is used up."""
        return self.time_left_s is not None and not self.time_left_s

    @property
    def time_left_s(self) -> float | None:
        """Return the remaining time budget in s, at least 0; None without one."""
        time_s = self.settings.budget.time_s
        if time_s is None:
            return None
        return max(self._started_s + time_s - time.monotonic(), 0.0)

    def _ask_for_votes(self) -> None:
        """Ask for a missing vote on a good spectrum; once, until that changes."""
        text = plea(self._record.state.votes, self.settings.scalarizer)
        if text in self._warnings.standing(VOTES):
            return
        self._warnings.end(VOTES)
        if text:
            self._warnings.stand(VOTES, text)
