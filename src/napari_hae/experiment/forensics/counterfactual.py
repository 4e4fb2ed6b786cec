"""Counterfactual runs: the path of the agent from the same start, other settings."""

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
"""Sections that may be changed for the agent; the others belong to the recorded
start."""


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """A hypothetical run, compared with the recorded one.

    Attributes
    ----------
    name
        Description of the difference.
    settings
        Settings at the end, with the changes.
    path
        Pixels `(row, column)` in order of measurement.
    targets
        Targets along the path by its own scalarizer; NaN where undefined.
    best, recorded_best
        Best target up to each step, on this path and on the recorded one.
    measured_only
        True if its choice was limited to measured pixels, as the spectra of the others
        are unknown.
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
        """Return the first step, from 0, where the paths differ; None if equal."""
        pairs = zip(self.path, self.recorded_path, strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), None)

    @property
    def in_common(self) -> int:
        """Return the number of pixels that both measured."""
        return len(set(self.path) & set(self.recorded_path))


def changed_sections(run: StoredRun, assignments: Sequence[str]) -> dict[str, Any]:
    """Return the validated agent sections that `section.name=value` texts change.

    A section whose kind is changed starts from the defaults of the new kind.

    Raises
    ------
    BadConfiguration
        If a text is malformed, or a value is not allowed.
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
    """Return the sections, with the recorded band for a scalarizer without one.

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
    changes of settings and the agent's look-ahead are as recorded. Spectra come from
    the record, and from the ground truth where the record has none. Without a ground
    truth, the agent may choose only measured pixels.
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
    """Replay of a run in which the agent's own choices are measured."""

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
        """Return the measurements in order."""
        return self._targets.measurements

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Choose anew at a recorded decision, and measure there."""
        decision = next(self._decisions)
        self.learn_until(self.measurements, proposal.known)
        chosen = self._choose(decision)
        Advisor.repeat(self, proposal, self.measurements)
        self._pixels.append(_pixel(chosen or proposal))
        if chosen is not None and not decision.is_refused:
            self._measure(chosen)
        self._on_step()

    def configure(self, settings: ExperimentSettings) -> None:
        """Apply recorded settings, except for the sections that are changed here."""
        ours = settings.model_copy(update=self._changes)
        super().configure(ours)
        self._targets.scalarizer = ours.scalarizer

    def catch_up(self, measured: Sequence[Measurement]) -> None:
        """Learn as many measurements as the agent had learned in the run."""
        super().catch_up(self.measurements[: len(measured)])

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Recompute all targets with the scalarizer in force here."""
        self._targets.rescore(self._targets.scalarizer)
        known, values = len(targets), list(self._targets.values)
        for step, target in enumerate(targets):
            # A spectrum that the user discarded is discarded here too.
            if not math.isfinite(target) and self._goes_along(step):
                values[step] = math.nan
        super().retarget(values[:known], self._targets.errors[:known])

    def _goes_along(self, step: int) -> bool:
        """Return whether the recorded run measured the same pixel in a step."""
        own, recorded = self.measurements, self._run.measurements
        return _pixel(own[step].proposal) == _pixel(recorded[step].proposal)

    def _choose(self, decision: Decision) -> Proposal | None:
        """Return the recorded position of a human or the design, else the agent's."""
        recorded = decision.proposal
        answer = self.answer(decision)[0]
        pixel = _pixel(recorded)
        visits, spectra = self._visits[pixel], self._recorded.get(pixel, [])
        # The user may have asked to measure a place again.
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
    """Return a scalarizer; one without a band uses the recorded band."""
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
