"""The same start under other settings: where the agent would have gone instead."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.experiment.advisor import Advisor
from napari_hae.experiment.configuration import (
    BadConfiguration,
    assign,
    experiment_settings,
)
from napari_hae.experiment.forensics.references import scored
from napari_hae.experiment.forensics.retracing import Grounds, Retracing, retrace
from napari_hae.experiment.insight import best_so_far
from napari_hae.experiment.targets import Targets
from napari_hae.types import ChosenBy, Measurement, Proposal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_hae.experiment.forensics.timeline import Decision, Pixel, Timeline
    from napari_hae.experiment.forensics.truth import Truth
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.types import Spectrum

    Array = NDArray[np.float64]

AGENTS = ("acquisition", "scalarizer", "goal", "moves", "model")
"""The sections that another agent may have; the rest belongs to the recorded start."""


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """A run that never was, beside the one that was.

    Attributes
    ----------
    name
        What was different, in words.
    settings
        Those of the end, with what was different.
    path
        Its pixels `(row, column)`, in order.
    targets
        Of its path, by its own scalarizer; NaN where none.
    best, recorded_best
        The best target until each step, of its path and of the recorded one.
    measured_only
        Whether it could choose only among pixels that the record measured, since what
        lies in the others is not known.
    """

    name: str
    settings: ExperimentSettings
    path: tuple[Pixel, ...]
    targets: Array
    best: Array
    recorded_best: Array
    measured_only: bool
    recorded_path: tuple[Pixel, ...]

    @property
    def parts_at(self) -> int | None:
        """The first step, from 0, where the paths differ; None if they are the same."""
        pairs = zip(self.path, self.recorded_path, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), None)

    @property
    def in_common(self) -> int:
        """How many pixels both measured."""
        return len(set(self.path) & set(self.recorded_path))


def changed_sections(run: StoredRun, assignments: Sequence[str]) -> dict[str, Any]:
    """The agent's sections that `section.name=value` texts change, validated.

    A section of another kind begins with that kind's defaults.

    Raises
    ------
    BadConfiguration
        If a text has another form, or a value is not allowed.
    """
    given: dict[str, Any] = {}
    assign(given, assignments)
    if strange := [name for name in given if name not in AGENTS]:
        raise BadConfiguration(
            f"{', '.join(strange)} cannot be changed afterwards; what can is "
            f"{', '.join(AGENTS)}"
        )
    recorded = run.settings.model_dump()
    sections = {}
    for name, values in given.items():
        values = values if isinstance(values, dict) else {"kind": values}
        before = recorded[name]
        is_other = values.get("kind", before.get("kind")) != before.get("kind")
        sections[name] = values if is_other else before | values
    settings = experiment_settings(recorded | sections)
    return {name: getattr(settings, name) for name in sections}


def completed(run: StoredRun, sections: Mapping[str, Any]) -> dict[str, Any]:
    """The same sections, with the recorded band for a scalarizer that has none.

    Raises
    ------
    ValueError
        If a scalarizer cannot work on the run's spectra.
    """
    changes = dict(sections)
    if "scalarizer" in changes and run.measurements:
        changes["scalarizer"] = _with_band(run, changes["scalarizer"])
        changes["scalarizer"].check(run.measurements[0].spectrum.energy)
    return changes


def counterfactual(
    run: StoredRun,
    timeline: Timeline,
    changes: Mapping[str, Any],
    truth: Truth | None,
    *,
    name: str,
    on_step: Callable[[], None] = lambda: None,
) -> Counterfactual:
    """Run the agent again from the recorded start, with some sections changed.

    Initial design, positions that a human or a plan chose, regions, vetoes, other
    changes of settings and how far the agent looked ahead are as recorded. What the
    record holds is taken from it; what it does not hold from the ground truth. Without
    one, the agent may choose only what the record measured.
    """
    agent = _Rerun(run, timeline, changes, truth, on_step)
    retrace(run, agent)
    settings = run.settings.model_copy(update=dict(changes))
    values = scored(agent.measurements, settings.scalarizer)[0]
    recorded = scored(run.measurements, settings.scalarizer)[0]
    return Counterfactual(
        name=name,
        settings=settings,
        path=tuple(_pixel(m.proposal) for m in agent.measurements),
        targets=values,
        best=best_so_far(values, settings.goal),
        recorded_best=best_so_far(recorded, settings.goal),
        measured_only=truth is None,
        recorded_path=tuple(_pixel(m.proposal) for m in run.measurements),
    )


class _Rerun(Retracing):
    """Goes through a run as its agent did, and measures what it chooses itself."""

    def __init__(
        self,
        run: StoredRun,
        timeline: Timeline,
        changes: Mapping[str, Any],
        truth: Truth | None,
        on_step: Callable[[], None],
    ) -> None:
        first = run.first_settings.model_copy(update=dict(changes))
        super().__init__(replace(run, first_settings=first), timeline, lambda *_: None)
        self._run, self._frame, self._changes = run, run.frame, dict(changes)
        self._truth, self._on_step = truth, on_step
        self._recorded: dict[Pixel, list[Spectrum]] = {}
        for measured in run.measurements:
            spectra = self._recorded.setdefault(_pixel(measured.proposal), [])
            spectra.append(measured.spectrum)
        self._visits: Counter[Pixel] = Counter()
        self._targets = Targets(first.scalarizer)
        if truth is None:
            among = np.zeros(self._frame.shape, dtype=bool)
            for pixel in self._recorded:
                among[pixel] = True
            self._grounds = Grounds(run, among)

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """What it measured, in order."""
        return self._targets.measurements

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Choose in the place of a recorded decision, and measure there."""
        decision = next(self._decisions)
        self.learn_until(self.measurements, proposal.known)
        chosen = self._choose(decision)
        Advisor.repeat(self, proposal, self.measurements)
        self._pixels.append(_pixel(chosen or proposal))
        if chosen is not None and not decision.is_refused:
            self._measure(chosen)
        self._on_step()

    def configure(self, settings: ExperimentSettings) -> None:
        """Take over recorded settings, but for what is different here."""
        ours = settings.model_copy(update=self._changes)
        super().configure(ours)
        self._targets.scalarizer = ours.scalarizer

    def catch_up(self, measured: Sequence[Measurement]) -> None:
        """Learn as many measurements as the run's agent learned."""
        super().catch_up(self.measurements[: len(measured)])

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Score everything again by the scalarizer in force here."""
        self._targets.rescore(self._targets.scalarizer)
        known, values = len(targets), list(self._targets.values)
        for step, target in enumerate(targets):
            # A spectrum that a person discarded is discarded here too.
            if not math.isfinite(target) and self._goes_along(step):
                values[step] = math.nan
        super().retarget(values[:known], self._targets.errors[:known])

    def _goes_along(self, step: int) -> bool:
        """Whether the recorded run measured the same pixel in a step."""
        own, recorded = self.measurements, self._run.measurements
        return _pixel(own[step].proposal) == _pixel(recorded[step].proposal)

    def _choose(self, decision: Decision) -> Proposal | None:
        """The recorded position where a human or the design chose; else the agent's."""
        recorded = decision.proposal
        answer = self.answer(decision)[0]
        pixel = _pixel(recorded)
        visits, spectra = self._visits[pixel], self._recorded.get(pixel, [])
        # A person may have had a place measured again.
        is_left = visits == 0 or visits < len(spectra)
        if recorded.chosen_by is not ChosenBy.AGENT and is_left:
            return recorded
        return answer

    def _measure(self, proposal: Proposal) -> None:
        pixel = _pixel(proposal)
        if spectra := self._recorded.get(pixel):
            spectrum = spectra[min(self._visits[pixel], len(spectra) - 1)]
        else:
            assert self._truth is not None
            spectrum = self._truth.measured(*pixel)
        self._visits[pixel] += 1
        y_nm, x_nm = self._frame.nm(proposal.position)
        nothing = Measurement(proposal, spectrum, math.nan, x_nm=x_nm, y_nm=y_nm)
        self._targets.add(self._targets.score(nothing))


def _with_band(run: StoredRun, section: Any) -> Any:
    """A scalarizer without a band looks at the recorded one."""
    recorded = run.settings.scalarizer
    if not (isinstance(section, BandScalarizer) and section.is_automatic):
        return section
    if isinstance(recorded, BandScalarizer) and recorded.band_ev is not None:
        return section.with_band(*recorded.band_ev)
    raise BadConfiguration(
        "the run chose no band; give scalarizer.low_ev and scalarizer.high_ev"
    )


def _pixel(proposal: Proposal) -> Pixel:
    return proposal.row, proposal.column
