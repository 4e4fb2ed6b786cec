"""Metadata of a measurement, in the layout of HyperSpy's `metadata`.

Always values of JSON, and never much of them: they travel with spectra, are kept in the
record and go into the export.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

Metadata = Mapping[str, Any]
"""Nested mappings with texts as names; values are of JSON."""
NO_METADATA: Metadata = MappingProxyType({})

LARGEST_BYTES = 1 << 16
_DEEPEST = 8
_MOST_ITEMS = 256
_LONGEST_TEXT = 2048
_LONGEST_NAME = 128
_OF_SOURCE = {
    "General": ("title", "date", "time", "time_zone", "authors", "doi"),
    "Signal": ("signal_type", "quantity"),
    "Sample": (),
    "Acquisition_instrument": (),
}
"""Parts taken over from a signal: these names of a node, or the whole node."""


def bounded(values: Metadata) -> Metadata:
    """Return the values that JSON supports, bounded in size; arrays become lists.

    Whatever is too deep, too long or of another type is left out; all of it, if it is
    more than `LARGEST_BYTES` as JSON still.
    """
    kept = _kept(values, _DEEPEST)
    if len(json.dumps(kept)) > LARGEST_BYTES:
        kept = {
            name: part
            for name, part in kept.items()
            if len(json.dumps(part)) < LARGEST_BYTES // len(kept)
        }
    return MappingProxyType(kept)


def merged(first: Metadata, second: Metadata) -> Metadata:
    """Merge two sets of metadata; where both have a value, the second one wins.

    None in the second one takes a value out.
    """
    both = dict(first)
    for name, value in second.items():
        known = both.get(name)
        is_node = isinstance(known, Mapping) and isinstance(value, Mapping)
        both[name] = merged(known or {}, value) if is_node else value
    return {name: value for name, value in both.items() if value is not None}


def difference(values: Metadata, common: Metadata) -> dict[str, Any]:
    """Return the values that turn `common` into `values` by `merged`."""
    differing: dict[str, Any] = {name: None for name in common if name not in values}
    for name, value in values.items():
        known = common.get(name)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            if parts := difference(value, known):
                differing[name] = parts
        elif name not in common or known != value:
            differing[name] = value
    return differing


def common(first: Metadata, second: Metadata) -> Metadata:
    """Return the entries that are equal in both."""
    if first is second:
        return first
    alike: dict[str, Any] = {}
    for name in [name for name in first if name in second]:
        value, other = first[name], second[name]
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            alike[name] = common(value, other)
        elif value == other:
            alike[name] = value
    return alike


def to_text(values: Metadata) -> str:
    """Return the values as JSON, bounded."""
    return json.dumps(dict(bounded(values)))


def from_text(text: str) -> Metadata:
    """Return the values encoded by `to_text`, bounded.

    Raises
    ------
    ValueError
        If it is none that `to_text` makes.
    """
    if len(text) > LARGEST_BYTES:
        raise ValueError(f"metadata of more than {LARGEST_BYTES} characters")
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("metadata lie too deep in each other") from error
    if not isinstance(values, dict):
        raise ValueError("metadata are names and values")
    return bounded(values)


def source_metadata(signal: Any) -> Metadata:
    """Return the metadata of a HyperSpy signal's measurement."""
    taken: dict[str, Any] = {}
    for node, names in _OF_SOURCE.items():
        found = signal.metadata.get_item(node, None)
        values = found.as_dictionary() if hasattr(found, "as_dictionary") else {}
        part = {name: values[name] for name in names or values if name in values}
        part = {name: value for name, value in part.items() if value not in ("", None)}
        if part:
            taken[node] = part
    return bounded(taken)


def _kept(values: Metadata, depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in list(values.items())[:_MOST_ITEMS]:
        if not _is_name(name):
            continue
        known, plain = _plain(value, depth - 1)
        if known:
            kept[name] = plain
    return kept


def _is_name(name: Any) -> bool:
    """Return whether a name is valid in HyperSpy's tree and in its files.

    A name with an underscore in front is one of Python's, or a mark of a file format.
    """
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        return False
    return bool(name.strip()) and name.isprintable() and not name.startswith("_")


def _plain(value: Any, depth: int) -> tuple[bool, Any]:
    """Return whether a value can be kept, and its stored form; None if it cannot."""
    if hasattr(value, "tolist") and getattr(value, "size", 1) <= _MOST_ITEMS:
        value = value.tolist()
    if isinstance(value, bool | int):
        return True, value
    if isinstance(value, float):
        return math.isfinite(value), value
    if isinstance(value, str):
        return True, value[:_LONGEST_TEXT]
    if depth <= 0:
        return False, None
    if isinstance(value, Mapping):
        return True, _kept(value, depth)
    if isinstance(value, list | tuple):
        items = [_plain(each, depth - 1) for each in value[:_MOST_ITEMS]]
        return True, [plain for known, plain in items if known]
    return False, None
