"""What each part of the model is worth, on families it has not learned from.

The structure network with the weights `without_particles.npz` was trained as
`training/pretrain.py --hold-out particles` does; the synthetic sets of the harness are
particles, the measured maps are of no family at all.

    python benchmarks/ablation.py [--seeds 5] [--steps 50]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from bench_adapter import Agent
from compare import harness
from napari_hae.agent.structure_network import StructureNetwork
from report import RESULTS, append_row, read_rows, table, versions, write_section

SETS = {
    "particles": ("synthA_corner", "synthA_edge", "synthB_corner", "synthB_edge"),
    "measured": ("D2_bcf50_AgL", "D2_P45_Si"),
}
HELD_OUT = Path(__file__).parent / "weights" / "without_particles.npz"
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
        "pre-trained": {"weights": HELD_OUT},
        "pre-trained, tuned in the run": {"network": "tuned", "weights": HELD_OUT},
        "pre-trained, position left out": {
            "weights": HELD_OUT,
            "position_kernel": False,
        },
        "pre-trained on all families (the default)": {},
    }


def main() -> None:
    """Run all variants and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=50)
    given = parser.parse_args()
    bench = harness()
    ROWS.write_text("")
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in variants(Path(folder)).items():

            def agent(seed: int = 0, settings: dict = settings) -> Agent:
                return Agent(seed=seed, **settings)

            agent.label = name  # type: ignore[attr-defined]
            for data in (data for sets in SETS.values() for data in sets):
                for seed in range(given.seeds):
                    run = bench.run_al(
                        agent, data, "EI", seed, n_steps=given.steps, marks=(10, 50)
                    )
                    last = run["scores"][str(given.steps)]
                    row = {
                        "variant": name,
                        "data": data,
                        "seed": seed,
                        "regret": run["regret"][-1],
                        "top1": run["f1"][-1],
                        **last,
                        "cov_at_20": run["scores"]["10"]["cov95"],
                    }
                    append_row(ROWS, row)
            print(name, flush=True)
    rows = read_rows(ROWS)
    header = ["model", "sets", "regret @50", "top 1 % @50", "RMSE @50", "NLPD @50"]
    header += ["least coverage, 20 points", "60 points"]
    lines = []
    for name in dict.fromkeys(row["variant"] for row in rows):
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
    text = f"{versions()}\n\n{given.seeds} seeds, EI:\n\n{table(header, lines)}"
    write_section("ablation", text)


if __name__ == "__main__":
    main()
