"""Writes the list of the package's files into `docs/files.md`.

What stands there of a file is the first sentence of its docstring, and of a folder that
of its `__init__.py`. Run it by `python scripts/list_files.py` after a change of them.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "napari_hae"
PAGE = ROOT / "docs" / "files.md"
HEAD = """# Files

Made of the docstrings by `python scripts/list_files.py`.
[architecture.md](architecture.md) says how the parts work together.
"""


def first_sentence(file: Path) -> str:
    """The first paragraph of a module's docstring, in one line."""
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def listed(folder: Path) -> str:
    """A section for a folder of the package, and those for the folders in it."""
    name = folder.relative_to(PACKAGE.parent).as_posix()
    lines = [f"\n## {name}/\n", f"{first_sentence(folder / '__init__.py')}\n"]
    files = [each for each in sorted(folder.glob("*.py")) if each.stem != "__init__"]
    lines += [f"- `{each.name}`: {first_sentence(each)}" for each in files]
    inner = sorted(each.parent for each in folder.glob("*/__init__.py"))
    return "\n".join(lines) + "\n" + "".join(listed(each) for each in inner)


def page() -> str:
    """All of the page, as it should be."""
    return HEAD + listed(PACKAGE)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
