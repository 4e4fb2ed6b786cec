"""Selection of the survey images in a file that may be shown to the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.instruments.base import Unsupported
from napari_hae.instruments.image_origins import Origin, origin_of
from napari_hae.instruments.signal_files import in_memory, in_words, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_LUMINANCE = {"R": 0.2126, "G": 0.7152, "B": 0.0722}
"""Weights of red, green and blue in the luminance (ITU-R BT.709)."""


def is_image_of(signal: Any, shape: tuple[int, int]) -> bool:
    """Return whether a HyperSpy signal is an image of that many rows and columns."""
    manager = signal.axes_manager
    dimensions = manager.navigation_dimension, manager.signal_dimension
    kind = signal.data.dtype
    is_readable = kind.kind in "buif" or set(_LUMINANCE) <= set(kind.names or ())
    is_flat = dimensions in ((0, 2), (2, 0))
    return is_flat and is_readable and signal.data.shape == shape


def chosen_images(
    path: Path,
    signals: Sequence[Any],
    shape: tuple[int, int],
    *,
    wanted: str,
    is_own_file: bool,
    notes: list[str],
) -> list[Any]:
    """Return the images in a file that are survey images; empty if there are none.

    Images of detectors are. Those of unknown origin are where a person named them
    (`wanted`), or named the file and it has no others (`is_own_file`). What was
    computed from spectra never is. `notes` are told what was left out.

    Raises
    ------
    Unsupported
        If what a person named is not there, or was computed from spectra.
    """
    images = [each for each in signals if is_image_of(each, shape)]
    if is_own_file and not images:
        raise Unsupported(
            f"the survey image must have the spectrum image's {shape[0]} × {shape[1]} "
            f"pixels, and {path} holds {in_words(signals)}"
        )
    origins = [origin_of(each) for each in images]
    if wanted:
        return [_named(path, images, origins, wanted)]
    by_origin = {
        origin: [
            image for image, its in zip(images, origins, strict=True) if its is origin
        ]
        for origin in Origin
    }
    detectors, unknown = by_origin[Origin.DETECTOR], by_origin[Origin.UNKNOWN]
    computed = by_origin[Origin.SPECTRA]
    if computed:
        notes.append(
            f"left out as survey images, since they were computed from the spectra: "
            f"{_titles(computed)}"
        )
    if is_own_file and not detectors:
        if not unknown:
            raise Unsupported(
                f"all images of {shape[0]} × {shape[1]} pixels in {path} were computed "
                f"from spectra ({_titles(computed)}): an image of a detector is needed"
            )
        return unknown
    if unknown:
        notes.append(
            f"left out as survey images, since {path} does not tell that they are of "
            f"a detector: {_titles(unknown)}. If one is, name it by the setting "
            "instrument.survey_image"
        )
    return detectors


def planes_of(
    path: Path, images: Sequence[Any]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Return planes `(images, rows, columns)` and names; colours as luminance."""
    with reading(path):
        planes = [_plane(in_memory(image.data)) for image in images]
    return np.stack(planes), _distinct([title_of(image) for image in images])


def title_of(image: Any) -> str:
    """Return the title of an image, or a substitute."""
    return str(image.metadata.get_item("General.title", "") or "survey")


def _plane(data: Any) -> NDArray[np.float32]:
    if data.dtype.names is None:
        return np.asarray(data, np.float32)
    weighted = [weight * data[name] for name, weight in _LUMINANCE.items()]
    luminance: NDArray[np.float32] = np.sum(weighted, axis=0, dtype=np.float32)
    return luminance


def _named(
    path: Path, images: Sequence[Any], origins: Sequence[Origin], wanted: str
) -> Any:
    """Return the candidate image of that title, or else of that number."""
    allowed = {
        number: image
        for number, (image, origin) in enumerate(
            zip(images, origins, strict=True), start=1
        )
        if origin is not Origin.SPECTRA
    }
    text = wanted.strip().lower()
    matching = [
        image
        for number, image in allowed.items()
        if text in (str(number), title_of(image).lower())
    ]
    if len(matching) == 1:
        return matching[0]
    named = [title_of(image).lower() for image in images]
    why = "there is no single image of that name"
    if text in named and not matching:
        why = "it was computed from the spectra, and is never shown to the agent"
    names = [f"{number} ({title_of(each)})" for number, each in allowed.items()]
    raise Unsupported(
        f"{wanted!r} in {path} cannot be the survey image: {why}; there are "
        f"{', '.join(names) or 'none'}"
    )


def _titles(images: Sequence[Any]) -> str:
    return ", ".join(title_of(each) for each in images)


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Return the names, numbered where some are the same."""
    return tuple(
        name if names.count(name) == 1 else f"{name} {index + 1}"
        for index, name in enumerate(names)
    )
