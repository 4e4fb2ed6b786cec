"""Discovery of instruments, scalarizers and acquisition functions by entry point.

The built-in ones are registered in the same way as those of other packages. A broken
plugin is reported by name and skipped.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from napari_hae.printable import shortened

logger = logging.getLogger(__name__)

INSTRUMENTS = "napari_hae.instruments"
SCALARIZERS = "napari_hae.scalarizers"
ACQUISITION_FUNCTIONS = "napari_hae.acquisition_functions"


class UnknownPlugin(ValueError):
    """No plugin of that name is installed, or it cannot be loaded."""


@cache
def _found(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: str) -> tuple[str, ...]:
    """Return the names registered in an entry-point group, in the order found."""
    return tuple(_found(group))


def load(group: str, name: str) -> Any:
    """Return the object registered under `name`.

    Raises
    ------
    UnknownPlugin
        If there is none of that name, or importing it fails; the text says which
        names exist, or what the import said.
    """
    entry = _found(group).get(name)
    if entry is None:
        known = ", ".join(names(group)) or "none"
        said = shortened(name)
        raise UnknownPlugin(f"there is no {said} in {group}; installed: {known}")
    try:
        return entry.load()
    # A third party's import may fail in any way; its name must reach the user.
    except Exception as error:
        raise UnknownPlugin(
            f"the plugin {name!r} of {group} ({entry.value}) cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error


def name_of(group: str, part: type) -> str:
    """Return the name that a class is registered under, else `module:class`."""
    value = f"{part.__module__}:{part.__qualname__}"
    found = (name for name, entry in _found(group).items() if entry.value == value)
    return next(found, value)


def package_of(group: str, name: str) -> str | None:
    """Return package and version that register `name`; None if built in or unknown."""
    entry = _found(group).get(name)
    dist = None if entry is None else entry.dist
    if dist is None or dist.name.replace("_", "-") == "napari-hae":
        return None
    return f"{dist.name} {dist.version}"


def load_all(group: str) -> dict[str, Any]:
    """Return all plugins of a group that load; log and skip the others by name."""
    loaded: dict[str, Any] = {}
    for name in names(group):
        try:
            loaded[name] = load(group, name)
        except UnknownPlugin as error:
            logger.warning("%s", error)
    return loaded
