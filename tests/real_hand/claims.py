"""The buttons that tests say they press, by their marks `presses`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import real_hand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest


def promised(item: pytest.Item) -> set[str]:
    """The buttons that one test says it presses."""
    return set(_named(item.iter_markers("presses")))


def all_promised() -> set[str]:
    """The buttons that all tests with a real hand say they press."""
    return {
        title
        for module in iter_modules(real_hand.__path__)
        if module.name.startswith("test_")
        for function in vars(import_module(f"real_hand.{module.name}")).values()
        for title in _named(getattr(function, "pytestmark", ()))
    }


def _named(marks: Iterable[pytest.Mark]) -> Iterator[str]:
    for mark in marks:
        if mark.name == "presses":
            yield from mark.args
        elif mark.name == "parametrize":
            for values in mark.args[1]:
                yield from _named(getattr(values, "marks", ()))
