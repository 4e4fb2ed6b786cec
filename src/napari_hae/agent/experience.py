"""Measurements of earlier runs, as a file from which a new run's model learns.

An experience is plain data: survey images, measured pixels, and their results. It
contains nothing fitted, so that it outlives another network or another kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.npz_files import open_npz
from napari_hae.files import check_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.agent.model_settings import ModelSettings

FORMAT = 1
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
"""Exceptions that numpy raises for a file of another kind."""


@dataclass(frozen=True, eq=False)
class Visit:
    """Measurements of one earlier run.

    Attributes
    ----------
    image
        Its survey image, shape `(detectors, rows, columns)`, float32.
    pixels
        Indices of the measured pixels, row by row, `(n,)`.
    values
        Results there, `(n, k)`: the target, then further quantities of the spectra.
        Visits used together have the same `k` quantities.
    """

    image: NDArray[np.float32]
    pixels: NDArray[np.intp]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Experience:
    """Measurements of one or several earlier runs."""

    visits: tuple[Visit, ...]

    @property
    def detectors(self) -> int:
        """Number of detectors of the survey images."""
        return len(self.visits[0].image)

    @property
    def quantities(self) -> int:
        """Number of quantities per measured pixel, the target included."""
        return int(self.visits[0].values.shape[1])

    @property
    def measured(self) -> int:
        """Total number of measured pixels."""
        return sum(len(visit.pixels) for visit in self.visits)

    def __str__(self) -> str:
        more = self.quantities - 1
        kept = f"and {more} component{'s' * (more != 1)}" if more else "alone"
        return f"{self.measured} spectra, their target {kept}"

    def save(self, path: Path) -> None:
        """Write the experience to a new file.

        Raises
        ------
        ValueError
            If the file exists; nothing is ever overwritten.
        """
        arrays = {
            f"{name}_{number}": getattr(visit, name)
            for number, visit in enumerate(self.visits)
            for name in ("image", "pixels", "values")
        }
        try:
            with path.open("xb") as file:
                # Uncompressed: the window's thread reads it to check a change.
                np.savez(file, format=FORMAT, visits=len(self.visits), **arrays)
        except FileExistsError as error:
            raise ValueError(f"{path} exists already; choose another name") from error


def load_experience(path: Path) -> Experience:
    """Read a file written by `Experience.save`.

    Raises
    ------
    ValueError
        If the file does not exist, or holds something else.
    """
    try:
        check_file(path)
        with path.open("rb") as file, open_npz(file) as stored:
            if int(stored["format"]) > FORMAT:
                raise ValueError("a newer version of napari-hae wrote it")
            visits = [_visit(stored, n) for n in range(int(stored["visits"]))]
    except _UNREADABLE as error:
        raise ValueError(_no_experience(path, error)) from error
    kinds = {(len(visit.image), visit.values.shape[1]) for visit in visits}
    if len(kinds) != 1:
        raise ValueError(_no_experience(path, "its runs do not fit together"))
    return Experience(tuple(visits))


def experience_for(settings: ModelSettings, detectors: int) -> Experience | None:
    """Load the earlier runs named in the settings; None if they name none.

    Parameters
    ----------
    detectors
        Number of detectors of the new run's survey image.

    Raises
    ------
    ValueError
        If the file cannot be learned from.
    """
    if settings.earlier is None:
        return None
    experience = load_experience(settings.earlier)
    if experience.detectors != detectors:
        raise ValueError(
            f"{settings.earlier} was learned from survey images with detectors: "
            f"{experience.detectors}; this one has {detectors}"
        )
    return experience


def _visit(stored: np.lib.npyio.NpzFile, number: int) -> Visit:
    image, pixels, values = (
        np.asarray(stored[f"{name}_{number}"]) for name in ("image", "pixels", "values")
    )
    fits = image.ndim == 3 and values.ndim == 2 and pixels.shape == values.shape[:1]
    # Non-finite pixels of the image are filled when it is embedded.
    if not (fits and len(pixels)):
        raise ValueError("its arrays do not fit together")
    inside = 0 <= pixels.min() and pixels.max() < image[0].size
    if not (inside and np.isfinite(values).all()):
        raise ValueError("its pixels or values are not possible")
    return Visit(
        image.astype(np.float32), pixels.astype(np.intp), values.astype(np.float64)
    )


def _no_experience(path: Path, why: object) -> str:
    return f"{path} holds no experience of an earlier run: {why}"
