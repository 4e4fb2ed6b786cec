"""Complete analysis of a stored run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.experiment.forensics.counterfactual import (
    Counterfactual,
    completed,
    counterfactual,
)
from napari_hae.experiment.forensics.curves import Agreement, Regret, agreement, regret
from napari_hae.experiment.forensics.interventions import Intervention, interventions
from napari_hae.experiment.forensics.references import (
    ReferenceMaker,
    References,
    decided,
)
from napari_hae.experiment.forensics.retracing import Answer, Grounds, Shadowed, retrace
from napari_hae.experiment.forensics.timeline import Decision, Timeline, timeline_of
from napari_hae.experiment.forensics.truth import NoTruth, Truth, truth_of
from napari_hae.experiment.forensics.visited import Visited, visited
from napari_hae.experiment.trust import NotTrusted
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_hae.experiment.stored import StoredRun
    from napari_hae.types import Proposal

    Progress = Callable[[str, int, int], None]
    """Callback for progress: the current activity, parts done, parts in total. It may
    raise to cancel the analysis."""

LEAST_USABLE = 3


class Cancelled(Exception):
    """Cancellation of the analysis before it was complete."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """Findings of forensics on a run.

    Attributes
    ----------
    truth_words
        Description of the ground truth, or the reason why there is none.
    references
        For the targets in force at the end.
    agreement
        Agreement of the live model with each reference, by name.
    regret
        Relative to the truth, or to the mature model's map if there is no truth.
    retraced
        Number of the agent's choices that were reproduced on replay, and the number of
        choices. If some were not, counterfactual choices are uncertain as well.
    """

    run: StoredRun
    truth_words: str
    references: References
    agreement: dict[str, Agreement]
    regret: Regret
    visited: Visited
    interventions: tuple[Intervention, ...]
    against: tuple[Counterfactual, ...]
    retraced: tuple[int, int]

    @property
    def has_truth(self) -> bool:
        """Return whether the ground truth is known."""
        return self.references.truth is not None

    @property
    def full_error(self) -> float:
        """Return the full model's error, as in `Agreement`; NaN without a truth."""
        full, truth = self.references.full, self.references.truth
        if full is None or truth is None:
            return float("nan")
        return agreement(full, truth)[0]


def analyse(
    run: StoredRun,
    against: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Analysis:
    """Analyse a stored run.

    Parameters
    ----------
    against
        Name of each counterfactual run, with the changed sections of its settings; a
        band that is not given stays as recorded.

    Raises
    ------
    NotARecord
        If the run has no survey image.
    NotTrusted
        If it names code or files that the user has not agreed to use.
    MissingPart
        If a part of it is not installed.
    ValueError
        If the run has too few targets, or a scalarizer of `against` cannot work on its
        spectra.
    """
    _ = run.frame
    run.expect_usable()
    run = decided(run)
    changes = {name: completed(run, each) for name, each in (against or {}).items()}
    _expect_enough(run)
    timeline = timeline_of(run)
    stages = _Stages(progress, len(timeline.decisions), 1 + len(changes))
    stages.begin("ground truth")
    truth, truth_words = _truth(run)
    try:
        makers = ReferenceMaker(run, truth, stages.ask)
        references = makers.of(run.settings.scalarizer)
        live = _Live(run, timeline, makers, stages)
        others = _others(run, timeline, changes, truth, stages)
        stages.begin("what was visited")
        return Analysis(
            run=run,
            truth_words=truth_words,
            references=references,
            agreement=live.agreement(),
            regret=_regret(run, timeline, references),
            visited=visited(run, references.mature),
            interventions=interventions(run, timeline, live.shadows, live.answers),
            against=others,
            retraced=live.retraced(),
        )
    finally:
        if truth is not None:
            truth.close()


def expect_agreed(run: StoredRun) -> None:
    """Raise `NotTrusted` if a record names code or files that forensics would use.

    Without the replayed file only the ground truth is missing from the analysis.
    """
    named = run.outside
    if run.instrument == "replay":
        named += run.instrument_outside
    if named and not run.is_trusted:
        raise NotTrusted(run.path, named)


def _expect_enough(run: StoredRun) -> None:
    usable = sum(m.usable for m in run.measurements)
    if usable < LEAST_USABLE:
        raise ValueError(
            f"{run.path} holds {usable} spectra with a target; forensics needs "
            f"{LEAST_USABLE}"
        )


def _others(
    run: StoredRun,
    timeline: Timeline,
    changes: Mapping[str, Mapping[str, Any]],
    truth: Truth | None,
    stages: _Stages,
) -> tuple[Counterfactual, ...]:
    """Return the counterfactual runs, by the sections in which each differs."""
    others = []
    for name, sections in changes.items():
        stages.begin(name)
        others.append(
            counterfactual(
                run, timeline, sections, truth, name=name, on_step=stages.step
            )
        )
    return tuple(others)


def _regret(run: StoredRun, timeline: Timeline, references: References) -> Regret:
    grounds = Grounds(run)
    opened = np.zeros(run.frame.shape, dtype=bool)
    for decision in timeline.decisions:
        opened |= grounds.of(decision.regions, decision.vetoed).allowed
    path = [(m.proposal.row, m.proposal.column) for m in run.measurements]
    return regret(path, references.best_known, run.settings.goal, opened)


def _truth(run: StoredRun) -> tuple[Truth | None, str]:
    try:
        truth = truth_of(run)
    except NoTruth as error:
        return None, str(error)
    return truth, truth.words


class _Stages:
    """Counter of the completed parts, for progress reports."""

    def __init__(self, progress: Progress, steps: int, passes: int) -> None:
        self._progress, self._total = progress, steps * passes
        self._what, self._done = "", 0

    def begin(self, what: str) -> None:
        self._what = what
        self.ask()

    def step(self) -> None:
        self._done += 1
        self.ask()

    def ask(self) -> None:
        """Give the listener a chance to cancel."""
        self._progress(self._what, self._done, self._total)


class _Live:
    """Replay of a run that notes the live model's predictions and choices."""

    def __init__(
        self,
        run: StoredRun,
        timeline: Timeline,
        makers: ReferenceMaker,
        stages: _Stages,
    ) -> None:
        self._makers, self._stages, self._timeline = makers, stages, timeline
        self.answers: dict[int, Proposal | None] = {}
        self.shadows: dict[int, Proposal | None] = {}
        self._found: dict[str, list[tuple[int, float, float]]] = {}
        stages.begin("step by step")
        self._agent = Shadowed(run, timeline, self._on_answer, self._on_shadow)
        retrace(run, self._agent)

    def agreement(self) -> dict[str, Agreement]:
        """Return the agreement of the live model with each reference."""
        result = {}
        for name, found in self._found.items():
            steps, errors, ranks = zip(*found, strict=True)
            result[name] = Agreement(
                np.array(steps, dtype=np.intp), np.array(errors), np.array(ranks)
            )
        return result

    def retraced(self) -> tuple[int, int]:
        """Return the number of reproduced choices, and the number of choices."""
        asked = [
            (decision.proposal, self.answers[decision.number])
            for decision in self._timeline.decisions
            if decision.proposal.chosen_by is ChosenBy.AGENT
        ]
        same = [
            now is not None and (now.row, now.column) == (then.row, then.column)
            for then, now in asked
        ]
        return sum(same), len(same)

    def _on_answer(self, decision: Decision, answer: Answer) -> None:
        proposal, maps = answer
        self.answers[decision.number] = proposal
        if maps is not None and not decision.is_refused:
            references = self._makers.of(self._agent.settings.scalarizer)
            for name, reference in references.named().items():
                measures = agreement(maps.mean.astype(float), reference)
                found = self._found.setdefault(name, [])
                found.append((decision.proposal.step, *measures))
        self._stages.step()

    def _on_shadow(self, number: int, proposal: Proposal | None) -> None:
        self.shadows[number] = proposal
