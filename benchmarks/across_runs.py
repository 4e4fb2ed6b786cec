"""What an earlier run on a sample of the same kind is worth to a new one.

The earlier run takes 70 spectra, by another seed. Particles: on another synthetic set
with the same band. Maps: on the other half of the map. To see what it may spoil: on
something else. The network is the one that learned from no particles (`ablation.py`),
except in the last rows.

    python benchmarks/across_runs.py [--seeds 6] [--keep]
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

from ablation import HELD_OUT
from bench_adapter import Agent
from compare import HARNESS, harness
from napari_hae.agent.experience import Experience, Visit
from napari_hae.experiment.learning import components
from other_transfers import earlier_hyperparameters, tuned_on
from report import RESULTS, append_row, read_rows, table, versions, write_section

if TYPE_CHECKING:
    from types import ModuleType

ROWS = RESULTS / "across_runs.jsonl"
PAIRS = {
    "particles": [
        ("synthA_corner", "synthB_corner"),
        ("synthB_corner", "synthA_corner"),
        ("synthA_edge", "synthB_edge"),
        ("synthB_edge", "synthA_edge"),
    ],
    "maps": [
        ("D2_bcf50_AgL left", "D2_bcf50_AgL right"),
        ("D2_bcf50_AgL right", "D2_bcf50_AgL left"),
        ("D2_P45_Si left", "D2_P45_Si right"),
        ("D2_P45_Si right", "D2_P45_Si left"),
    ],
    "something else": [
        ("synthA_corner", "synthB_edge"),
        ("D2_P45_Si left", "synthB_corner"),
        ("synthB_edge", "D2_bcf50_AgL right"),
        ("D2_bcf50_AgL left", "D2_P45_Si right"),
    ],
}
NOTHING, EXPECTED = "nothing", "expectations (the agent's way)"
INSTALLED = ", network as installed"
WAYS = (
    NOTHING,
    EXPECTED,
    "expectations of the target alone",
    "hyperparameters as prior",
    "network tuned on the earlier run",
    "network tuned, and expectations",
    NOTHING + INSTALLED,
    EXPECTED + INSTALLED,
)
STEPS, EARLIER_STEPS, EARLIER_SEED = 50, 60, 1000
MARKS = (10, 20, 50)
"""Steps after 10 initial points at which predictions are scored."""
PATCH_PX = 8
SCORES = {
    "regret @25": ("regret", "25"),
    "regret @50": ("regret", "50"),
    "top 1 % @50": ("top1", "50"),
    "first hit": ("hit", "50"),
    "RMSE @10": ("rmse", "10"),
    "@20": ("rmse", "20"),
    "@50": ("rmse", "50"),
    "NLPD @10": ("nlpd", "10"),
    "@20 ": ("nlpd", "20"),
    "@50 ": ("nlpd", "50"),
}
COMPARED = ("regret @25", "top 1 % @50", "RMSE @10", "NLPD @10", "@50 ")


def problem_of(bench: ModuleType, name: str) -> dict:
    """A set of the harness, or the half of one."""
    base, _, half = name.partition(" ")
    whole = bench.whole_problem(base, PATCH_PX)
    if not half:
        return whole
    width = whole["image"].shape[1]
    start, stop = (0, width // 2) if half == "left" else (width // 2, width)
    reach = PATCH_PX // 2
    columns = whole["coords"][:, 1]
    inside = (columns >= start + reach) & (columns <= stop - reach)
    part = {key: whole[key][inside] for key in ("patches", "y", "yt")}
    coords = whole["coords"][inside] - [0, start]
    image = np.ascontiguousarray(whole["image"][:, start:stop])
    return {**part, "image": image, "coords": coords, "name": name}


@cache
def earlier_run(
    bench: ModuleType, name: str, seed: int, weights: Path | None = HELD_OUT
) -> Visit:
    """What an earlier run measured."""
    settings = {"weights": weights}
    run = run_of(bench, settings, name, EARLIER_SEED + seed, EARLIER_STEPS)
    problem = problem_of(bench, name)
    path = run["path"][: 10 + EARLIER_STEPS]
    rows, columns = problem["coords"][path].T
    base, _, half = name.partition(" ")
    cube = np.load(HARNESS / "data" / f"{base}.npz")["cube"]
    shift = cube.shape[1] // 2 if half == "right" else 0
    counts = cube[rows, columns + shift].astype(float)
    values = np.column_stack([problem["y"][path], components(counts)])
    image = problem["image"][None]
    return Visit(image, rows * image.shape[2] + columns, values)


@cache
def tuned_weights(bench: ModuleType, name: str, seed: int, folder: Path) -> Path:
    """The network tuned on an earlier run."""
    out = folder / f"{name} {seed}.npz"
    tuned_on(earlier_run(bench, name, seed), HELD_OUT, out)
    return out


def settings_of(
    way: str, bench: ModuleType, name: str, seed: int, folder: Path, stack: ExitStack
) -> dict:
    """The model's settings of one way to learn from an earlier run."""
    weights = None if way.endswith(INSTALLED) else HELD_OUT
    visit = earlier_run(bench, name, seed, weights)
    if "tuned" in way:
        weights = tuned_weights(bench, name, seed, folder)
    if "prior" in way:
        stack.enter_context(earlier_hyperparameters(visit, weights))
    if "expectations" not in way:
        return {"weights": weights}
    if "alone" in way:
        visit = Visit(visit.image, visit.pixels, visit.values[:, :1])
    file = folder / "experience.npz"
    file.unlink(missing_ok=True)
    Experience((visit,)).save(file)
    return {"weights": weights, "earlier": file}


def measure(seeds: int, folder: Path) -> None:
    """Run everything."""
    bench = harness()
    bench.whole_problem = bench.make_problem  # type: ignore[attr-defined]
    problems = mock.patch.object(
        bench, "make_problem", lambda name, patch: problem_of(bench, name)
    )
    cases = [(group, *pair) for group, pairs in PAIRS.items() for pair in pairs]
    with problems:
        for seed, (group, source, data) in itertools.product(range(seeds), cases):
            for way in WAYS:
                with ExitStack() as stack:
                    settings = settings_of(way, bench, source, seed, folder, stack)
                    run = run_of(bench, settings, data, seed, STEPS, MARKS)
                append_row(ROWS, slim(run, way, group, source))
            print(seed, group, source, "->", data, flush=True)


def run_of(
    bench: ModuleType,
    settings: dict,
    data: str,
    seed: int,
    steps: int,
    marks: tuple[int, ...] = (),
) -> dict:
    """One run of the harness, of an agent with other settings of the model."""

    def agent(seed: int = 0) -> Agent:
        return Agent(seed=seed, **settings)

    agent.label = "napari-hae"  # type: ignore[attr-defined]
    return bench.run_al(agent, data, "EI", seed, n_steps=steps, marks=marks)


def slim(run: dict, way: str, group: str, source: str) -> dict:
    """What the tables need of a run of the harness."""
    never = len(run["regret"]) - 1
    return {
        "way": way,
        "group": group,
        "source": source,
        "data": run["data"],
        "seed": run["seed"],
        "regret": {str(mark): run["regret"][mark] for mark in (25, STEPS)},
        "top1": {"50": run["f1"][50]},
        "hit": {"50": never if run["hit"] is None else run["hit"]},
        **{
            key: {mark: scores[key] for mark, scores in run["scores"].items()}
            for key in ("rmse", "nlpd", "cov95")
        },
    }


def by_case(rows: list[dict], way: str, group: str, key: tuple[str, str]) -> np.ndarray:
    """One score of a way in all runs of a group, `(cases, seeds)`."""
    found = [
        [
            row[key[0]][key[1]]
            for row in sorted(rows, key=lambda row: row["seed"])
            if (row["way"], row["source"], row["data"]) == (way, *pair)
        ]
        for pair in PAIRS[group]
    ]
    return np.array(found, dtype=float)


def means(rows: list[dict]) -> str:
    """Means over all cases of a group; of the coverage the least case."""
    header = [
        "earlier run on",
        "what is carried over",
        *(key.strip() for key in SCORES),
    ]
    header += ["least coverage, 20 points", "60 points"]
    lines = []
    for group in PAIRS:
        for way in WAYS:
            line = [group, way]
            for key, place in SCORES.items():
                mean = by_case(rows, way, group, place).mean()
                line.append(f"{mean:.1f}" if key == "first hit" else f"{mean:.3f}")
            for mark in ("10", "50"):
                cases = by_case(rows, way, group, ("cov95", mark)).mean(axis=1)
                line.append(f"{cases.min():.2f}")
            lines.append(line)
    return table(header, lines)


def differences(rows: list[dict]) -> str:
    """Each way minus nothing, paired; seeds are drawn again within each case."""
    rng = np.random.default_rng(0)
    lines = []
    for group in PAIRS:
        for way in (way for way in WAYS if not way.startswith(NOTHING)):
            nothing = NOTHING + (INSTALLED if way.endswith(INSTALLED) else "")
            line = [group, way]
            for key in COMPARED:
                place = SCORES[key]
                found = by_case(rows, way, group, place)
                found = found - by_case(rows, nothing, group, place)
                drawn = rng.integers(found.shape[1], size=(5000, *found.shape))
                again = np.take_along_axis(found[None], drawn, axis=2).mean(axis=(1, 2))
                low, high = np.percentile(again, [2.5, 97.5])
                line.append(f"{found.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
            lines.append(line)
    names = [*COMPARED[:-1], "NLPD @50"]
    return table(["earlier run on", "what is carried over", *names], lines)


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--keep", action="store_true", help="only write the tables")
    given = parser.parse_args()
    if not given.keep:
        ROWS.write_text("")
        with tempfile.TemporaryDirectory() as folder:
            measure(given.seeds, Path(folder))
    rows = read_rows(ROWS)
    seeds = len({row["seed"] for row in rows})
    text = f"{versions()}\n\n{seeds} seeds, EI:\n\n{means(rows)}"
    text += "\n\nDifference from nothing [95 % bootstrap interval]:\n\n"
    write_section("across runs", text + differences(rows))


if __name__ == "__main__":
    main()
