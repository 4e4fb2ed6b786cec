"""Reading of arrays from a Zarr store that may be damaged or of foreign origin.

Shapes, codecs and sizes of files are checked before anything is allocated. A missing
chunk is an error, and is never replaced by the fill value.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import zarr
from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

LARGEST = 2**28
"""Largest number of values in an array of a run: 1 GiB."""
_METADATA_BYTES = 2**16
_MOST_CHUNKS = 2**16
_FRAME_BYTES = 18
"""Longest header of a zstd frame, in bytes."""
_SLACK_BYTES = 2**10
"""Incompressible data may grow by the size of their headers."""
_UNREADABLE = (OSError, ValueError, RuntimeError, LookupError, TypeError)


class DamagedArray(ValueError):
    """Error for an array that is missing or altered; the text is a predicate.

    Attributes
    ----------
    shape
        Shape of the array, as far as known.
    """

    def __init__(self, why: str, shape: tuple[int, ...] | None = None) -> None:
        super().__init__(why)
        self.shape = shape


@dataclass(frozen=True)
class Announced:
    """Expectations of an array, from the journal.

    Attributes
    ----------
    shape
        None in records of older versions.
    crc32
        See `checksum`; None in records of older versions.
    """

    shape: tuple[int, ...] | None = None
    crc32: int | None = None


class _Values(BaseModel):
    model_config = ConfigDict(extra="allow")


_Size = Annotated[int, Field(ge=1, le=LARGEST, strict=True)]


class _Chunks(_Values):
    chunk_shape: tuple[_Size, ...]


class _Grid(_Values):
    name: Literal["regular"]
    configuration: _Chunks


class _Separator(_Values):
    separator: Literal["/"] = "/"


class _Keys(_Values):
    name: Literal["default"]
    configuration: _Separator = _Separator()


class _Little(_Values):
    endian: Literal["little"]


class _Bytes(_Values):
    name: Literal["bytes"]
    configuration: _Little


class _Zstd(_Values):
    name: Literal["zstd"]


class _Metadata(_Values):
    """Content of `zarr.json` of an array that a run wrote."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    data_type: Literal["float32"]
    shape: tuple[_Size, ...]
    chunk_grid: _Grid
    chunk_key_encoding: _Keys
    codecs: tuple[_Bytes] | tuple[_Bytes, _Zstd]
    storage_transformers: tuple[()] = ()

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        return self.chunk_grid.configuration.chunk_shape

    @property
    def is_compressed(self) -> bool:
        return len(self.codecs) == 2


def as_stored(data: NDArray[Any]) -> Array:
    """Return an array as stored. Raises `ValueError` if it is too large to be read."""
    if data.size > LARGEST:
        raise ValueError(
            f"an array of shape {data.shape} is too large for a record: it has at most "
            f"{LARGEST} numbers"
        )
    return np.ascontiguousarray(data, "<f4")


def checksum(data: NDArray[Any]) -> int:
    """Return the CRC-32 of an array's shape and values, as stored."""
    stored = np.ascontiguousarray(data, "<f4")
    start = zlib.crc32(f"{stored.shape} float32".encode())
    return zlib.crc32(stored.reshape(-1).view(np.uint8).data, start)


def read_array(path: Path, announced: Announced, dimensions: int) -> Array:
    """Return a whole array.

    Raises
    ------
    DamagedArray
        If a part of it is missing, or it differs from the journal.
    """
    metadata = _metadata(path, dimensions)
    shape = announced.shape or metadata.shape
    if metadata.shape != shape or math.prod(shape) > LARGEST:
        raise DamagedArray("has another shape than was written", announced.shape)
    try:
        counts = [
            -(-size // chunk)
            for size, chunk in zip(shape, metadata.chunk_shape, strict=True)
        ]
        _check_chunks(path, metadata, counts, is_whole=announced.crc32 is not None)
        data = _opened(path)[...]
        return _checked(data, announced)
    except DamagedArray as error:
        raise DamagedArray(str(error), shape) from error
    except _UNREADABLE as error:
        raise DamagedArray("is damaged", shape) from error


class Rows:
    """Reader for the rows of an array with one chunk per row.

    Raises
    ------
    DamagedArray
        If there is no such array.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._metadata = path, _metadata(path, 2)
        _, channels = self._metadata.shape
        if self._metadata.chunk_shape != (1, channels):
            raise DamagedArray("is damaged")
        self._array = _opened(path)

    @property
    def length(self) -> int:
        """Return the number of values in a row."""
        return self._metadata.shape[1]

    def read(self, row: int, announced: Announced) -> Array:
        """Return one row. Raises `DamagedArray`."""
        shape = (self.length,)
        try:
            _check_chunk(self._path / "c" / str(row) / "0", self._metadata)
            if row >= self._metadata.shape[0]:
                raise DamagedArray("is damaged: the zarr.json of all has fewer rows")
            return _checked(self._array[row], announced)
        except FileNotFoundError as error:
            raise DamagedArray("is missing", shape) from error
        except DamagedArray as error:
            raise DamagedArray(str(error), shape) from error
        except _UNREADABLE as error:
            raise DamagedArray("is damaged", shape) from error


def _opened(path: Path) -> Any:
    try:
        return zarr.open_array(path, mode="r", zarr_format=3)
    except _UNREADABLE as error:
        raise DamagedArray("is damaged") from error


def _metadata(path: Path, dimensions: int) -> _Metadata:
    file = path / "zarr.json"
    try:
        if file.stat().st_size > _METADATA_BYTES:
            raise DamagedArray("is damaged: its zarr.json is too long")
        found = _Metadata.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise DamagedArray("is missing") from error
    except (OSError, ValidationError) as error:
        raise DamagedArray(
            "is damaged: its zarr.json is not what was written"
        ) from error
    chunk = found.chunk_shape
    fits = len(found.shape) == len(chunk) == dimensions and all(
        part <= whole for part, whole in zip(chunk, found.shape, strict=True)
    )
    if not fits or math.prod(chunk) > LARGEST:
        raise DamagedArray("is damaged: its zarr.json is not what was written")
    return found


def _check_chunks(
    path: Path, metadata: _Metadata, counts: list[int], *, is_whole: bool
) -> None:
    """Raise `DamagedArray` if chunks are missing or larger than allowed.

    Older versions did not write chunks of zeros, so that a loss is detected only if all
    chunks are missing.
    """
    missing, total = 0, math.prod(counts)
    if total > _MOST_CHUNKS:
        raise DamagedArray("is damaged: its zarr.json is not what was written")
    for place in product(*map(range, counts)):
        try:
            _check_chunk(path.joinpath("c", *map(str, place)), metadata)
        except FileNotFoundError:
            missing += 1
    if missing == total:
        raise DamagedArray("is missing")
    if missing and is_whole:
        raise DamagedArray("is incomplete")


def _check_chunk(path: Path, metadata: _Metadata) -> None:
    """Raise `DamagedArray` if a file cannot hold a chunk, before reading it."""
    expected = 4 * math.prod(metadata.chunk_shape)
    size = path.stat().st_size
    if not path.is_file():
        raise DamagedArray("is damaged")
    if metadata.is_compressed:
        with path.open("rb") as file:
            unpacked = _frame_content(file.read(_FRAME_BYTES))
        if unpacked != expected or size > 2 * expected + _SLACK_BYTES:
            raise DamagedArray("is damaged")
    elif size != expected:
        raise DamagedArray("is damaged")


def _frame_content(header: bytes) -> int:
    """Return the content size in bytes that a zstd frame states (RFC 8878, 3.1.1.1)."""
    if header[:4] != b"\x28\xb5\x2f\xfd" or len(header) < 6:
        raise DamagedArray("is damaged")
    descriptor = header[4]
    is_single = bool(descriptor & 0x20)
    begin = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    length = (int(is_single), 2, 4, 8)[descriptor >> 6]
    field = header[begin : begin + length]
    if not length or len(field) < length:
        raise DamagedArray("is damaged")
    return int.from_bytes(field, "little") + (256 if length == 2 else 0)


def _checked(data: Any, announced: Announced) -> Array:
    result: Array = np.asarray(data, dtype=np.float32)
    if announced.crc32 is not None and checksum(result) != announced.crc32:
        raise DamagedArray("is damaged: its checksum is not the one in the journal")
    return result
