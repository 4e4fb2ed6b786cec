"""Findings of forensics, as sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_hae.experiment.forensics.analysis import Analysis
    from napari_hae.experiment.forensics.counterfactual import Counterfactual
    from napari_hae.experiment.forensics.curves import Regret


def summary(analysis: Analysis) -> list[str]:
    """Return a summary of the analysis in a few sentences."""
    run, regret = analysis.run, analysis.regret
    targets = [m.target for m in run.measurements]
    best, unit = run.settings.goal.best(targets), run.settings.scalarizer.unit
    rows, columns = run.frame.shape
    measured = len(targets)
    sentences = [
        f"{measured} spectra on {run.instrument}, {measured / (rows * columns):.1%} of "
        f"{rows} × {columns} pixels; {run.finish_reason or 'not ended'}.",
        f"The best target is {best:.4g} {unit}".rstrip()
        + f", at step {targets.index(best) + 1}.",
        _truth_sentence(analysis),
        chance_sentence(analysis),
    ]
    if measured and len(regret.top):
        known = "the truth" if analysis.has_truth else "the mature model's map"
        sentences.append(
            f"By {known}, {regret.top[-1]} of the places are in the top 1 % of "
            f"{among(regret, 'the field')}; of as many random ones "
            f"{measured * 0.01:.1f} would be."
        )
    same, of = analysis.retraced
    if same < of:
        sentences.append(
            f"Asked again, the agent chose the same in {same} of {of} steps only: what "
            "it would have chosen is not sure here."
        )
    return sentences


def among(regret: Regret, whole: str) -> str:
    """Return the area of comparison: the field, or the allowed part of it."""
    return whole if regret.is_of_field else "what was open to the beam"


def chance_sentence(analysis: Analysis) -> str:
    """Return a sentence that compares the run with a random path, by which measure."""
    said = _against_chance(analysis)
    if analysis.has_truth:
        return said
    return (
        "By the mature model's map, which is the run's own and knows only what was "
        f"measured: {said[0].lower()}{said[1:]}"
    )


def _against_chance(analysis: Analysis) -> str:
    regret, measured = analysis.regret, len(analysis.run.measurements)
    all_ = among(regret, "all")
    better = regret.by_chance[-1] - regret.simple[-1]
    unit = analysis.run.settings.scalarizer.unit
    if better <= 0:
        return (
            f"{measured} random places would be expected to find as much or more: the "
            "agent was no help here."
        )
    if regret.simple[-1] == 0:
        return (
            f"The best place of {all_} was found; as many random ones would be "
            f"expected to fall {regret.by_chance[-1]:.3g} {unit}".rstrip()
            + " short of it."
        )
    return (
        f"The best place found is {regret.simple[-1]:.3g} {unit}".rstrip()
        + f" short of the best of {all_}; that of as many random places would be "
        + f"expected {regret.by_chance[-1]:.3g} short."
    )


def _truth_sentence(analysis: Analysis) -> str:
    if analysis.has_truth:
        return f"The truth is {analysis.truth_words}."
    return (
        f"There is no ground truth: {analysis.truth_words}. The run is held against "
        "the mature model's map, which knows only what was measured."
    )


def against_sentence(other: Counterfactual) -> str:
    """Return a sentence on a counterfactual run."""
    if other.parts_at is None:
        return "It would have gone the same way."
    unit = other.settings.scalarizer.unit
    ours, theirs = other.recorded_best[-1], other.best[-1]
    return (
        f"It leaves the recorded path at step {other.parts_at + 1} and shares "
        f"{other.in_common} of {len(other.path)} pixels with it. Its best target is "
        f"{in_digits(theirs)} {unit}".rstrip()
        + f" (first at step {_first(other.best)}); the recorded path's is "
        + f"{in_digits(ours)} {unit}".rstrip()
        + f" (step {_first(other.recorded_best)})."
    )


def _first(best: Iterable[float]) -> int:
    """Return the step, from 1, at which the final best-so-far value was reached."""
    values = list(best)
    return next((n for n, v in enumerate(values, 1) if v == values[-1]), len(values))


def in_digits(value: float) -> str:
    """Return four digits, or a dash for an unknown value."""
    return f"{value:.4g}" if math.isfinite(value) else "–"
