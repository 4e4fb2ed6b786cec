"""Arrays of a run in a Zarr store: survey images, spectra, predicted maps.

Spectra are in `spectra`, one row and one chunk per measurement, those whose number of
channels differs from the first in `spectra_of_other_length/STEP`; survey images in
`survey/N`, maps in `maps/STEP` as `(mean, std, acquisition)`, later ones of the same
step in `maps/STEP-2` and so on: an array that the journal names is never overwritten.
The journal's line that names an array has its checksum.
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

# Unwritten chunks take no space: rows are reserved in blocks, so that the array's
# metadata are seldom rewritten.
_ROWS = 1024
_OTHERS = "spectra_of_other_length"


class RunArrays:
    """Reader and writer of the arrays of one run; written data are synced to disk.

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
        # Codecs of the older format can unpickle, which would run code.
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
        """Raise `OSError` if the store no longer exists or was replaced."""
        check_same(self._path, self._opened)

    def copy_maps(self, other: RunArrays, name: str, announced: Announced) -> None:
        """Copy maps from another store under the same name.

        Raises
        ------
        DamagedArray
            If they differ from the journal.
        """
        self._write(f"maps/{name}", other.maps(name, announced))

    def write_survey(self, index: int, data: NDArray[np.float32]) -> None:
        """Store a survey image, shape `(detectors, rows, columns)`."""
        self._write(f"survey/{index}", data)

    def survey(self, index: int, announced: Announced) -> NDArray[np.float32]:
        """Return a stored survey image. Raises `DamagedArray`."""
        return read_array(self._path / "survey" / str(index), announced, 3)

    def free_name(self, step: int) -> str:
        """Return an unused name for maps known before `step`."""
        names = (f"{step}-{n}" if n > 1 else str(step) for n in count(1))
        return next(x for x in names if not (self._path / "maps" / x).exists())

    def write_maps(self, name: str, planes: NDArray[np.float32]) -> None:
        """Store maps, in the form that `maps` returns."""
        self._write(f"maps/{name}", planes)

    def maps(self, name: str, announced: Announced) -> NDArray[np.float32]:
        """Return stored maps `(3, rows, columns)`: mean, std, acquisition function.

        Raises
        ------
        DamagedArray
            If they differ from the journal.
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
        # The same bytes as by zarr, in a tenth of the time: the beam waits for it. The
        # folder is not recreated: it is missing only if the whole store is.
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
        """Return a stored spectrum.

        `channels` is its length, None: that of the run's first one. Raises
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
        # Opening the array for each spectrum would take longer than writing the
        # spectrum.
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
        # All chunks are written, so that a missing one is known to be lost.
        self._group.create_array(
            name,
            data=as_stored(data),
            overwrite=True,
            config={"write_empty_chunks": True},
        )
        _sync(self._path / name)


def _sync(folder: Path) -> None:
    """Wait until the content of a folder, and its name, are on disk."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            sync_directory(path)
            continue
        # Windows syncs only files that are open for writing.
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    for parent in (folder.parent, folder.parent.parent):
        sync_directory(parent)


def _check_zarr() -> None:
    """Raise ImportError with instructions if zarr lacks format 3."""
    if int(zarr.__version__.split(".")[0]) < 3:
        raise ImportError(
            f"napari-hae needs zarr 3 or newer, and zarr {zarr.__version__} is "
            'installed: pip install "zarr>=3.1" (pyxem needs an older one, so that it '
            "belongs in an environment of its own)"
        )
