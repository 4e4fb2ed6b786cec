"""What travels between plugin and server, as values that msgpack knows.

Arrays travel as `{shape, dtype, bytes}`, the value types of the protocol as their
fields, and errors as the name of their class and their words. Nothing else is made of
what arrives, so that no message can run code.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from napari_hae.instruments import base
from napari_hae.types import (
    Area,
    BeamState,
    EnergyAxis,
    ProbePosition,
    ScanImage,
    Spectrum,
)

_VALUES: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        *(Area, BeamState, EnergyAxis, ProbePosition, ScanImage, Spectrum),
        *(base.Capabilities, base.Interval, base.SpectrumDetector, base.Status),
    )
}
_ERRORS = {
    kind.__name__: kind
    for kind in vars(base).values()
    if isinstance(kind, type) and issubclass(kind, base.InstrumentError)
}
_KIND = "kind"


def packed(value: Any) -> Any:
    """A value as numbers, texts, bytes, lists and dicts.

    Raises
    ------
    TypeError
        If it is of a type that does not travel.
    """
    if value is None or type(value) in (bool, int, float, str, bytes):
        return value
    if isinstance(value, np.ndarray):
        return _packed_array(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [packed(each) for each in value]
    if isinstance(value, BeamState):
        return {_KIND: BeamState.__name__, "value": value.value}
    kind = type(value)
    if is_dataclass(kind) and _VALUES.get(kind.__name__) is kind:
        named = {each.name: packed(getattr(value, each.name)) for each in fields(kind)}
        return {_KIND: kind.__name__, **named}
    raise TypeError(f"a {kind.__name__} does not travel between plugin and server")


def unpacked(value: Any) -> Any:
    """The value that `packed` made this of; lists come as tuples.

    Raises
    ------
    ValueError, TypeError
        If it is none that `packed` makes.
    """
    if isinstance(value, (list, tuple)):
        return tuple(unpacked(each) for each in value)
    if not isinstance(value, dict):
        return value
    named = dict(value)
    kind = named.pop(_KIND, None)
    if kind is None:
        return _unpacked_array(**named)
    if kind not in _VALUES:
        raise ValueError(f"a value of the unknown kind {kind!r} arrived")
    return _VALUES[kind](**{name: unpacked(each) for name, each in named.items()})


def packed_error(error: base.InstrumentError) -> dict[str, str]:
    """An error as the name of its class and its words.

    Errors of other packages travel as the nearest class that this one has.
    """
    names = (kind.__name__ for kind in type(error).__mro__)
    return {_KIND: next(name for name in names if name in _ERRORS), "text": str(error)}


def unpacked_error(values: dict[str, str]) -> base.InstrumentError:
    """The error that `packed_error` described."""
    return _ERRORS.get(values[_KIND], base.InstrumentError)(values["text"])


def _packed_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise TypeError("an array of objects does not travel between plugin and server")
    content = array.tobytes()
    return {"shape": list(array.shape), "dtype": array.dtype.str, "bytes": content}


def _unpacked_array(shape: list[int], dtype: str, bytes: bytes) -> np.ndarray[Any, Any]:
    # A copy: what arrived is read-only, and an instrument's arrays are not.
    return np.frombuffer(bytes, np.dtype(dtype)).reshape(shape).copy()
