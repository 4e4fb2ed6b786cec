"""The arrays of a run in a Zarr store: survey images, spectra, predicted maps.

Spectra lie in `spectra`, one row and one chunk per measurement, those with another
number of channels than the first in `spectra_of_other_length/STEP`; survey images in
`survey/N`, maps in `maps/STEP` as `(mean, std, acquisition)`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_hae.experiment.journal import check_same, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.types import PredictionMaps

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
        self._opened = path.stat()

    def check(self) -> None:
        """Raise `OSError` if the store is not there any more, or is another one."""
        check_same(self._path, self._opened)

    def copy_maps(self, other: RunArrays, step: int) -> None:
        """Store the maps of another store, known before `step`."""
        self._write(f"maps/{step}", other.maps(step))

    def write_survey(self, index: int, data: NDArray[np.float32]) -> None:
        """Store a survey image, shape `(detectors, rows, columns)`."""
        self._write(f"survey/{index}", data)

    def survey(self, index: int) -> NDArray[np.float32]:
        """A stored survey image."""
        return self._read(f"survey/{index}")

    def write_maps(self, maps: PredictionMaps, step: int) -> None:
        """Store the maps that were known before `step`."""
        self._write(f"maps/{step}", np.stack([maps.mean, maps.std, maps.acquisition]))

    def maps(self, step: int) -> NDArray[np.float32]:
        """Stored maps, shape `(3, rows, columns)`: mean, std, acquisition function."""
        return self._read(f"maps/{step}")

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

    def spectrum(self, row: int, channels: int | None = None) -> NDArray[np.float32]:
        """A stored spectrum; all NaN where none was stored.

        `channels` is its length, None that of the run's first one.
        """
        stored: Any = self._group["spectra"]
        if channels not in (None, stored.shape[1]):
            return self._read(f"{_OTHERS}/{row}")
        return np.asarray(stored[row], dtype=np.float32)

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
        self._group.create_array(
            name, data=np.asarray(data, np.float32), overwrite=True
        )
        _sync(self._path / name)

    def _read(self, name: str) -> NDArray[np.float32]:
        stored: Any = self._group[name]
        return np.asarray(stored[:], dtype=np.float32)


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
