"""A trap: many good particles beside a rare better one that looks like the bad ones.

python benchmarks/trap_sample.py [--seeds 20] [--steps 150]
"""

from __future__ import annotations

import argparse

import numpy as np

from bench_adapter import Agent
from report import table, versions, write_section

SIDE = 64
_GOOD, _BAD, _BETTER = 9, 6, 2
_NOISE = 0.03


class Sample:
    """One such sample.

    Attributes
    ----------
    image, measured
        The survey image, and what a measurement of each pixel gives.
    is_better
        Where the rare better ones are.
    """

    def __init__(self, seed: int) -> None:
        self._rng = rng = np.random.default_rng(seed)
        self._placed: list[tuple[np.ndarray, float]] = []
        image, truth = np.zeros((2, SIDE, SIDE))
        for _ in range(_BETTER):
            distance = self._place(2.5)
            image += 0.55 * np.exp(-((distance / 1.8) ** 2))
            truth += np.exp(-((distance / 2.0) ** 2))
        for number, radius, seen, value in ((_GOOD, 4.5, 1, 0.6), (_BAD, 3, 0.5, 0.15)):
            for _ in range(number):
                body = 1 / (1 + np.exp(2 * (self._place(radius + 1) - radius)))
                image += seen * body
                truth += value * body
        noise = rng.standard_normal((2, SIDE, SIDE))
        self.image = (image + 0.05 * noise[0]).astype(np.float32)
        self.measured = truth + _NOISE * noise[1]
        self.is_better = truth > 0.8

    def _place(self, radius: float) -> np.ndarray:
        """The distance of all pixels from a new particle that overlaps no other."""
        while True:
            centre = self._rng.uniform(radius + 1, SIDE - radius - 1, 2)
            if all(
                np.hypot(*(centre - other)) > radius + reach + 2
                for other, reach in self._placed
            ):
                self._placed.append((centre, radius))
                rows, columns = np.indices((SIDE, SIDE))
                return np.hypot(rows - centre[0], columns - centre[1])


def steps_needed(seed: int, acq: str, steps: int, *, leave_traps: bool) -> int:
    """Measurements until a better one is hit; all of them if none is."""
    sample = Sample(seed)
    coords = np.stack(np.indices((SIDE, SIDE)).reshape(2, -1), axis=1)
    targets = sample.measured.ravel()
    agent = Agent(seed=seed, moves={"leave_traps": leave_traps})
    agent.setup(sample.image, coords, np.empty((len(coords), 64), np.float32))
    known = np.random.default_rng(seed).permutation(len(coords))[:10].tolist()
    while len(known) < steps and not sample.is_better.ravel()[known].any():
        known.append(agent.step(np.array(known), targets[known], acq)["next"])
    return len(known)


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    rows = []
    for acq in ("EI", "UCB"):
        for leave in (False, True):
            needed = [
                steps_needed(seed, acq, given.steps, leave_traps=leave)
                for seed in range(given.seeds)
            ]
            never = sum(n >= given.steps for n in needed)
            quarter, middle, most = np.percentile(needed, [25, 50, 75])
            row = [acq, "yes" if leave else "no", f"{middle:.0f}"]
            rows.append([*row, f"{quarter:.0f}–{most:.0f}", f"{never}/{given.seeds}"])
            print(rows[-1], flush=True)
    header = ["function", "leaves traps", "median steps", "quartiles", "never"]
    text = f"{versions()}\n\nSteps to the better one, {given.steps} at most:\n\n"
    write_section("traps", text + table(header, rows))


if __name__ == "__main__":
    main()
