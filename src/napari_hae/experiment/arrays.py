"""The arrays of a run in a Zarr store: survey images, spectra, predicted maps.

Spectra lie in `spectra`, one row and one chunk per measurement, those with another
number of channels than the first in `spectra_of_other_length/STEP`; survey images in
`survey/N`, maps in `maps/STEP` as `(mean, std, acquisition)`, later ones of the same
step in `maps/STEP-2` and so on: what was announced is not overwritten. The journal's
line that announces an array has its checksum.
"""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_hae.experiment.array_files import (
    Announced,
    DamagedArray,
    Rows,
    as_stored,
    read_array,
)
from napari_hae.experiment.journal import check_same, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Chunks that are not written take no space: rows are claimed in blocks so that the
# array's metadata is seldom rewritten.
_ROWS = 1024
_OTHERS = "spectra_of_other_length"


class RunArrays:
    """Reads and writes the arrays of one run; what was written is on disk.

    Parameters
    ----------
    path
        The Zarr store, a directory.

    Raises
    ------
    ImportError
        If the installed zarr is older than 3.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        _check_zarr()
        self._path = path
        # The codecs of the older format can unpickle, which runs code.
        self._group = zarr.open_group(
            path,
            mode="a" if writable else "r",
            zarr_format=3,
            use_consolidated=False,
        )
        self._spectra_written: Any = None
        self._spectra_read: Rows | None = None
        self._opened = path.stat()

    def check(self) -> None:
        """Raise `OSError` if the store is not there any more, or is another one."""
        check_same(self._path, self._opened)

    def copy_maps(self, other: RunArrays, name: str, announced: Announced) -> None:
        """Store maps of another store by the same name.

        Raises
        ------
        DamagedArray
            If they are not what was announced.
        """
        self._write(f"maps/{name}", other.maps(name, announced))

    def write_survey(self, index: int, data: NDArray[np.float32]) -> None:
        """Store a survey image, shape `(detectors, rows, columns)`."""
        self._write(f"survey/{index}", data)

    def survey(self, index: int, announced: Announced) -> NDArray[np.float32]:
        """A stored survey image. Raises `DamagedArray`."""
        return read_array(self._path / "survey" / str(index), announced, 3)

    def free_name(self, step: int) -> str:
        """A name for maps that were known before `step`."""
        names = (f"{step}-{n}" if n > 1 else str(step) for n in count(1))
        return next(x for x in names if not (self._path / "maps" / x).exists())

    def write_maps(self, name: str, planes: NDArray[np.float32]) -> None:
        """Store maps, as `maps` gives them."""
        self._write(f"maps/{name}", planes)

    def maps(self, name: str, announced: Announced) -> NDArray[np.float32]:
        """Stored maps, shape `(3, rows, columns)`: mean, std, acquisition function.

        Raises
        ------
        DamagedArray
            If they are not what was announced.
        """
        found = read_array(self._path / "maps" / name, announced, 3)
        if len(found) != 3:
            raise DamagedArray("has another shape than was written")
        return found

    def write_spectrum(self, row: int, counts: NDArray[np.float32]) -> None:
        """Store the spectrum of one measurement, shape `(channels,)`."""
        spectra = self._spectra(len(counts))
        if len(counts) != spectra.shape[1]:
            self._write(f"{_OTHERS}/{row}", counts)
            return
        if row >= spectra.shape[0]:
            spectra.resize(((row // _ROWS + 1) * _ROWS, spectra.shape[1]))
        chunk = self._path / "spectra" / "c" / str(row)
        if spectra.compressors:
            spectra[row] = counts
            _sync(chunk)
            return
        # What zarr would write, in a tenth of the time: the beam waits for it.
        # Its folder is not made anew: it is gone only where all else is.
        chunk.mkdir(exist_ok=True)
        with (chunk / "0").open("wb", buffering=0) as file:
            file.write(np.asarray(counts, "<f4").tobytes())
            os.fsync(file.fileno())
        sync_directory(chunk)
        sync_directory(chunk.parent)
        if not row:
            sync_directory(chunk.parent.parent)

    def spectrum(
        self, row: int, channels: int | None, announced: Announced
    ) -> NDArray[np.float32]:
        """A stored spectrum.

        `channels` is its length, None that of the run's first one. Raises
        `DamagedArray`.
        """
        if self._spectra_read is None:
            self._spectra_read = Rows(self._path / "spectra")
        spectra = self._spectra_read
        if channels in (None, spectra.length):
            return spectra.read(row, announced)
        announced = Announced((channels,), announced.crc32)
        return read_array(self._path / _OTHERS / str(row), announced, 1)

    def _spectra(self, channels: int) -> Any:
        # To open it for each spectrum would take longer than to write the spectrum.
        if self._spectra_written is not None:
            return self._spectra_written
        if "spectra" not in self._group:
            self._group.create_array(
                "spectra",
                shape=(_ROWS, channels),
                chunks=(1, channels),
                dtype="float32",
                fill_value=np.nan,
                compressors=None,
            )
            _sync(self._path / "spectra")
        (self._path / "spectra" / "c").mkdir(exist_ok=True)
        self._spectra_written = self._group["spectra"]
        return self._spectra_written

    def _write(self, name: str, data: NDArray[np.float32]) -> None:
        # All chunks, so that one that is missing was lost.
        self._group.create_array(
            name,
            data=as_stored(data),
            overwrite=True,
            config={"write_empty_chunks": True},
        )
        _sync(self._path / name)


def _sync(folder: Path) -> None:
    """Wait until all that lies in a folder, and its name, is on disk."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_directory(path)
            continue
        # Windows syncs only what is open for writing.
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    for parent in (folder.parent, folder.parent.parent):
        sync_directory(parent)


def _check_zarr() -> None:
    """Raise ImportError, with what to do, where zarr has no format 3."""
    if int(zarr.__version__.split(".")[0]) < 3:
        raise ImportError(
            f"napari-hae needs zarr 3 or newer, and zarr {zarr.__version__} is "
            'installed: pip install "zarr>=3.1" (pyxem needs an older one, so that it '
            "belongs in an environment of its own)"
        )
