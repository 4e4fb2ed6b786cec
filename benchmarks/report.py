"""Puts what benchmarks measured into the documentation."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "docs" / "figures"
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("napari-hae", "torch", "gpytorch", "botorch", "numpy", "scipy")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(name: str, text: str) -> None:
    """Replace what stands between the marks of a section of the page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{PAGE} has no section {name!r}")
    page = f"{before}{begin}\n{text.strip()}\n{end}{after}"
    PAGE.write_text(page, encoding="utf-8")


def versions() -> str:
    """What was measured with."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, {packages}"


def read_rows(file: Path) -> list[dict]:
    """One row per line, as JSON; none if there is no such file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines()]


def append_row(file: Path, row: dict) -> None:
    """Write one row more."""
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(row) + "\n")
