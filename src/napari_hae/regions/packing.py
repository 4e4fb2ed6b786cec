"""The pixels of painted regions as text, with limits on reading them.

A few characters of compressed text may stand for gigabytes. Nothing is unpacked beyond
what the shape asks for, and no shape is taken that no instrument has.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import checked_shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MOST_BYTES = 1 << 30
"""Memory limit, in bytes, for all painted regions in force together."""

MOST_SIDES = 2_000_000
"""Largest number of sides of a painted region; its outline takes about 100 bytes for
each."""

_LABEL = np.dtype("<i4")


def packed_mask(mask: NDArray[np.bool_]) -> str:
    """Encode a mask as text, one bit for each pixel."""
    return _packed(np.packbits(mask).tobytes())


def packed_labels(labels: NDArray[np.int32]) -> str:
    """Encode labels as text, four bytes for each pixel."""
    return _packed(labels.astype(_LABEL).tobytes())


def unpacked_mask(text: str, shape: tuple[int, int], name: str) -> NDArray[np.bool_]:
    """Return the mask encoded by `packed_mask`.

    Raises
    ------
    ValueError
        If the text does not hold what the shape asks for.
    """
    pixels = shape[0] * shape[1]
    bits = np.frombuffer(_unpacked(text, -(-pixels // 8), name), np.uint8)
    return np.unpackbits(bits, count=pixels).reshape(shape).view(np.bool_)


def unpacked_labels(text: str, shape: tuple[int, int], name: str) -> NDArray[np.int32]:
    """Return the labels encoded by `packed_labels`. Raises like `unpacked_mask`."""
    content = _unpacked(text, shape[0] * shape[1] * _LABEL.itemsize, name)
    return np.frombuffer(content, _LABEL).reshape(shape)


def check_total(regions: Iterable[dict[str, Any]]) -> None:
    """Raise `ValueError` if regions, as JSON values, would take too much memory."""
    total = 0
    for values in regions:
        if "mask" in values:
            rows, columns = checked_shape(values["shape"], _words(values["name"]))
            each = 1 + ("labels" in values) * _LABEL.itemsize
            total += rows * columns * each
    if total > MOST_BYTES:
        raise ValueError(
            f"the painted regions need {total / 2**30:.3g} GiB of memory together; "
            f"at most {MOST_BYTES / 2**30:.3g} GiB are read"
        )


def check_sides(pixels: NDArray[np.bool_] | NDArray[np.int32], name: str) -> None:
    """Raise `ValueError` if the outline of pixels would take too much memory."""
    sides = 0
    for along in (pixels, pixels.T):
        differs = along[1:] != along[:-1]
        # A side goes on as long as the pixels on both sides of it differ.
        sides += int(np.count_nonzero(differs[:, 1:] & ~differs[:, :-1]))
        sides += int(np.count_nonzero(differs[:, :1]))
    if sides > MOST_SIDES:
        raise ValueError(
            f"the outline of {_words(name)} has {sides:.3g} sides; at most "
            f"{MOST_SIDES:.3g} are read"
        )


def shape_of(values: dict[str, Any]) -> tuple[int, int]:
    """Return the shape of a painted region in JSON values. Raises `ValueError`."""
    return checked_shape(values["shape"], _words(values["name"]))


def _words(name: object) -> str:
    return f"the region {str(name)[:100]!r}"


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode("ascii")


def _unpacked(text: str, size: int, name: str) -> bytes:
    """Decode exactly `size` bytes from a text, and not one more."""
    try:
        unpacking = zlib.decompressobj()
        # One byte more shows that there are more, and what follows stays packed.
        packed = base64.b64decode(text, validate=True)
        content = unpacking.decompress(packed, size + 1)
    except (binascii.Error, zlib.error, TypeError, ValueError) as error:
        raise ValueError(
            f"the pixels of {_words(name)} cannot be read: {error}"
        ) from error
    if len(content) != size or not unpacking.eof:
        found = "more" if len(content) > size else f"{len(content)}"
        raise ValueError(
            f"the pixels of {_words(name)} do not fit its shape: {size} bytes "
            f"expected, {found} found"
        )
    return content
