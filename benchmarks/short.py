"""The short form of the comparison: one simulated set, 3 seeds, 25 steps, no peers.

It asks for quality, never for time, and needs nothing outside this repository.

    python benchmarks/short.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench_adapter import Agent
from napari_hae.instruments.simulated_sample import (
    ground_truth,
    pixel_centres_nm,
    sample_of,
)
from napari_hae.instruments.simulated_settings import SimulatedSettings

SEEDS, STEPS, INITIAL = 3, 25, 10
SIDE = 48
BAND_EV = 0.3, 0.4
COUNTS_AT_BEST, COUNTS_OF_IMAGE = 100, 300


@dataclass(frozen=True, eq=False)
class Problem:
    """Candidates of a survey image, what a measurement gives, and what is true."""

    image: np.ndarray
    coords: np.ndarray
    measured: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Attributes
    ----------
    regret
        The best true value minus the best that was measured; the values span 0 to 1.
    top_share
        Share of the best 1 % of all candidates that was measured.
    rmse
        Of the prediction where nothing was measured.
    coverage
        Share of measurements yet to come in the 95 % intervals.
    """

    regret: float
    top_share: float
    rmse: float
    coverage: float


def problem() -> Problem:
    """Corner plasmons of simulated nanoparticles, with the noise of counting."""
    settings = SimulatedSettings(seed=5, particles=12)
    rng = np.random.default_rng(5)
    shape = SIDE, SIDE
    truth = ground_truth(settings, shape, *BAND_EV).astype(float)
    points = pixel_centres_nm(shape, settings.field_nm).reshape(-1, 2)
    haadf = sample_of(settings).image_signals(points)["HAADF"].reshape(shape)
    image = rng.poisson(haadf / haadf.max() * COUNTS_OF_IMAGE) / COUNTS_OF_IMAGE
    counts = truth / truth.max() * COUNTS_AT_BEST
    measured = rng.poisson(counts).astype(float)
    low, span = measured.min(), np.ptp(measured)
    coords = np.stack(np.indices(shape).reshape(2, -1), axis=1)
    return Problem(
        image.astype(np.float32),
        coords,
        (measured.ravel() - low) / span,
        (counts.ravel() - low) / span,
    )


def run(problem: Problem, seed: int) -> tuple[Outcome, Outcome]:
    """What the agent finds, and what as many random measurements find."""
    total = len(problem.coords)
    order = np.random.default_rng(seed).permutation(total)
    known = order[:INITIAL].tolist()
    agent = Agent(seed=seed)
    patches = np.empty((total, 64), np.float32)
    agent.setup(problem.image, problem.coords, patches)
    for _ in range(STEPS):
        answer = agent.step(np.array(known), problem.measured[known], "EI")
        known.append(answer["next"])
    answer = agent.step(np.array(known), problem.measured[known], "EI")
    by_chance = order[: INITIAL + STEPS].tolist()
    mean = np.full(total, problem.measured[by_chance].mean())
    spread = float(problem.measured[by_chance].std())
    nothing = {"mean": mean, "std": np.zeros(total), "noise": spread}
    return outcome(problem, known, answer), outcome(problem, by_chance, nothing)


def outcome(problem: Problem, known: list[int], answer: dict) -> Outcome:
    """Score what was measured and what is predicted."""
    rest = np.setdiff1d(np.arange(len(problem.truth)), known)
    top = np.argsort(-problem.truth)[: len(problem.truth) // 100]
    std = np.hypot(answer["std"], answer["noise"])[rest]
    missed = answer["mean"][rest] - problem.truth[rest]
    ahead = np.abs(answer["mean"][rest] - problem.measured[rest])
    return Outcome(
        regret=float(problem.truth.max() - problem.truth[known].max()),
        top_share=float(np.isin(top, known).mean()),
        rmse=float(np.sqrt(np.mean(missed**2))),
        coverage=float(np.mean(ahead < 1.96 * std)),
    )


def main() -> None:
    """Print both, seed by seed."""
    set_ = problem()
    for seed in range(SEEDS):
        agent, chance = run(set_, seed)
        print(f"seed {seed}\n  agent   {agent}\n  chance  {chance}")


if __name__ == "__main__":
    main()
