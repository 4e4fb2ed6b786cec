"""Reader for untrusted `.npz` files: sizes are checked before arrays are loaded."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.lib.npyio import NpzFile

MOST_BYTES = 2**30
_MOST_RATIO = 20
"""Largest compression ratio that measured or learned numbers can have."""
_FREE_BYTES = 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_IS_ENCRYPTED = 1


@contextmanager
def open_npz(file: IO[bytes]) -> Iterator[NpzFile]:
    """Open a file of numeric arrays.

    Raises
    ------
    ValueError
        If it is not one, is damaged, or its arrays are larger than its contents.
    """
    try:
        _check_sizes(file)
        file.seek(0)
        with np.load(file) as stored:
            yield stored
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:
        raise ValueError(str(error) or "it is damaged") from error


def _check_sizes(file: IO[bytes]) -> None:
    packed = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        most = min(_FREE_BYTES + _MOST_RATIO * packed, MOST_BYTES)
        if unpacked > most:
            raise ValueError(
                f"its arrays would take {unpacked} bytes; of a file of {packed} bytes "
                f"at most {most} are read"
            )
        for member in members:
            is_plain = not member.flag_bits & _IS_ENCRYPTED
            if not is_plain or member.compress_type not in _METHODS:
                raise ValueError(f"{member.filename} in it cannot be unpacked")
            with archive.open(member) as part:
                _check_header(part, member)


def _check_header(part: IO[bytes], member: zipfile.ZipInfo) -> None:
    """Raise `ValueError` if a member is not a numeric array of its size."""
    version = npy.read_magic(part)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(part)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(part)
    else:
        raise ValueError(f"{member.filename} in it has an unknown format")
    if dtype.kind not in "biuf":
        raise ValueError(f"{member.filename} in it holds no numbers")
    if part.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(f"{member.filename} in it has not the size that it states")
