"""Accuracy of the agent's predictions, and its learning curves.

There is no data leakage: a prediction is compared only with the measurement that
followed it, with the target in force at that time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from napari_hae.diagnostics import Insight, Outcome, StepTimes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.agent.goal import Goal
    from napari_hae.types import Measurement

    Array = NDArray[np.float64]

SHARES = (0.5, 0.9)
"""Probabilities of the intervals of a normal distribution used to judge calibration."""
WINDOW = 50
"""Number of predictions in running averages: a much older model says nothing."""
_UNKNOWN = Insight()
_NO_OUTCOME = Outcome(math.nan, math.nan)
_NO_TIMES = StepTimes(math.nan, math.nan, math.nan, math.nan, math.nan)


def with_outcome(measurement: Measurement) -> Measurement:
    """Return the measurement with the outcome of its prediction, if there was one.

    The prediction's variance is that of the model, of the noise that is fitted, and of
    the counting statistics of this measurement, as used by the model itself.
    """
    proposal = measurement.proposal
    missed = measurement.target - proposal.mean
    insight = proposal.insight or _UNKNOWN
    noise_std = np.nan_to_num([insight.fitted_noise_std, measurement.error])
    std = math.hypot(proposal.std, *noise_std)
    if not (math.isfinite(missed) and std > 0):
        return measurement
    return replace(measurement, outcome=Outcome(missed, missed / std))


def half_width(share: float) -> float:
    """Return half the width of the interval with a given normal probability, in std."""
    return float(ndtri((1 + share) / 2))


def inside(measurements: Sequence[Measurement], share: float) -> tuple[int, int]:
    """Return the numbers of outcomes inside that interval, and of all outcomes.

    Measurements without a prediction are left out.
    """
    deviations = [abs(m.outcome.deviations) for m in measurements if m.outcome]
    limit = half_width(share)
    return sum(each <= limit for each in deviations), len(deviations)


@dataclass(frozen=True, eq=False)
class Curves:
    """Learning curves over the steps, all of shape `(m,)`; NaN where unknown.

    Predictions in the unit of the target are known only from the step at which the
    model was given the targets now in force: before, it predicted another quantity.

    Attributes
    ----------
    target, mean, std
        Measured target by the scalarizer in force, and its prediction.
    best
        Best target so far.
    mean_std, spread_std, largest_std, log_likelihood
        See `Insight`.
    missed
        See `Outcome`.
    running_error
        Mean of the absolute one-step-ahead error over the last `WINDOW` predictions.
    shares
        Fractions of the last `WINDOW` predictions inside the intervals of `SHARES`.
    drift_x_nm, drift_y_nm
        Assumed drift of the sample.
    """

    target: Array
    mean: Array
    std: Array
    best: Array
    mean_std: Array
    spread_std: Array
    largest_std: Array
    log_likelihood: Array
    missed: Array
    running_error: Array
    shares: tuple[Array, ...]
    drift_x_nm: Array
    drift_y_nm: Array


def curves(measurements: Sequence[Measurement], goal: Goal) -> Curves:
    """Return the learning curves of a run."""
    proposals = [m.proposal for m in measurements]
    insights = [p.insight or _UNKNOWN for p in proposals]
    outcomes = [m.outcome or _NO_OUTCOME for m in measurements]
    target = np.array([m.target for m in measurements], dtype=float)
    missed = np.array([o.missed for o in outcomes], dtype=float)
    mean = np.array([p.mean for p in proposals], dtype=float)
    of_another = np.arange(len(target)) < _first_of_target(target, mean, missed)

    def of_target(values: Sequence[float] | Array) -> Array:
        return np.where(of_another, np.nan, np.asarray(values, dtype=float))

    missed = of_target(missed)
    drifts = [m.drift_nm or (math.nan, math.nan) for m in measurements]
    deviations = np.abs([o.deviations for o in outcomes])
    return Curves(
        target=target,
        mean=of_target(mean),
        std=of_target([p.std for p in proposals]),
        best=best_so_far(target, goal),
        mean_std=of_target([i.mean_std for i in insights]),
        spread_std=of_target([i.spread_std for i in insights]),
        largest_std=of_target([i.largest_std for i in insights]),
        log_likelihood=np.array([i.log_likelihood for i in insights], dtype=float),
        missed=missed,
        running_error=_running_mean(np.abs(missed)),
        shares=tuple(_running_share(deviations, share) for share in SHARES),
        drift_x_nm=np.array([d[1] for d in drifts], dtype=float),
        drift_y_nm=np.array([d[0] for d in drifts], dtype=float),
    )


def _first_of_target(target: Array, mean: Array, missed: Array) -> int:
    """Return the first measurement predicted in the quantity of the targets in force.

    An outcome keeps its original target: another scalarizer, or other votes, may have
    changed the target of the spectrum since.
    """
    then = np.isfinite(missed)
    now = then & np.isfinite(target)
    if then.any() and not now.any():
        return len(target)
    changed = np.flatnonzero(now & (target - mean != missed))
    return int(changed[-1]) + 1 if len(changed) else 0


def best_so_far(targets: Array, goal: Goal) -> Array:
    """Return the best of all targets up to each one, `(m,)`; NaN before the first."""
    if not len(targets):
        return targets
    utility = goal.utility_of(targets)
    utility = np.where(np.isfinite(utility), utility, -np.inf)
    top = np.maximum.accumulate(utility)
    is_new = top > np.concatenate([[-np.inf], top[:-1]])
    found = np.maximum.accumulate(np.where(is_new, np.arange(len(targets)), 0))
    return np.where(np.isfinite(top), targets[found], np.nan)


@dataclass(frozen=True, eq=False)
class TimeCurves:
    """Time spent per activity in s, all of shape `(m,)`; see `StepTimes`."""

    instrument_s: Array
    waiting_s: Array
    human_s: Array
    agent_s: Array
    disk_s: Array

    @property
    def beam_share(self) -> float:
        """Return the fraction of the run's own time that the beam used, or NaN."""
        used_s, waited_s = np.nansum(self.instrument_s), np.nansum(self.waiting_s)
        return float(used_s / (used_s + waited_s)) if used_s > 0 else math.nan


def time_curves(measurements: Sequence[Measurement]) -> TimeCurves:
    """Return the time spent per activity in each step."""
    times = [m.times or _NO_TIMES for m in measurements]
    return TimeCurves(
        *(
            np.array([getattr(each, name) for each in times], dtype=float)
            for name in ("instrument_s", "waiting_s", "human_s", "agent_s", "disk_s")
        )
    )


def _running_share(deviations: Array, share: float) -> Array:
    inside_ = np.where(np.isfinite(deviations), deviations <= half_width(share), np.nan)
    return _running_mean(inside_)


def _running_mean(values: Array) -> Array:
    """Return the mean of the last `WINDOW` finite values, NaN where none is new."""
    known = np.isfinite(values)
    sums = np.cumsum(values[known])
    sums[WINDOW:] -= sums[:-WINDOW].copy()
    result = np.full(len(values), np.nan)
    result[known] = sums / np.minimum(np.arange(1, len(sums) + 1), WINDOW)
    return result
