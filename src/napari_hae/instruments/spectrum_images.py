"""Reads a spectrum image with its survey images from any file that HyperSpy reads."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.hyperspy_signals import EV_PER_UNIT
from napari_hae.instruments.base import InstrumentError, Unsupported
from napari_hae.instruments.signal_files import (
    in_memory,
    open_signals,
    reading,
    reason,
)
from napari_hae.types import EnergyAxis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1 << 30
"""Larger spectrum images are read from their file as they are asked for."""

_NM_PER_UNIT = {
    "pm": 1e-3,
    "Å": 0.1,
    "nm": 1.0,
    "µm": 1e3,  # U+00B5, the micro sign
    "\u03bcm": 1e3,  # the Greek letter
    "um": 1e3,
    "mm": 1e6,
    "m": 1e9,
}


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
    close
        Closes the file, if it is still needed.
    """

    counts: Any
    energy: EnergyAxis
    detector: str
    survey: NDArray[np.float32]
    survey_detectors: tuple[str, ...]
    fov_nm: tuple[float, float]
    close: Callable[[], None]

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows, columns)`."""
        return int(self.counts.shape[0]), int(self.counts.shape[1])

    def spectrum(self, row: int, column: int) -> NDArray[np.float32]:
        """The counts at one pixel, `(channels,)`.

        Raises
        ------
        InstrumentError
            If they cannot be read from the file.
        """
        try:
            return np.array(in_memory(self.counts[row, column]), dtype=np.float32)
        # A file on a network, say, may fail in any way in the middle of a run.
        except Exception as error:
            raise InstrumentError(
                f"the spectrum in row {row}, column {column} cannot be read from its "
                f"file: {reason(error)}"
            ) from error


def read_spectrum_image(path: Path, survey_path: Path | None) -> SpectrumImage:
    """Read a spectrum image, with its own survey image or one from another file.

    Without any, the survey image is the sum over all channels.

    Raises
    ------
    Unsupported
        If a file cannot be read, holds no spectrum image, or the survey image has
        another shape; the text says what was found and what is needed.
    """
    with ExitStack() as files:
        signals = open_signals(path, files)
        cube = _the_spectrum_image(path, signals)
        columns, rows = cube.axes_manager.navigation_axes
        shape = (rows.size, columns.size)
        energy = _energy_axis(path, cube.axes_manager.signal_axes[0])
        fov_nm = (_length_nm(path, rows), _length_nm(path, columns))
        if survey_path is None:
            images = [each for each in signals if _is_image(each, shape)]
        else:
            images = _surveys_from(survey_path, shape, files)
        with reading(path):
            counts = _counts(cube)
        survey, names = _survey(survey_path or path, images, counts)
        is_lazy = not isinstance(counts, np.ndarray)
        return SpectrumImage(
            counts=counts,
            energy=energy,
            detector=_detector_name(cube),
            survey=survey,
            survey_detectors=names,
            fov_nm=fov_nm,
            close=files.pop_all().close if is_lazy else files.close,
        )


def _the_spectrum_image(path: Path, signals: list[Any]) -> Any:
    found = [each for each in signals if _dimensions(each) == (2, 1) and _is_real(each)]
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
    return "; ".join(map(_signal_in_words, signals))


def _signal_in_words(signal: Any) -> str:
    navigation, signal_dimension = _dimensions(signal)
    size = " × ".join(map(str, signal.data.shape))
    kind = "" if _is_real(signal) else f" of {signal.data.dtype}, not of real numbers"
    return f"{navigation} navigation and {signal_dimension} signal ({size}){kind}"


def _dimensions(signal: Any) -> tuple[int, int]:
    manager = signal.axes_manager
    return manager.navigation_dimension, manager.signal_dimension


def _is_real(signal: Any) -> bool:
    return signal.data.dtype.kind in "buif"


def _is_image(signal: Any, shape: tuple[int, int]) -> bool:
    is_flat = _dimensions(signal) in ((0, 2), (2, 0)) and _is_real(signal)
    return is_flat and signal.data.shape == shape


def _surveys_from(path: Path, shape: tuple[int, int], files: ExitStack) -> list[Any]:
    signals = open_signals(path, files)
    images = [each for each in signals if _is_image(each, shape)]
    if not images:
        raise Unsupported(
            f"the survey image must have the spectrum image's {shape[0]} × {shape[1]} "
            f"pixels, and {path} holds {_in_words(signals)}"
        )
    return images


def _counts(cube: Any) -> Any:
    """The counts, `(rows, columns, channels)`; lazy where they are many."""
    counts = np.moveaxis(cube.data, cube.axes_manager.signal_axes[0].index_in_array, -1)
    # A reader that makes one block of it all reads all of it for any one spectrum.
    is_in_blocks = getattr(counts, "npartitions", 1) > 1
    if is_in_blocks and counts.nbytes > IN_MEMORY_BYTES:
        return counts
    return in_memory(counts)


def _survey(
    path: Path, images: list[Any], counts: Any
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The planes of the survey image and their names; without images, the sum."""
    with reading(path):
        if not images:
            total = in_memory(counts.sum(axis=-1, dtype=np.float64))
            return np.asarray(total, np.float32)[None], ("sum of channels",)
        planes = [np.asarray(in_memory(image.data), np.float32) for image in images]
    titles = [image.metadata.get_item("General.title", "") for image in images]
    return np.stack(planes), _distinct([title or "survey" for title in titles])


def _energy_axis(path: Path, axis: Any) -> EnergyAxis:
    if not axis.is_uniform:
        raise Unsupported(
            f"the energy axis of {path} is not uniform; one with the same step "
            "between all channels is needed"
        )
    unit = _unit(axis)
    if not unit:
        logger.warning(
            "the signal axis of %s has no unit: its channel numbers are taken as eV",
            path,
        )
        return EnergyAxis(0.0, 1.0, axis.size)
    per_unit = EV_PER_UNIT.get(unit)
    if per_unit is None:
        raise Unsupported(
            f"the signal axis of {path} is in {unit}; an energy axis in "
            f"{', '.join(EV_PER_UNIT)} is needed"
        )
    if not (0 < axis.scale < math.inf and math.isfinite(axis.offset)):
        raise Unsupported(
            f"the energy axis of {path} starts at {axis.offset:g} {unit} with a "
            f"step of {axis.scale:g} {unit}; a step above 0 is needed"
        )
    return EnergyAxis(axis.offset * per_unit, axis.scale * per_unit, axis.size)


def _length_nm(path: Path, axis: Any) -> float:
    if not axis.is_uniform:
        raise Unsupported(
            f"the pixels of {path} are not evenly spaced along {axis.name}; that is "
            "needed"
        )
    per_unit = _NM_PER_UNIT.get(_unit(axis))
    if per_unit is None or not math.isfinite(axis.scale) or axis.scale == 0:
        logger.warning(
            "%s has no scale for %s (step %g, unit %s): 1 nm per pixel is taken",
            path,
            axis.name,
            axis.scale,
            _unit(axis) or "none",
        )
        return float(axis.size)
    return float(abs(axis.scale) * per_unit * axis.size)


def _unit(axis: Any) -> str:
    """The unit of an axis; empty where it is undefined."""
    unit = axis.units.strip() if isinstance(axis.units, str) else ""
    return "" if unit == "<undefined>" else unit


def _detector_name(cube: Any) -> str:
    kind = str(cube.metadata.get_item("Signal.signal_type", "") or "")
    return kind.split("_", maxsplit=1)[0] or "spectrum"


def _distinct(names: list[str]) -> tuple[str, ...]:
    """The names, numbered where some are the same."""
    return tuple(
        name if names.count(name) == 1 else f"{name} {index + 1}"
        for index, name in enumerate(names)
    )
