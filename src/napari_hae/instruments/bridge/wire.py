"""Encoding of calls and answers between plugin and server, in msgpack.

Arrays travel as `{shape, dtype, bytes}`, the value types of the protocol as their
fields, metadata as JSON, and errors as the name of their class and their words.
Nothing else is made of what arrives, so that no message can run code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae import metadata
from napari_hae.instruments import base
from napari_hae.types import (
    Area,
    BeamState,
    EnergyAxis,
    ProbePosition,
    ScanImage,
    Spectrum,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

Content = bytes | bytearray

_DEEPEST = 12
"""Deepest nesting of lists and dicts; real messages have 5 levels."""
_TEXT = "utf-8"

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
_METADATA = "Metadata"


@cache
def msgpack() -> Any:
    """Return the module `msgpack`.

    Raises
    ------
    Unsupported
        If the extra `remote` is not installed.
    """
    try:
        import msgpack
    except ImportError as error:
        raise base.Unsupported(
            f"a remote microscope needs msgpack ({error}): "
            'pip install "napari-hae[remote]"'
        ) from error
    return msgpack


def call_bytes(name: str, arguments: Sequence[Any]) -> tuple[bytes, bytes]:
    """Encode a call as head and body; a trailing text is the body, not unpacked."""
    arguments, body = list(arguments), b""
    if arguments and isinstance(arguments[-1], str):
        body = arguments.pop().encode(_TEXT)
    return msgpack().packb([name, packed(arguments)]), body


def call_in(head: Content, body: Content) -> tuple[str, tuple[Any, ...]]:
    """Return the call encoded by `call_bytes`; its arguments are still packed.

    Raises
    ------
    ValueError
        If it is none.
    """
    call = _loaded(head)
    if not (isinstance(call, list) and len(call) == 2 and isinstance(call[0], str)):
        raise ValueError("a call has a name and arguments")
    name, arguments = call
    if not isinstance(arguments, list):
        raise ValueError("the arguments of a call are a list")
    text = (str(body, _TEXT),) if body else ()
    return name, (*arguments, *text)


def reply_bytes(reply: dict[str, Any]) -> bytes:
    """Encode an answer, whose values are packed, for sending."""
    content: bytes = msgpack().packb(reply)
    return content


def reply_in(content: Content) -> dict[str, Any]:
    """Return the answer encoded by `reply_bytes`. Raises `ValueError` if invalid."""
    reply = _loaded(content)
    if not isinstance(reply, dict):
        raise ValueError("an answer has names and values")
    return reply


def _loaded(content: Content) -> Any:
    """Decode bytes by msgpack; no extension types, and only texts as names."""
    try:
        return msgpack().unpackb(content, max_ext_len=0, strict_map_key=True)
    except RecursionError as error:
        raise ValueError("lists lie too deep in each other") from error


def packed(value: Any) -> Any:
    """Encode a value as numbers, texts, bytes, lists and dicts.

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
    if isinstance(value, Mapping):
        return {_KIND: _METADATA, "text": metadata.to_text(value)}
    kind = type(value)
    if is_dataclass(kind) and _VALUES.get(kind.__name__) is kind:
        named = {each.name: packed(getattr(value, each.name)) for each in fields(kind)}
        return {_KIND: kind.__name__, **named}
    raise TypeError(f"a {kind.__name__} does not travel between plugin and server")


def unpacked(value: Any) -> Any:
    """Return the value encoded by `packed`; lists become tuples.

    Raises
    ------
    ValueError, TypeError
        If it is none that `packed` makes.
    """
    return _unpacked(value, _DEEPEST)


def _unpacked(value: Any, deepest: int) -> Any:
    if not isinstance(value, (list, tuple, dict)):
        return value
    if not deepest:
        raise ValueError("values lie too deep in each other")
    if not isinstance(value, dict):
        return tuple(_unpacked(each, deepest - 1) for each in value)
    named = dict(value)
    kind = named.pop(_KIND, None)
    if kind is None:
        return _unpacked_array(**named)
    if kind == _METADATA:
        return metadata.from_text(str(named["text"]))
    if not isinstance(kind, str) or kind not in _VALUES:
        raise ValueError(f"a value of the unknown kind {str(kind)[:50]!r} arrived")
    given = {name: _unpacked(each, deepest - 1) for name, each in named.items()}
    return _VALUES[kind](**given)


def packed_error(error: base.InstrumentError) -> dict[str, str]:
    """Encode an error as the name of its class and its message.

    Errors of other packages travel as the nearest class that this one has.
    """
    names = (kind.__name__ for kind in type(error).__mro__)
    return {_KIND: next(name for name in names if name in _ERRORS), "text": str(error)}


def unpacked_error(values: dict[str, str]) -> base.InstrumentError:
    """Return the error that `packed_error` described."""
    return _ERRORS.get(values[_KIND], base.InstrumentError)(values["text"])


def _packed_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    if array.dtype.hasobject:
        raise TypeError("an array of objects does not travel between plugin and server")
    content = array.tobytes()
    return {"shape": list(array.shape), "dtype": array.dtype.str, "bytes": content}


def _unpacked_array(shape: list[int], dtype: str, bytes: bytes) -> np.ndarray[Any, Any]:
    # A copy: what arrived is read-only, and an instrument's arrays are not.
    return np.frombuffer(bytes, np.dtype(dtype)).reshape(shape).copy()
