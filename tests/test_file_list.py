"""The list of files in the documents is that of the package, with its docstrings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "list_files", ROOT / "scripts" / "list_files.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_is_current(script):
    told = "run `python scripts/list_files.py`"
    assert script.PAGE.read_text("utf-8") == script.page(), told


def test_every_file_says_in_one_sentence_what_it_is_for(script):
    for file in script.PACKAGE.rglob("*.py"):
        sentence = script.first_sentence(file)
        assert sentence.endswith("."), file
        assert len(sentence) < 120, file
