"""Curves over the steps: error of the live model, regret, and chance level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln
from scipy.stats import rankdata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.agent.goal import Goal
    from napari_hae.experiment.forensics.timeline import Pixel

    Array = NDArray[np.float64]

TOP = 0.01
"""Fraction of the pixels that counts as the best."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of the live model's maps with a fixed reference map.

    Attributes
    ----------
    steps
        Steps at which the live model predicted, from 0.
    error
        Root mean square difference, in standard deviations of the reference over the
        field: 1 is no better than predicting its mean.
    rank
        Spearman's rank correlation.
    """

    steps: NDArray[np.intp]
    error: Array
    rank: Array


@dataclass(frozen=True, eq=False)
class Regret:
    """Difference between the best place available and the best place found.

    Places are rated by the reference, not by their measured targets, which are biased
    by noise; so regret is never negative. In the target's unit, one value per step.

    Attributes
    ----------
    simple
        Regret of the best place so far.
    cumulative
        Sum of the regrets of all places so far.
    by_chance
        Expected simple regret of the same number of random places.
    top
        Number of places so far among the best fraction `TOP` of the allowed pixels.
    is_of_field
        True if every pixel of the field was allowed at some time.
    """

    simple: Array
    cumulative: Array
    by_chance: Array
    top: NDArray[np.intp]
    is_of_field: bool


def agreement(live: Array, reference: Array) -> tuple[float, float]:
    """Return error and rank correlation of a live map, see `Agreement`."""
    usable = np.isfinite(reference) & np.isfinite(live)
    is_, seen = reference[usable], live[usable].astype(np.float64)
    spread = float(is_.std()) if len(is_) else 0.0
    if not spread:
        return float("nan"), float("nan")
    error = float(np.sqrt(np.mean((seen - is_) ** 2))) / spread
    if not seen.std():
        return error, float("nan")
    ranks = np.corrcoef(rankdata(seen), rankdata(is_))
    return error, float(ranks[0, 1])


def regret(
    path: Sequence[Pixel],
    reference: Array,
    goal: Goal,
    opened: NDArray[np.bool_],
) -> Regret:
    """Return the regret of a path.

    Parameters
    ----------
    reference
        The target of every pixel, `(rows, columns)`.
    opened
        Same shape, True where the beam was allowed at any time of the run: the best
        place and the random places are taken from these pixels.
    """
    utility = goal.utility_of(reference)
    visited = np.array([utility[pixel] for pixel in path])
    there = utility[opened & np.isfinite(utility)]
    # Possibly no allowed pixel has a known target.
    there = there if len(there) else visited[np.isfinite(visited)]
    best = max(float(there.max()), float(np.nanmax(visited)))
    worst = float(there.min())
    valued = np.where(np.isfinite(visited), visited, worst)
    chance = expected_best(there, len(path))
    limit = np.sort(there)[-max(1, round(TOP * len(there)))]
    return Regret(
        simple=best - np.maximum.accumulate(valued),
        cumulative=np.cumsum(best - valued),
        by_chance=best - chance,
        top=np.cumsum(valued >= limit),
        is_of_field=bool(opened.all()),
    )


def expected_best(values: Array, draws: int) -> Array:
    """Return the expected maximum of 1 to `draws` values drawn without replacement.

    The probability that the k-th smallest of N values is the largest of n drawn ones is
    `C(k - 1, n - 1) / C(N, n)`. Beyond N draws it is the overall maximum. Shape
    `(draws,)`.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    rank = np.arange(1, count + 1)
    result = np.full(draws, ordered[-1])
    for drawn in range(1, min(draws, count) + 1):
        able = rank[drawn - 1 :]
        log_ways = gammaln(able) - gammaln(drawn) - gammaln(able - drawn + 1)
        log_all = gammaln(count + 1) - gammaln(drawn + 1) - gammaln(count - drawn + 1)
        result[drawn - 1] = np.exp(log_ways - log_all) @ ordered[drawn - 1 :]
    return result
