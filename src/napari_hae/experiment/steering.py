"""Execution and journalling of the user's orders other than settings and regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.voted import SimilarityToVotes
from napari_hae.experiment.journal_events import Actor
from napari_hae.experiment.orders import (
    Discarded,
    HumanOrder,
    KeptOut,
    QueueChanged,
    SurveyAgain,
    Voted,
    WentAlone,
)
from napari_hae.experiment.refusals import RefusalReason
from napari_hae.experiment.settings_patch import SettingsPatch
from napari_hae.experiment.votes import target_spectrum

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.experiment.place_queue import PlaceQueue
    from napari_hae.experiment.record import Record
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.targets import Targets


class Steering:
    """Executor of orders on the experiment's thread, between two steps.

    Parameters
    ----------
    change_settings
        Puts a change of settings in force; given the change and its originator.
    drop_ahead
        Withdraws the proposals that the agent computed ahead, for a reason.
    retarget
        Recomputes all targets.
    survey_again
        Takes the survey image again; given the reason.
    """

    def __init__(
        self,
        *,
        record: Record,
        targets: Targets,
        queue: PlaceQueue,
        change_settings: Callable[[SettingsPatch, Actor], None],
        drop_ahead: Callable[[RefusalReason], None],
        retarget: Callable[[], None],
        survey_again: Callable[[str], None],
    ) -> None:
        self._record, self._targets, self._queue = record, targets, queue
        self._change_settings, self._retarget = change_settings, retarget
        self._drop_ahead, self._survey_again = drop_ahead, survey_again

    def obey(self, order: HumanOrder, settings: ExperimentSettings) -> None:
        """Carry out one order; ignore one on a step that was not measured."""
        step = len(self._targets)
        match order:
            case QueueChanged(old, new, why):
                # A resumed run must not repeat measurements made meanwhile.
                waited, wait = map(self._queue.without_taken, (old, new))
                if wait != waited:
                    self._record.queue(step, wait, old=waited, why=why)
                self._queue.note(wait)
            case KeptOut(pixel, why):
                self._drop_ahead(RefusalReason.KEPT_OUT)
                self._record.veto(step, pixel, why=why)
            case WentAlone(steps, why):
                self._record.alone(step, steps, why=why)
            case SurveyAgain(why):
                self._survey_again(why)
            case Voted(of, vote, why) if of < step:
                before = self._record.state.votes.get(of)
                self._record.vote(step, of, vote, old=before, why=why)
                self._follow_votes(settings)
            case Discarded(of, is_discarded, why) if of < step:
                self._record.discard(step, of, is_discarded=is_discarded, why=why)
                self._targets.discarded = self._record.state.discarded
                self._targets.score_again(of)
                self._retarget()
            case _:
                return

    def completed(self, new: Scalarizer, old: Scalarizer) -> Scalarizer:
        """Return a scalarizer, completed with the data it takes from the run."""
        if not isinstance(new, SimilarityToVotes):
            return new
        votes = self._record.state.votes
        wanted = target_spectrum(votes, self._targets.measurements)
        if not votes:
            # A record in a finer image may lack the spectra that were judged.
            wanted = new.target_counts
        changes: dict[str, object] = {"target_counts": wanted}
        if not isinstance(old, SimilarityToVotes):
            usable = np.array([x for x in self._targets.values if np.isfinite(x)])
            if len(usable):
                changes |= {
                    "base": old,
                    "base_centre": float(usable.mean()),
                    "base_spread": float(usable.std()) or 1.0,
                }
        elif new.base is None:
            kept = ("base", "base_centre", "base_spread")
            changes |= {name: getattr(old, name) for name in kept}
        return new.model_copy(update=changes)

    def _follow_votes(self, settings: ExperimentSettings) -> None:
        scalarizer = settings.scalarizer
        completed = self.completed(scalarizer, scalarizer)
        if completed != scalarizer:
            voted = settings.replaced(scalarizer=completed)
            self._change_settings(SettingsPatch.between(settings, voted), Actor.VOTES)
