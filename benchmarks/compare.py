"""Compares the agent with other programs, on the same measurements from the same start.

The harness, its data and the other programs lie outside this repository: a folder with
`bench.py`, named by NAPARI_HAE_BENCH or beside the checkout. Runs that are in
`results/` are not repeated; of the agent itself they are, unless `--keep` is given.

    python benchmarks/compare.py [--seeds 10] [--steps 100] [--peers NAME,…] [--keep]
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from report import RESULTS, ROOT, append_row, read_rows, table, versions, write_section

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

HARNESS = Path(os.environ.get("NAPARI_HAE_BENCH", ROOT.parent / "shared" / "bench"))
ROWS = RESULTS / "comparison.jsonl"
OURS = "napari-hae"
ADAPTER = f"{Path(__file__).parent / 'bench_adapter.py'}:Agent"
PEERS = {
    "hae_exact": "haeexact.py:HAEExact",
    "botorch_pca8": "botorch_pca8",
    "botorch_xy": "botorch_xy",
    "botorch_pca8xy": "botorch_pca8xy",
}
SETS = (
    "synthA_corner",
    "synthB_edge",
    "D2_bcf50_AgL",
    "D2_P45_Si",
    "synthA_edge",
    "synthB_corner",
)
FUNCTIONS = ("EI", "UCB")
MARKS = (10, 25, 50, 100)
"""Steps after 10 initial points at which predictions are scored."""

Row = dict


def harness() -> ModuleType:
    """The harness as a module; says what is missing."""
    if not (HARNESS / "bench.py").exists():
        raise SystemExit(
            f"no harness in {HARNESS}: set NAPARI_HAE_BENCH to the folder of bench.py"
        )
    sys.path.insert(0, str(HARNESS))
    os.chdir(HARNESS)
    spec = importlib.util.spec_from_file_location("bench", HARNESS / "bench.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)
    return module


def slim(run: Row) -> Row:
    """What the tables need of a run of the harness."""
    steps = len(run["regret"]) - 1
    at = [mark for mark in (25, 50, 100) if mark <= steps]
    return {
        **{key: run[key] for key in ("agent", "data", "acq", "seed", "hit")},
        "steps": steps,
        "cpu_ms": run["cpu_ms_median"],
        "regret": {str(mark): run["regret"][mark] for mark in at},
        "top1": {str(mark): run["f1"][mark] for mark in at},
        "scores": run["scores"],
    }


def measure(agents: dict[str, str], seeds: int, steps: int) -> None:
    """Run what is not in the results yet."""
    bench = harness()
    done = {(r["agent"], r["data"], r["acq"], r["seed"]) for r in read_rows(ROWS)}
    for seed in range(seeds):
        for data in SETS:
            for name, spec in agents.items():
                for acq in FUNCTIONS:
                    if (name, data, acq, seed) in done:
                        continue
                    run = bench.run_al(
                        bench.agent_factory(spec),
                        data,
                        acq,
                        seed,
                        n_steps=steps,
                        marks=MARKS,
                    )
                    append_row(ROWS, slim({**run, "agent": name}))
                    print(name, data, acq, seed, run["hit"], flush=True)


def summarise(rows: list[Row], acq: str) -> str:
    """Means over sets of means over the seeds that all agents have run."""
    shared = shared_seeds(rows, acq)
    header = ["agent", *(f"regret @{m}" for m in (25, 50, 100))]
    header += ["top 1 % @50", "@100", "first hit", "RMSE @50", "NLPD @50"]
    header += ["coverage @50", "CPU ms/step"]
    lines = []
    for agent in [OURS, *PEERS]:
        picked = {
            data: [r for r in of(rows, agent, data, acq) if r["seed"] in seeds]
            for data, seeds in shared.items()
        }

        def mean(value: Callable[[Row], float], picked: dict = picked) -> float:
            return float(
                np.mean([np.mean([value(r) for r in p]) for p in picked.values()])
            )

        line = [
            f"{mean(lambda r, m=m: r['regret'][m]):.3f}" for m in ("25", "50", "100")
        ]
        line += [f"{mean(lambda r, m=m: r['top1'][m]):.2f}" for m in ("50", "100")]
        never = 100
        hits = [
            np.median([never if r["hit"] is None else r["hit"] for r in p])
            for p in picked.values()
        ]
        line.append(f"{np.mean(hits):.0f}")
        line += [
            f"{mean(lambda r, k=k: r['scores']['50'][k]):.3f}" for k in ("rmse", "nlpd")
        ]
        coverages = [
            np.mean([r["scores"]["50"]["cov95"] for r in p]) for p in picked.values()
        ]
        line.append(f"{min(coverages):.2f}–{max(coverages):.2f}")
        line.append(f"{mean(lambda r: r['cpu_ms']):.1f}")
        lines.append([agent, *line])
    count = " / ".join(str(len(seeds)) for seeds in shared.values())
    return f"**{acq}**, {count} seeds on {', '.join(shared)}:\n\n{table(header, lines)}"


def of(rows: list[Row], agent: str, data: str, acq: str) -> list[Row]:
    """The runs of an agent on a set with an acquisition function."""
    wanted = (agent, data, acq)
    return [r for r in rows if (r["agent"], r["data"], r["acq"]) == wanted]


def shared_seeds(rows: list[Row], acq: str) -> dict[str, set[int]]:
    """For each set the seeds that all agents have run."""
    return {
        data: set.intersection(
            *(
                {r["seed"] for r in of(rows, agent, data, acq)}
                for agent in [OURS, *PEERS]
            )
        )
        for data in SETS
    }


def paired(rows: list[Row], acq: str) -> list[list[str]]:
    """Regret of the agent minus that of the best peer, on the same seeds, per set."""
    rng = np.random.default_rng(0)
    lines = []
    for data, seeds in shared_seeds(rows, acq).items():
        line = [f"{data}, {acq}"]
        for mark in ("25", "50", "100"):
            regrets = {
                agent: np.array(
                    [
                        r["regret"][mark]
                        for r in sorted(
                            of(rows, agent, data, acq), key=lambda r: r["seed"]
                        )
                        if r["seed"] in seeds
                    ]
                )
                for agent in [OURS, *PEERS]
            }
            best = min(PEERS, key=lambda agent: regrets[agent].mean())
            difference = regrets[OURS] - regrets[best]
            drawn = rng.choice(difference, (10_000, len(difference))).mean(axis=1)
            low, high = np.percentile(drawn, [2.5, 97.5])
            line.append(f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}] {best}")
        lines.append(line)
    return lines


def at_twenty(rows: list[Row]) -> str:
    """Coverage of the agent's 95 % intervals from 20 measured points on."""
    lines = []
    for data in SETS:
        for acq in FUNCTIONS:
            runs = of(rows, OURS, data, acq)
            coverages = [
                f"{np.mean([r['scores'][str(mark)]['cov95'] for r in runs]):.3f}"
                for mark in MARKS
            ]
            lines.append([f"{data}, {acq}", *coverages])
    return table(["set", *(f"{10 + mark} points" for mark in MARKS)], lines)


def main() -> None:
    """Measure, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    if not given.keep:
        rows = [r for r in read_rows(ROWS) if r["agent"] != OURS]
        ROWS.write_text("")
        for row in rows:
            append_row(ROWS, row)
    peers = {name: PEERS[name] for name in given.peers.split(",") if name}
    measure({OURS: ADAPTER}, given.seeds, given.steps)
    measure(peers, given.seeds, given.steps)
    rows = read_rows(ROWS)
    header = ["set", "@25", "@50", "@100"]
    differences = table(header, [x for acq in FUNCTIONS for x in paired(rows, acq)])
    text = [versions(), *(summarise(rows, acq) for acq in FUNCTIONS)]
    text += [
        "Regret minus that of the best peer [95 % bootstrap interval]:",
        differences,
    ]
    text += ["Coverage of the agent's 95 % intervals:", at_twenty(rows)]
    write_section("comparison", "\n\n".join(text))


if __name__ == "__main__":
    main()
