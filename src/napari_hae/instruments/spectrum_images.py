"""Reads a spectrum image with its survey images from any file that HyperSpy reads."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.hyperspy_signals import EV_PER_UNIT, hyperspy
from napari_hae.instruments.base import Unsupported
from napari_hae.types import EnergyAxis

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1 << 30
"""Larger spectrum images are read from their file as they are asked for."""

_NM_PER_UNIT = {"pm": 1e-3, "Å": 0.1, "nm": 1.0, "µm": 1e3, "um": 1e3, "mm": 1e6}


@dataclass(frozen=True, eq=False)
class SpectrumImage:
    """A spectrum image and survey images of the same field.

    Attributes
    ----------
    counts
        Shape `(rows, columns, channels)`, a numpy or a dask array.
    survey
        Shape `(detectors, rows, columns)`.
    fov_nm
        `(height, width)`.
    """

    counts: Any
    energy: EnergyAxis
    detector: str
    survey: NDArray[np.float32]
    survey_detectors: tuple[str, ...]
    fov_nm: tuple[float, float]

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows, columns)`."""
        return int(self.counts.shape[0]), int(self.counts.shape[1])

    def spectrum(self, row: int, column: int) -> NDArray[np.float32]:
        """The counts at one pixel, `(channels,)`."""
        return np.asarray(self.counts[row, column], dtype=np.float32)


def read_spectrum_image(path: Path, survey_path: Path | None) -> SpectrumImage:
    """Read a spectrum image, with its own survey image or one from another file.

    Without any, the survey image is the sum over all channels.

    Raises
    ------
    Unsupported
        If a file cannot be read, holds no spectrum image, or the survey image has
        another shape; the text says what was found and what is needed.
    """
    signals = _load(path)
    cube = _the_spectrum_image(path, signals)
    rows, columns = cube.axes_manager.navigation_axes[::-1]
    energy = _energy_axis(path, cube)
    counts = cube.data if cube.data.nbytes > IN_MEMORY_BYTES else _computed(cube.data)
    shape = (rows.size, columns.size)
    if survey_path is None:
        images = [each for each in signals if _is_image(each, shape)]
    else:
        images = _surveys_from(survey_path, shape)
    planes = [np.asarray(_computed(image.data), np.float32) for image in images]
    names = _distinct([image.metadata.General.title or "survey" for image in images])
    if not planes:
        planes, names = [np.asarray(_summed(counts), np.float32)], ("sum of channels",)
    return SpectrumImage(
        counts=counts,
        energy=energy,
        detector=_detector_name(cube),
        survey=np.stack(planes),
        survey_detectors=names,
        fov_nm=(_length_nm(path, rows), _length_nm(path, columns)),
    )


def _load(path: Path) -> list[Any]:
    if not path.is_file() and not path.is_dir():
        raise Unsupported(f"there is no file {path}")
    try:
        loaded = hyperspy().load(path, lazy=True)
    # HyperSpy's readers fail in as many ways as there are formats.
    except Exception as error:
        raise Unsupported(f"HyperSpy cannot read {path}: {error}") from error
    return list(loaded) if isinstance(loaded, list) else [loaded]


def _the_spectrum_image(path: Path, signals: list[Any]) -> Any:
    found = [each for each in signals if _dimensions(each) == (2, 1)]
    if not found:
        raise Unsupported(
            f"{path} holds no spectrum image: a signal with 2 navigation dimensions "
            f"and 1 signal dimension is needed, and it holds {_in_words(signals)}"
        )
    if len(found) > 1:
        logger.warning(
            "%s holds %d spectrum images; the first is taken", path, len(found)
        )
    return found[0]


def _in_words(signals: list[Any]) -> str:
    if not signals:
        return "nothing"
    return "; ".join(
        "{} navigation and {} signal dimensions, {}".format(
            *_dimensions(each), " × ".join(map(str, each.data.shape))
        )
        for each in signals
    )


def _dimensions(signal: Any) -> tuple[int, int]:
    manager = signal.axes_manager
    return manager.navigation_dimension, manager.signal_dimension


def _is_image(signal: Any, shape: tuple[int, int]) -> bool:
    return _dimensions(signal) in ((0, 2), (2, 0)) and signal.data.shape == shape


def _surveys_from(path: Path, shape: tuple[int, int]) -> list[Any]:
    signals = _load(path)
    images = [each for each in signals if _is_image(each, shape)]
    if not images:
        raise Unsupported(
            f"the survey image must have the spectrum image's {shape[0]} × {shape[1]} "
            f"pixels, and {path} holds {_in_words(signals)}"
        )
    return images


def _energy_axis(path: Path, cube: Any) -> EnergyAxis:
    axis = cube.axes_manager.signal_axes[0]
    if not axis.is_uniform:
        raise Unsupported(f"the energy axis of {path} is not uniform; that is needed")
    per_unit = EV_PER_UNIT.get(str(axis.units))
    if per_unit is None:
        raise Unsupported(
            f"the signal axis of {path} is in {axis.units}; an energy axis in "
            f"{', '.join(EV_PER_UNIT)} is needed"
        )
    return EnergyAxis(axis.offset * per_unit, axis.scale * per_unit, axis.size)


def _length_nm(path: Path, axis: Any) -> float:
    per_unit = _NM_PER_UNIT.get(str(axis.units))
    if per_unit is None:
        logger.warning(
            "%s has no scale for %s (unit: %s): 1 nm per pixel is taken",
            path,
            axis.name,
            axis.units,
        )
        return float(axis.size)
    return float(abs(axis.scale) * per_unit * axis.size)


def _detector_name(cube: Any) -> str:
    kind = str(cube.metadata.Signal.signal_type or "")
    return kind.split("_", maxsplit=1)[0] or "spectrum"


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The names, numbered where some are the same."""
    return tuple(
        name if names.count(name) == 1 else f"{name} {index + 1}"
        for index, name in enumerate(names)
    )


def _summed(counts: Any) -> Any:
    return _computed(counts.sum(axis=-1, dtype=np.float64))


def _computed(data: Any) -> Any:
    """A numpy array of what may be a dask array."""
    return data.compute() if hasattr(data, "compute") else data
