"""What earlier runs measured, as a file that a new run's model learns from.

An experience is plain data: survey images, measured pixels, and what was found there.
Nothing fitted is in it, so that it outlives another network or another kernel.
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
"""In how many ways numpy says that a file is something else."""


@dataclass(frozen=True, eq=False)
class Visit:
    """What one earlier run measured.

    Attributes
    ----------
    image
        Its survey image, shape `(detectors, rows, columns)`, float32.
    pixels
        Indices of the measured pixels, row by row, `(n,)`.
    values
        What was found there, `(n, k)`: the target, then more about the spectra. Visits
        that are learned from together have the same `k` quantities.
    """

    image: NDArray[np.float32]
    pixels: NDArray[np.intp]
    values: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Experience:
    """What one or several earlier runs measured."""

    visits: tuple[Visit, ...]

    @property
    def detectors(self) -> int:
        """How many detectors the survey images have."""
        return len(self.visits[0].image)

    @property
    def quantities(self) -> int:
        """How many numbers are known of each measured pixel, the target included."""
        return int(self.visits[0].values.shape[1])

    @property
    def measured(self) -> int:
        """How many pixels were measured in all."""
        return sum(len(visit.pixels) for visit in self.visits)

    def __str__(self) -> str:
        more = self.quantities - 1
        kept = f"and {more} component{'s' * (more != 1)}" if more else "alone"
        return f"{self.measured} spectra, their target {kept}"

    def save(self, path: Path) -> None:
        """Write it to a new file.

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
                # Not compressed: the window's thread reads it to check a change.
                np.savez(file, format=FORMAT, visits=len(self.visits), **arrays)
        except FileExistsError as error:
            raise ValueError(f"{path} exists already; choose another name") from error


def load_experience(path: Path) -> Experience:
    """Read what `Experience.save` wrote.

    Raises
    ------
    ValueError
        If the file is not there, or holds something else.
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
    """The earlier runs that the settings name; None if they name none.

    Parameters
    ----------
    detectors
        Of the new run's survey image.

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
    # Pixels of the image that are no finite numbers are filled where it is embedded.
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
