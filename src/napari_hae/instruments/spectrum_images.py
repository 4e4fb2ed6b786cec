"""Reader of spectrum images and their survey images, for any HyperSpy file."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_hae.instruments.base import BLANK, InstrumentError, Unsupported
from napari_hae.instruments.signal_files import (
    CannotBeRead,
    in_memory,
    in_words,
    is_real,
    open_signals,
    reading,
    reason,
)
from napari_hae.instruments.spectrum_axes import axes_of
from napari_hae.instruments.survey_images import chosen_images, is_image_of, planes_of
from napari_hae.metadata import NO_METADATA, Metadata, source_metadata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.instruments.spectrum_axes import SpectrumAxes
    from napari_hae.types import EnergyAxis

logger = logging.getLogger(__name__)

IN_MEMORY_BYTES = 1 << 30
"""Larger spectrum images are read from their file as they are asked for."""

WithoutImage = Literal["blank", "sum_of_channels"]
"""Survey image where no file has one: a blank image, or the sum of the
spectra, which the agent then knows before it measures any of them."""


@dataclass(frozen=True)
class FileChoices:
    """User's choices in a file; empty where the file decides.

    Attributes
    ----------
    reader
        The name of HyperSpy's reader.
    spectrum_image
        Title or number, from 1, of the spectrum image.
    energy_axis
        Name or number, from 1, of the energy axis.
    survey_image
        Title or number, from 1, of the survey image among those of its shape.
    """

    reader: str = ""
    spectrum_image: str = ""
    energy_axis: str = ""
    survey_image: str = ""
    without_image: WithoutImage = "blank"


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
    metadata
        What the file tells of the measurement, in HyperSpy's layout.
    notes
        Sentences on what was assumed, and left out.
    """

    counts: Any
    energy: EnergyAxis
    detector: str
    survey: NDArray[np.float32]
    survey_detectors: tuple[str, ...]
    fov_nm: tuple[float, float]
    close: Callable[[], None]
    metadata: Metadata = field(default_factory=lambda: NO_METADATA)
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows, columns)`."""
        return int(self.counts.shape[0]), int(self.counts.shape[1])

    def spectrum(self, row: int, column: int) -> NDArray[np.float32]:
        """Return the counts at one pixel, `(channels,)`.

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


@dataclass(frozen=True, eq=False)
class _Cube:
    """A signal of three dimensions, and its axes or why it is no spectrum image."""

    number: int
    title: str
    signal: Any
    axes: SpectrumAxes | None
    refusal: str

    @property
    def words(self) -> str:
        """Its number, title and size, and what is wrong with it, if anything."""
        axes = self.axes
        if axes is None:
            size = " × ".join(map(str, self.signal.data.shape))
            return f"{self.number}: {self.title} ({size}, not usable)"
        (rows, columns), energy = axes.shape, axes.energy
        return (
            f"{self.number}: {self.title} ({rows} × {columns}, {energy.size} channels, "
            f"{energy.offset_ev:.6g} to {energy.last_ev:.6g} eV)"
        )


def read_spectrum_image(
    path: Path, survey_path: Path | None, choices: FileChoices = FileChoices()
) -> SpectrumImage:
    """Read a spectrum image, with its own survey image or one from another file.

    Where neither file has an image of a detector, `choices` say what the survey image
    is. What is computed from the spectra is one only where that is asked for.

    Raises
    ------
    Unsupported
        If a file cannot be read, holds no spectrum image, or the survey image has
        another shape; the text says what was found and what is needed.
    """
    try:
        image = _read(path, survey_path, choices, lazy=True)
    except CannotBeRead:
        # Some files fail only when their data are asked for.
        image = _read(path, survey_path, choices, lazy=False)
    for note in image.notes:
        logger.warning("%s", note)
    return image


def spectrum_images_in(path: Path, choices: FileChoices) -> list[tuple[str, str]]:
    """Return the number and the description of each spectrum image in a file.

    Raises
    ------
    Unsupported
        If it cannot be read.
    """
    with ExitStack() as files:
        cubes = _cubes(path, _signals(path, files, choices, lazy=True), choices)
        return [(str(cube.number), cube.words) for cube in cubes]


def _read(
    path: Path, survey_path: Path | None, choices: FileChoices, *, lazy: bool
) -> SpectrumImage:
    with ExitStack() as files:
        signals = _signals(path, files, choices, lazy=lazy)
        notes: list[str] = []
        cube = _the_spectrum_image(path, signals, choices, notes)
        axes = cube.axes
        assert axes is not None
        notes += axes.notes
        if survey_path is not None:
            signals = open_signals(
                survey_path,
                files,
                is_wanted=lambda found: any(is_image_of(s, axes.shape) for s in found),
                lazy=lazy,
            )
        images = chosen_images(
            survey_path or path,
            signals,
            axes.shape,
            wanted=choices.survey_image,
            is_own_file=survey_path is not None,
            notes=notes,
        )
        with reading(path):
            counts = _counts(cube.signal, axes.energy_index)
        if images:
            survey, names = planes_of(survey_path or path, images)
        else:
            survey, names = _without_image(path, counts, choices.without_image, notes)
        is_lazy = not isinstance(counts, np.ndarray)
        return SpectrumImage(
            counts=counts,
            energy=axes.energy,
            detector=_detector_name(cube.signal),
            survey=survey,
            survey_detectors=names,
            fov_nm=axes.fov_nm,
            close=files.pop_all().close if is_lazy else files.close,
            metadata=source_metadata(cube.signal),
            notes=tuple(notes),
        )


def _signals(
    path: Path, files: ExitStack, choices: FileChoices, *, lazy: bool
) -> list[Any]:
    """Return the signals from the reader that finds a spectrum image in a file."""
    return open_signals(
        path,
        files,
        reader=choices.reader,
        is_wanted=lambda found: any(
            cube.axes is not None for cube in _cubes(path, found, choices)
        ),
        lazy=lazy,
    )


def _cubes(path: Path, signals: list[Any], choices: FileChoices) -> list[_Cube]:
    """All signals that may be spectrum images, in the order of the file."""
    found = [each for each in signals if each.data.ndim == 3 and is_real(each)]
    cubes = []
    for number, signal in enumerate(found, start=1):
        title = str(signal.metadata.get_item("General.title", "") or "untitled")
        what = str(path) if len(found) == 1 else f"number {number} ({title}) of {path}"
        axes, refusal = None, ""
        try:
            axes = axes_of(what, signal, choices.energy_axis)
        except Unsupported as error:
            refusal = str(error)
        cubes.append(_Cube(number, title, signal, axes, refusal))
    return cubes


def _the_spectrum_image(
    path: Path, signals: list[Any], choices: FileChoices, notes: list[str]
) -> _Cube:
    cubes = _cubes(path, signals, choices)
    if not cubes:
        raise Unsupported(
            f"{path} holds no spectrum image: a signal with 2 navigation dimensions "
            f"and 1 signal dimension is needed, and it holds {in_words(signals)}"
        )
    if choices.spectrum_image:
        cube = _named(path, cubes, choices.spectrum_image)
        if cube.axes is None:
            raise Unsupported(cube.refusal)
        return cube
    usable = [cube for cube in cubes if cube.axes is not None]
    if not usable:
        raise Unsupported("; ".join(cube.refusal for cube in cubes))
    if len(cubes) > 1:
        notes.append(
            f"{path} holds {len(cubes)} spectrum images; the first that can be used is "
            f"taken, number {usable[0].number}. The setting instrument.spectrum_image "
            f"chooses among {'; '.join(cube.words for cube in cubes)}"
        )
    return usable[0]


def _named(path: Path, cubes: list[_Cube], wanted: str) -> _Cube:
    """Return the one spectrum image of that number, or else of that title."""
    text = wanted.strip().lower()
    by_title = [cube for cube in cubes if cube.title.lower() == text]
    matching = [cube for cube in cubes if str(cube.number) == text] or by_title
    if len(matching) != 1:
        said = "no spectrum image" if not matching else "several spectrum images"
        raise Unsupported(
            f"{path} holds {said} {wanted!r}: the setting instrument.spectrum_image "
            f"takes a title or number of {'; '.join(cube.words for cube in cubes)}"
        )
    return matching[0]


def _counts(signal: Any, energy_index: int) -> Any:
    """Return the counts, `(rows, columns, channels)`; lazy where they are many."""
    counts = np.moveaxis(signal.data, energy_index, -1)
    # A reader that makes one block of it all reads all of it for any one spectrum.
    is_in_blocks = getattr(counts, "npartitions", 1) > 1
    if is_in_blocks and counts.nbytes > IN_MEMORY_BYTES:
        return counts
    return in_memory(counts)


def _without_image(
    path: Path, counts: Any, kind: WithoutImage, notes: list[str]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return a substitute survey image `(1, rows, columns)` and its name."""
    if kind == "blank":
        notes.append(
            f"{path} has no image that is known to be of a detector: the survey image "
            "is blank, and the agent goes by positions alone. Name an image by the "
            "setting instrument.survey_file, or let the sum of all spectra be it by "
            "instrument.without_image"
        )
        return np.zeros((1, *counts.shape[:2]), np.float32), (BLANK,)
    notes.append(
        f"the survey image is the sum over all channels of {path}: it is computed from "
        "the spectra, so that the agent knows something of all of them before it "
        "measures any"
    )
    with reading(path):
        total = in_memory(counts.sum(axis=-1, dtype=np.float64))
    return np.asarray(total, np.float32)[None], ("sum of channels",)


def _detector_name(signal: Any) -> str:
    kind = str(signal.metadata.get_item("Signal.signal_type", "") or "")
    return kind.split("_", maxsplit=1)[0] or "spectrum"
