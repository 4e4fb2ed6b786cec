"""Diagnostics of the agent's choice, computed from existing predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.acquisition import ExpectedImprovement
from napari_hae.agent.posterior import Posterior
from napari_hae.diagnostics import Insight, RunnerUp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.agent.acquisition import AcquisitionFunction
    from napari_hae.agent.surrogate import Surrogate

    Array = NDArray[np.float64]

PROMISING = 5
"""Number of the best other places examined for the remaining gain."""
APART = 20
"""Places closer than the field's longer side divided by this are the same place."""
_RNG = np.random.default_rng(0)


@dataclass(frozen=True, eq=False)
class Choice:
    """Record of how one place was chosen among `n` candidates.

    Attributes
    ----------
    chosen
        Index of the place.
    open_
        Candidates that could be chosen, `(rows, columns)`.
    predicted, utility
        The posterior of the target, and of the utility.
    best
        The best known utility.
    values
        Values of the acquisition function, `(n,)`; larger is better.
    acquisition
        The function that chose.
    """

    chosen: int
    open_: NDArray[np.bool_]
    predicted: Posterior
    utility: Posterior
    best: float
    values: Array
    acquisition: AcquisitionFunction


def insight_of(
    choice: Choice, surrogate: Surrogate, *, trapped: bool, places: int
) -> Insight:
    """Return the diagnostics of a choice and of the model behind it.

    `places` places are described, the chosen one included.
    """
    std = choice.predicted.std[choice.open_.ravel()]
    mean_std = float(std.mean())
    others = _best_others(choice, max(places - 1, PROMISING))
    return Insight(
        mean_std=mean_std,
        spread_std=math.sqrt(max(float(std @ std) / len(std) - mean_std**2, 0.0)),
        largest_std=float(std.max()),
        log_likelihood=surrogate.log_likelihood,
        noise_std=surrogate.noise_std,
        fitted_noise_std=surrogate.fitted_noise_std,
        gain=_gain(choice, others[:PROMISING]),
        exploring=_exploring(choice, choice.chosen),
        rank=_rank(choice),
        parameter=_parameter(choice.acquisition),
        trapped=trapped,
        fit_failed=surrogate.fit_failed,
        runners_up=tuple(_described(choice, index) for index in others[: places - 1]),
    )


def _parameter(acquisition: AcquisitionFunction) -> float:
    name = getattr(acquisition, "exploration", None)
    return math.nan if name is None else float(getattr(acquisition, name))


def _exploring(choice: Choice, index: int) -> float:
    return choice.acquisition.exploring(choice.utility, choice.best, index)


def _rank(choice: Choice) -> float:
    value = choice.values[choice.chosen]
    if not math.isfinite(value):
        return math.nan
    return float(1 + np.count_nonzero(choice.values[choice.open_.ravel()] > value))


def _best_others(choice: Choice, count: int) -> list[int]:
    """Return the best other places, best first, without neighbours of better ones."""
    usable = choice.open_.ravel() & np.isfinite(choice.values)
    field = np.where(usable, choice.values, -np.inf).reshape(choice.open_.shape)
    apart = max(1, max(field.shape) // APART)
    found: list[int] = []
    place, width = choice.chosen, choice.open_.shape[1]
    while True:
        row, column = divmod(place, width)
        rows = slice(max(row - apart, 0), row + apart + 1)
        field[rows, max(column - apart, 0) : column + apart + 1] = -np.inf
        place = int(field.argmax())
        if len(found) == count or field.flat[place] == -np.inf:
            return found
        found.append(place)


def _described(choice: Choice, index: int) -> RunnerUp:
    row, column = divmod(index, choice.open_.shape[1])
    planes = (choice.predicted.mean, choice.predicted.std, choice.values)
    mean, std, value = (float(plane[index]) for plane in planes)
    return RunnerUp(row, column, mean, std, value, _exploring(choice, index))


def _gain(choice: Choice, others: list[int]) -> float:
    """Return the largest expected improvement among the most promising places.

    Those are the chosen one, the runners-up, and those with the largest mean alone and
    with some standard deviations added: the maximum over all candidates would cost as
    much as another acquisition function.
    """
    if not choice.acquisition.seeks_best:
        return math.nan
    mean, std = choice.utility.mean, choice.utility.std
    places = [choice.chosen, *others]
    for score in (mean, mean + std / 2, mean + std, mean + 2 * std):
        places.append(int(np.where(choice.open_.ravel(), score, -np.inf).argmax()))
    promising = Posterior(mean[places], std[places], sample=choice.utility.sample)
    return float(ExpectedImprovement()(promising, choice.best, _RNG).max())
