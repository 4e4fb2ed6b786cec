"""How long a step takes the agent and other programs, in one run of the harness.

One after the other on one thread. AtomAI's, which takes minutes, only where it is
installed (`pip install atomai six`; it does not ask for the latter itself).

    python benchmarks/peer_times.py [--peers NAME,…]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from compare import ADAPTER, HARNESS, OURS
from report import table, versions, write_section

SIDE, POINTS = 64, (10, 50, 100)
PEERS = {"botorch_pca8": "botorch", "atomai_hae": "atomai"}
"""With the package that each one needs."""


def times(agents: list[str]) -> dict[str, dict[int, dict]]:
    """What the harness says of each agent, by the number of measured points."""
    limited = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "times.jsonl"
        command = [sys.executable, str(HARNESS / "bench.py"), "timing"]
        command += ["--agents", ",".join(agents), "--sizes", str(SIDE)]
        command += ["--ns", ",".join(map(str, POINTS)), "--out", str(out)]
        command += ["--kill", "1200"]
        environment = {**os.environ, **limited}
        subprocess.run(command, check=True, cwd=HARNESS, env=environment)
        found: dict[str, dict[int, dict]] = {}
        for line in out.read_text().splitlines():
            row = json.loads(line)
            if "fail" in row:
                raise SystemExit(f"{row['agent']} failed: {row['fail']}")
            found.setdefault(row["agent"], {})[row["n"]] = row
    return found


def main() -> None:
    """Measure, then write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    installed = [peer for peer, package in PEERS.items() if is_installed(package)]
    parser.add_argument("--peers", default=",".join(installed))
    peers = parser.parse_args().peers.split(",")
    if not (HARNESS / "bench.py").exists():
        raise SystemExit(f"no harness in {HARNESS}: set NAPARI_HAE_BENCH to its folder")
    found = times([ADAPTER, *peers])
    ours = found[OURS]
    lines = [[OURS, *(f"{ours[n]['cpu_ms']:.1f}" for n in POINTS)]]
    for peer in peers:
        cells = []
        for n in POINTS:
            cpu_ms = found[peer][n]["cpu_ms"]
            ratio = cpu_ms / ours[n]["cpu_ms"]
            cells.append(f"{cpu_ms:.0f} ({ratio:.0f} times)")
        lines.append([f"`{peer}`", *cells])
    candidates = ours[POINTS[0]]["N"]
    packages = [PEERS[peer] for peer in peers if PEERS[peer] != "botorch"]
    others = "".join(f", {package} {version(package)}" for package in packages)
    text = [
        versions() + others,
        f"{candidates:,}".replace(",", " ") + " candidates, ms:",
        table(["agent", *(f"{n} points" for n in POINTS)], lines),
    ]
    write_section("peer times", "\n\n".join(text))


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(package) is not None


if __name__ == "__main__":
    main()
