"""The two dialects of asyncroscopy: their commands for images and spectra.

Both take what they take with the settings of the detector devices. A reply is fetched
in a second step, after the beam is blanked.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.instruments.base import InstrumentError, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hae.instruments.asyncroscopy.data import Data
    from napari_hae.instruments.asyncroscopy.device import Device

Fetched = tuple["NDArray[Any]", dict[str, Any]]

_IMAGE_ARGUMENTS: dict[str, Callable[[Sequence[str]], tuple[Any, ...]]] = {
    "DevVoid": lambda detectors: (),
    "DevString": lambda detectors: (detectors[0],),
    "DevVarStringArray": lambda detectors: (list(detectors),),
}
"""Arguments that versions of the older dialect expect for an image."""


class Newer:
    """Dialect since summer 2026: replies are keys of data stored elsewhere."""

    IMAGE, SPECTRUM = "acquire_scanned_image", "acquire_spectrum"
    one_detector_only = False

    def __init__(self, microscope: Device, data: Data) -> None:
        self._microscope = microscope
        self._data = data

    def take_image(self, detectors: Sequence[str], lasting_s: float) -> Any:
        """Scan the field for all detectors at once; return the reply."""
        return self._microscope.command(
            self.IMAGE, list(detectors), lasting_s=lasting_s
        )

    def take_spectrum(self, detector: str, lasting_s: float) -> Any:
        """Expose a spectrum; return the reply."""
        return self._microscope.command(self.SPECTRUM, detector, lasting_s=lasting_s)

    def images(self, reply: Any, detectors: Sequence[str]) -> list[NDArray[Any]]:
        """Return the image of each detector, from the reply."""
        return self._data.images(reply, detectors)

    def spectrum(self, reply: Any) -> Fetched:
        """Return the counts and their attributes, from the reply."""
        return self._data.spectrum(reply)


class Older:
    """Dialect of 2025 to spring 2026: data in the reply, one detector at a time."""

    IMAGE, SPECTRUM = "get_scanned_image", "get_spectrum"
    one_detector_only = True

    def __init__(self, microscope: Device) -> None:
        self._microscope = microscope
        self._image_argument = microscope.argument_of(self.IMAGE)
        if self._image_argument not in _IMAGE_ARGUMENTS:
            raise Unsupported(
                f"{microscope} wants a {self._image_argument} for {self.IMAGE}; known "
                f"are {', '.join(_IMAGE_ARGUMENTS)}"
            )

    def take_image(self, detectors: Sequence[str], lasting_s: float) -> Any:
        """Scan the field for the one detector; return the reply."""
        argument = _IMAGE_ARGUMENTS[self._image_argument](detectors)
        return self._microscope.command(self.IMAGE, *argument, lasting_s=lasting_s)

    def take_spectrum(self, detector: str, lasting_s: float) -> Any:
        """Expose a spectrum; return the reply."""
        return self._microscope.command(self.SPECTRUM, detector, lasting_s=lasting_s)

    def images(self, reply: Any, detectors: Sequence[str]) -> list[NDArray[Any]]:
        """Return the image of the one detector, from the reply."""
        return [_decoded(reply)[0]]

    def spectrum(self, reply: Any) -> Fetched:
        """Return the counts and their attributes, from the reply."""
        return _decoded(reply)


def dialect_of(microscope: Device, data: Data) -> Newer | Older:
    """Return the newest dialect that a microscope speaks.

    Raises
    ------
    Unsupported
        If it speaks none.
    """
    if _speaks(microscope, Newer):
        return Newer(microscope, data)
    if _speaks(microscope, Older):
        return Older(microscope)
    raise Unsupported(
        f"{microscope} takes no images and spectra: it has neither the commands "
        f"{Newer.IMAGE} and {Newer.SPECTRUM} nor {Older.IMAGE} and {Older.SPECTRUM}"
    )


def _speaks(microscope: Device, dialect: type[Newer | Older]) -> bool:
    names = (dialect.IMAGE, dialect.SPECTRUM)
    return all(microscope.has_command(name) for name in names)


def _decoded(reply: Any) -> Fetched:
    """Return values and header of a DevEncoded: a JSON header and bytes.

    A header without a type of number comes from a twin that writes its spectrum as
    JSON, one number per element. A header without a shape belongs to a spectrum.
    """
    try:
        text, content = reply
        header = json.loads(text)
        if "dtype" not in header:
            return _numbers(json.loads(content)), header
        values = np.frombuffer(content, np.dtype(header["dtype"]))
        return values.reshape(header.get("shape", -1)), header
    except (TypeError, ValueError, AttributeError) as error:
        raise InstrumentError(
            f"the microscope's reply is no header in JSON with its bytes: {error}"
        ) from error


def _numbers(content: Any) -> NDArray[Any]:
    numbers = list(content.values()) if isinstance(content, dict) else content
    return np.asarray(numbers, float)
