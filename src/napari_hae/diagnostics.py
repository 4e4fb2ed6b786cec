"""Diagnostics of a run, step by step.

All are immutable value types, and hold what was known at their step only.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

NAN = math.nan


def leaning(exploring: float) -> str:
    """Return as text whether a choice exploits or explores; empty if unknown."""
    if not math.isfinite(exploring):
        return ""
    if exploring > 2 / 3:
        return "mostly exploring"
    return "mostly exploiting" if exploring < 1 / 3 else "exploiting and exploring"


def prediction(mean: float, std: float, best: float, exploring: float) -> str:
    """Return as text the prediction for a place and the reason for wanting it."""
    text = f"predicted {mean:.3g} ± {std:.2g}"
    if math.isfinite(best):
        text += f", best so far {best:.3g}"
    return f"{text}: {leaning(exploring)}" if leaning(exploring) else text


def opinion(mean: float, std: float, best: float, rank: float) -> str:
    """Return the prediction for a place the agent did not choose; NaN: no rank."""
    text = prediction(mean, std, best, NAN)
    if not math.isfinite(rank):
        return text
    return f"{text}; number {rank:.0f} by the acquisition function"


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """Runner-up: a place the agent would have chosen without the better ones.

    Attributes
    ----------
    mean, std
        Predicted, in the target's own unit.
    value
        Of the acquisition function.
    exploring
        Share of the value due to exploring, as in `Insight`.
    """

    row: int
    column: int
    mean: float
    std: float
    value: float
    exploring: float = NAN


@dataclass(frozen=True, slots=True)
class Insight:
    """Diagnostics of the agent when it chose a place; NaN where not known.

    Attributes
    ----------
    mean_std, spread_std, largest_std
        Mean, standard deviation and maximum of the predicted standard deviation over
        all candidates that were open, in the target's own unit.
    log_likelihood
        Log marginal likelihood of the standardised targets, per measurement.
    noise_std, fitted_noise_std
        Standard deviation of a usual measurement's noise, and what of it is beyond
        counting statistics, in the target's own unit.
    gain
        The largest expected improvement on the best that is in sight, in the unit of
        the target; not known where the best is not looked for.
    exploring
        Share of the choice due to exploring, from 0 to 1; the rest is due to
        exploiting. See `AcquisitionFunction.exploring`.
    rank
        Its place among all that were open, by the acquisition function; 1 is the best.
    parameter
        The acquisition function's exploration parameter in force; not known where it
        has none.
    trapped
        True if the last measurements, all in similar places, found nothing better.
    fit_failed
        True if the model fell back, as its fit failed.
    runners_up
        The best other places, best first.
    """

    mean_std: float = NAN
    spread_std: float = NAN
    largest_std: float = NAN
    log_likelihood: float = NAN
    noise_std: float = NAN
    fitted_noise_std: float = NAN
    gain: float = NAN
    exploring: float = NAN
    rank: float = NAN
    parameter: float = NAN
    trapped: bool = False
    fit_failed: bool = False
    runners_up: tuple[RunnerUp, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the values for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read back the output of `to_json`, with None for NaN; ignore other keys."""
        known = {
            name: stored[name] for name in cls.__dataclass_fields__ if name in stored
        }
        runners_up = known.pop("runners_up", ())
        numbers = {name: _number(value) for name, value in known.items()}
        return cls(
            **numbers,
            runners_up=tuple(
                RunnerUp(**{name: _number(value) for name, value in each.items()})
                for each in runners_up
            ),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Comparison of a measurement with the prediction made before it.

    Attributes
    ----------
    missed
        Measured minus predicted target, in the target's unit at that time.
    deviations
        The same in predicted standard deviations, the noise of the measurement
        included.
    """

    missed: float
    deviations: float


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Time budget of one step, from the end of the previous exposure, in s.

    Agent and disk work while the beam exposes; it waits for what is left of them.

    Attributes
    ----------
    instrument_s
        The beam was placed, and exposed.
    waiting_s
        The beam waited for agent, disk or program.
    human_s
        The beam waited for a human: pauses, approvals, orders.
    agent_s
        The agent computed the proposal.
    disk_s
        Time to write to disk what was recorded since the previous step.
    """

    instrument_s: float
    waiting_s: float
    human_s: float
    agent_s: float
    disk_s: float

    def to_json(self) -> dict[str, float]:
        """Return the values for the journal, rounded to whole microseconds."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def _number(value: Any) -> Any:
    return NAN if value is None else value
