"""How long a step of the agent takes, against candidates and measured points.

All times are CPU seconds of one thread, medians. Beside two of them stands a floor: the
bare operations that no exact Gaussian process on these inputs can do without, measured
in the same run. At the end a field of 1024² pixels with 1000 points, with its memory.

    python benchmarks/step_time.py [--largest 1024]
"""

from __future__ import annotations

import argparse
import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import math
import resource
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Policy
from napari_hae.agent.policy_settings import InitialDesign, MoveSettings
from napari_hae.types import ScanImage
from report import FIGURES, table, versions, write_section

if TYPE_CHECKING:
    from collections.abc import Callable

SIDES = (32, 64, 128, 256, 512)
POINTS = (10, 30, 100, 300)
FLOOR_SIDE, FLOOR_POINTS = 256, 100
BATCH = 8
EVALUATIONS = 17
"""Of the evidence in a warm fit."""


def field(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random survey image, and the steepness of it as the target."""
    rng = np.random.default_rng(0)
    image = gaussian_filter(rng.standard_normal((side, side)).astype(np.float32), 4)
    target = np.hypot(*np.gradient(image))
    return image, target / target.std()


class Experiment:
    """A policy that was told of so many random pixels."""

    def __init__(self, side: int, points: int, **moves: float) -> None:
        image, self._target = field(side)
        self._allowed = np.ones(image.shape, dtype=bool)
        self.policy = Policy(
            ScanImage(image[None], ("survey",), image.shape, 1e-5),
            model=ModelSettings(device="cpu"),
            acquisition=LogExpectedImprovement(),
            goal=Goal(),
            initial=InitialDesign(points=1),
            seed=0,
            moves=MoveSettings(**moves),
        )
        self.policy.prepare()
        rng = np.random.default_rng(1)
        for index in rng.choice(side * side, points, replace=False):
            self._tell(*divmod(int(index), side))

    def _tell(self, row: int, column: int) -> None:
        self.policy.tell(row, column, float(self._target[row, column]))

    def step(self) -> float:
        """CPU seconds of one proposal; it is measured."""
        begin = time.process_time()
        proposal = self.policy.ask(self.policy.known, self._allowed)
        seconds = time.process_time() - begin
        self._tell(proposal.row, proposal.column)
        return seconds

    def batch(self, count: int) -> float:
        """CPU seconds of each proposal of a batch, which is measured after it."""
        begin = time.process_time()
        proposals = [
            self.policy.ask(self.policy.known + number, self._allowed)
            for number in range(count)
        ]
        seconds = (time.process_time() - begin) / count
        for proposal in proposals:
            self._tell(proposal.row, proposal.column)
        return seconds

    def refit(self) -> float:
        """The same where the hyperparameters are fitted again, from the last fit."""
        surrogate = self.policy._surrogate  # noqa: SLF001
        surrogate._refits.due = 0  # noqa: SLF001
        return self.step()


def medians(side: int, points: int, repeats: int = 5) -> tuple[float, float]:
    """Median CPU seconds of a conditioning step, and of a refit."""
    experiment = Experiment(side, points)
    experiment.step()
    conditioned = [experiment.step() for _ in range(repeats)]
    refitted = [experiment.refit() for _ in range(repeats)]
    return statistics.median(conditioned), statistics.median(refitted)


def variants(side: int, points: int, repeats: int = 7) -> str:
    """What a travel cost and batches do to the time of a proposal, in words."""
    plain, costly = Experiment(side, points), Experiment(side, points, travel_cost=1.0)
    for experiment in (plain, costly):
        experiment.step()
    alone = statistics.median(plain.step() for _ in range(repeats))
    far = statistics.median(costly.step() for _ in range(repeats))
    each = statistics.median(plain.batch(BATCH) for _ in range(repeats))
    return (
        f"At {side}² candidates and {points} points a conditioning step takes "
        f"{1e3 * alone:.1f} ms, with a travel cost {1e3 * far:.1f} ms; a proposal of a "
        f"batch of {BATCH} takes {1e3 * each:.1f} ms, the fits between them included."
    )


def floors(candidates: int, points: int) -> tuple[float, float]:
    """CPU seconds of the bare operations of a conditioning step, and of a refit."""
    rng = np.random.default_rng(0)
    everything = torch.from_numpy(rng.standard_normal((candidates, 10)))
    known = everything[:points].clone()
    rows = torch.from_numpy(rng.standard_normal((points, candidates)))
    gram = known @ known.T / 10 + torch.eye(points).double()
    factor = torch.linalg.cholesky(gram)
    weights = torch.from_numpy(rng.standard_normal(points))
    chunk = 1000

    def kernel(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        # Two of them: what the image shows, and the position.
        values = []
        for columns in (slice(None, 8), slice(8, None)):
            r = (one[:, columns] @ other[:, columns].T).abs_().sqrt_()
            values.append(r.neg().exp_().mul_(r))
        return values[0].add_(values[1])

    def acquisition() -> None:
        z = everything[:, 0]
        torch.log(torch.exp(z * z / -2) + z * torch.special.ndtr(z))

    def condition() -> None:
        torch.mv(rows.T, weights)
        kernel(known[:1], everything)
        acquisition()

    def refit() -> None:
        for _ in range(EVALUATIONS):
            kernel(known, known)
            torch.cholesky_inverse(torch.linalg.cholesky(gram))
        for start in range(0, candidates, chunk):
            part = everything[start : start + chunk]
            solved = torch.linalg.solve_triangular(
                factor, kernel(known, part), upper=False
            )
            weights @ solved
            torch.einsum("mn,mn->n", solved, solved)
        acquisition()

    return _median_time(condition), _median_time(refit)


def _median_time(work: Callable[[], None]) -> float:
    work()
    times = []
    for _ in range(7):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return statistics.median(times)


def largest(side: int, points: int) -> str:
    """A field as large as they come, in a process of its own."""
    run = subprocess.run(
        [sys.executable, __file__, "--child", str(side), str(points)],
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout.strip()


def child(side: int, points: int) -> None:
    """What `largest` starts."""
    begin = time.perf_counter()
    experiment = Experiment(side, points)
    prepared = time.perf_counter() - begin
    first, then = experiment.step(), experiment.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{side}² candidates, {points} points: {prepared:.1f} s for the embedding, "
        f"{first:.0f} s for a step with a fit from the prior, {then:.0f} s "
        f"for the next one; {peak:.0f} MB at the peak."
    )


def plot(times: dict[tuple[int, int], tuple[float, float]]) -> None:
    """Step time against candidates and against points."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True, layout="tight")
    for kind, style in enumerate(("-", "--")):
        for points in POINTS:
            sides = [side for side in SIDES if (side, points) in times]
            y = [1e3 * times[side, points][kind] for side in sides]
            name = f"{points} points" if not kind else None
            colour = f"C{POINTS.index(points)}"
            axes[0].loglog([s * s for s in sides], y, style, color=colour, label=name)
        for side in SIDES:
            y = [1e3 * times[side, points][kind] for points in POINTS]
            name = f"{side}² candidates" if not kind else None
            colour = f"C{SIDES.index(side)}"
            axes[1].loglog(POINTS, y, style, color=colour, label=name)
    axes[0].set(xlabel="candidates", ylabel="CPU time of a step (ms)")
    axes[1].set(xlabel="measured points")
    axes[0].set_title("solid: conditioning, dashed: with a refit", fontsize=9)
    for axis in axes:
        axis.legend(fontsize=7)
    figure.savefig(FIGURES / "step_time.png", dpi=110)


def main() -> None:
    """Measure, plot, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--largest", type=int, default=1024)
    parser.add_argument("--child", type=int, nargs=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.child:
        child(*given.child)
        return
    times = {}
    for side in SIDES:
        for points in POINTS:
            times[side, points] = medians(side, points)
            print(side, points, times[side, points], flush=True)
    plot(times)
    rows = [
        [f"{side}²"]
        + [
            f"{1e3 * a:.1f} / {1e3 * b:.0f}"
            for a, b in (times[side, p] for p in POINTS)
        ]
        for side in SIDES
    ]
    header = ["candidates", *(f"{points} points" for points in POINTS)]
    floor = floors(FLOOR_SIDE**2, FLOOR_POINTS)
    ours = times[FLOOR_SIDE, FLOOR_POINTS]
    ratios = [f"{mine / bare:.1f}" for mine, bare in zip(ours, floor, strict=True)]
    sides = [math.log(side * side) for side in SIDES[2:]]
    slope = np.polyfit(sides, [math.log(times[s, 100][1]) for s in SIDES[2:]], 1)[0]
    text = [
        versions(),
        "CPU time of a step in ms, conditioning / with a refit:",
        table(header, rows),
        f"At {FLOOR_SIDE}² candidates and {FLOOR_POINTS} points the floor is "
        f"{1e3 * floor[0]:.1f} ms for a conditioning step and {1e3 * floor[1]:.0f} ms "
        f"for a refit; the agent takes {ratios[0]} and {ratios[1]} times as long. The "
        f"time of a refit grows with the candidates to the power of {slope:.2f}.",
        variants(FLOOR_SIDE, FLOOR_POINTS),
        largest(given.largest, 1000),
        "![Step time](figures/step_time.png)",
    ]
    write_section("step time", "\n\n".join(text))


if __name__ == "__main__":
    main()
