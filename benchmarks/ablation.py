"""What each part of the model is worth, on families it has not learned from.

The structure network with the weights `without_particles.npz` was trained as
`training/pretrain.py --hold-out particles` does, that with `self_supervised.npz` as
`training/self_supervise.py --hold-out particles`; the synthetic sets of the harness are
particles, the measured maps are of no family at all. Runs that are in `results/` are
not repeated; with `--again` they are, of all variants or of those that are named.

    python benchmarks/ablation.py [--seeds 5] [--again [VARIANT …]]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench_adapter import Agent
from compare import HARNESS, harness
from counted_agent import CountedAgent
from napari_hae.agent.structure_network import StructureNetwork
from report import RESULTS, append_row, read_rows, table, versions, write_section

if TYPE_CHECKING:
    from collections.abc import Iterable

STEPS = 50
SETS = {
    "particles": ("synthA_corner", "synthA_edge", "synthB_corner", "synthB_edge"),
    "measured": ("D2_bcf50_AgL", "D2_P45_Si"),
}
WEIGHTS = Path(__file__).parent / "weights"
HELD_OUT = WEIGHTS / "without_particles.npz"
ROWS = RESULTS / "ablation.jsonl"


def variants(folder: Path) -> dict[str, dict]:
    """The settings of each, by the name in the table."""
    torch.manual_seed(0)
    untrained = StructureNetwork().state_dict()
    np.savez(folder / "random.npz", **{k: v.numpy() for k, v in untrained.items()})
    return {
        "no network": {"network": "none"},
        "residual network, fitted in the run": {"network": "residual"},
        "random network": {"weights": folder / "random.npz"},
        "self-supervised": {"weights": WEIGHTS / "self_supervised.npz"},
        "pre-trained": {"weights": HELD_OUT},
        "pre-trained, tuned in the run": {"network": "tuned", "weights": HELD_OUT},
        "pre-trained, position left out": {
            "weights": HELD_OUT,
            "position_kernel": False,
        },
        "pre-trained, told of counting errors": {
            "weights": HELD_OUT,
            "counted": True,
        },
        "pre-trained on all families (the default)": {},
        "the default, told of counting errors": {"counted": True},
    }


def measure(named: dict[str, dict], seeds: int) -> None:
    """Run what is not in the results yet."""
    bench = harness()
    done = {(r["variant"], r["data"], r["seed"]) for r in read_rows(ROWS)}
    for name, settings in named.items():
        for data in (data for sets in SETS.values() for data in sets):

            def agent(
                seed: int = 0, settings: dict = settings, data: str = data
            ) -> Agent:
                given = dict(settings)
                if given.pop("counted", False):
                    return CountedAgent(HARNESS / "data" / f"{data}.npz", seed, **given)
                return Agent(seed=seed, **given)

            agent.label = name  # type: ignore[attr-defined]
            for seed in range(seeds):
                if (name, data, seed) in done:
                    continue
                run = bench.run_al(
                    agent, data, "EI", seed, n_steps=STEPS, marks=(10, STEPS)
                )
                append_row(ROWS, slim({**run, "variant": name}))
        print(name, flush=True)


def slim(run: dict) -> dict:
    """What the table needs of a run of the harness."""
    return {
        **{key: run[key] for key in ("variant", "data", "seed")},
        "regret": run["regret"][-1],
        "top1": run["f1"][-1],
        **run["scores"][str(STEPS)],
        "cov_at_20": run["scores"]["10"]["cov95"],
    }


def summarise(rows: list[dict], names: Iterable[str]) -> str:
    """Means over sets of means over seeds."""
    header = ["model", "sets", f"regret @{STEPS}", f"top 1 % @{STEPS}"]
    header += [f"RMSE @{STEPS}", f"NLPD @{STEPS}"]
    header += ["least coverage, 20 points", f"{10 + STEPS} points"]
    lines = []
    for name in names:
        for group, sets in SETS.items():
            of = [
                [r for r in rows if (r["variant"], r["data"]) == (name, d)]
                for d in sets
            ]
            line = [name, group]
            for key in ("regret", "top1", "rmse", "nlpd"):
                line.append(
                    f"{np.mean([np.mean([r[key] for r in p]) for p in of]):.3f}"
                )
            for key in ("cov_at_20", "cov95"):
                line.append(f"{min(np.mean([r[key] for r in p]) for p in of):.2f}")
            lines.append(line)
    return table(header, lines)


def main() -> None:
    """Measure, then write the section."""
    with tempfile.TemporaryDirectory() as folder:
        named = variants(Path(folder))
        parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
        parser.add_argument("--seeds", type=int, default=5)
        parser.add_argument("--again", nargs="*", choices=named)
        given = parser.parse_args()
        if given.again is not None:
            forgotten = given.again or named
            kept = [r for r in read_rows(ROWS) if r["variant"] not in forgotten]
            ROWS.write_text("")
            for row in kept:
                append_row(ROWS, row)
        measure(named, given.seeds)
    rows = [row for row in read_rows(ROWS) if row["seed"] < given.seeds]
    text = f"{versions()}\n\n{given.seeds} seeds, EI:\n\n{summarise(rows, named)}"
    write_section("ablation", text)


if __name__ == "__main__":
    main()
