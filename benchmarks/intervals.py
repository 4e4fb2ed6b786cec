"""Whether the agent's intervals hold what they claim, on many simulated samples.

Samples of the families that `training/families.py` draws from, other ones than the
network has learned from; half of the runs go by EI, half by UCB. With the variances of
the fit alone and with those that cross-validation asks for (`agent/calibration.py`).

    python benchmarks/intervals.py [--samples 10]
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from unittest import mock

import numpy as np

from bench_adapter import Agent
from report import ROOT, table, versions, write_section

sys.path.insert(0, str(ROOT / "training"))

from families import FAMILIES, draw_experiment

SEED = 12345
SIDES = (32, 48, 64)
INITIAL, MARKS = 10, (10, 20, 35, 60)
"""Measured points at which predictions are scored."""
Scores = list[tuple[float, float]]


def measured(family: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A survey image and what a measurement of each pixel gives, both from 0 to 1."""
    rng = np.random.default_rng([SEED, list(FAMILIES).index(family), number])
    sample = draw_experiment(family, int(rng.choice(SIDES)), rng)
    values = sample.target + sample.noise_std * rng.standard_normal(sample.target.shape)
    return scaled(sample.image).astype(np.float32), scaled(values)


def scaled(values: np.ndarray) -> np.ndarray:
    """The same from 0 to 1."""
    return (values - values.min()) / np.ptp(values)


def run(image: np.ndarray, values: np.ndarray, acq: str, seed: int) -> Scores:
    """Coverage of the 95 % intervals, and NLPD, of all other pixels, at the marks."""
    coords = np.stack(np.indices(image.shape).reshape(2, -1), axis=1)
    targets, scores = values.ravel(), []
    rng = np.random.default_rng(seed)
    known = rng.choice(len(targets), INITIAL, replace=False).tolist()
    agent = Agent(seed=seed)
    agent.setup(image, coords, np.empty((len(coords), 0), np.float32))
    while len(known) <= MARKS[-1]:
        answer = agent.step(np.array(known), targets[known], acq)
        if len(known) in MARKS:
            rest = np.setdiff1d(np.arange(len(targets)), known)
            std = np.hypot(answer["std"][rest], answer["noise"]).clip(1e-3)
            missed = (targets[rest] - answer["mean"][rest]) / std
            density = 0.5 * np.log(2 * np.pi * std**2) + 0.5 * missed**2
            inside = np.abs(missed) < 1.96
            scores.append((float(inside.mean()), float(density.mean())))
        known.append(answer["next"])
    return scores


def scores_of(family: str, samples: int) -> np.ndarray:
    """Of all samples, `(samples, marks, 2)`."""
    found = []
    for number in range(samples):
        image, values = measured(family, number)
        found.append(run(image, values, ("EI", "UCB")[number % 2], number))
        print(family, number, found[-1], flush=True)
    return np.array(found)


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=10)
    given = parser.parse_args()
    fit_alone = mock.patch("napari_hae.agent.surrogate.variance_scale", lambda *_: 1.0)
    ways = {"the fit's": fit_alone, "cross-validated": nullcontext()}
    header = ["family", "variances"]
    header += [f"coverage, {mark} points" for mark in MARKS]
    header += [f"NLPD, {mark} points" for mark in MARKS]
    lines, everything = [], {way: [] for way in ways}
    for family in FAMILIES:
        for way, patch in ways.items():
            with patch:
                scores = scores_of(family, given.samples)
            everything[way].append(scores.mean(axis=0))
            lines.append([family, way, *row(scores.mean(axis=0))])
    for way, means in everything.items():
        lines.append(["**mean**", way, *row(np.mean(means, axis=0))])
    count = f"{given.samples} samples of each family:"
    write_section("intervals", "\n\n".join([versions(), count, table(header, lines)]))


def row(means: np.ndarray) -> list[str]:
    """Means `(marks, 2)` as cells."""
    return [f"{c:.3f}" for c in means[:, 0]] + [f"{n:.2f}" for n in means[:, 1]]


if __name__ == "__main__":
    main()
