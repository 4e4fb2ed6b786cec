"""Distinction of detector images from maps computed from spectra.

Files hold both. A map shows what the agent is to find, so that only images that are
known to be of a detector may reach it unasked.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Any

_IMAGE_READERS = frozenset({"rsciio.bruker", "rsciio.phenom"})
"""Readers that give images of detectors only: BSE, SE, HAADF, …"""
_IMAGING = frozenset({"ScanningDetector", "ImagingDetector"})
_JEOL_DETECTORS = re.compile(
    r"(ADF|ABF|BF|DF|HAADF|LAADF|MAADF|SEI?|BEI?|BSE|COMPO|TOPO|TEI|IMG)\s*\d*",
    re.IGNORECASE,
)
_ELEMENT_LINE = re.compile(r"[A-Z][a-z]?\s*-?\s*[KLMN][αβγabgl]?\d?")


class Origin(Enum):
    """Origin of an image, as far as its file records it."""

    DETECTOR = auto()
    SPECTRA = auto()
    """It was computed from spectra: a map of an element, say."""
    UNKNOWN = auto()


def origin_of(image: Any) -> Origin:
    """Return the origin of an image, a HyperSpy signal, by its metadata.

    Formats say it in their own ways, which survive being saved as .hspy.
    """
    original = image.original_metadata
    if original.has_item("BinaryResult"):
        return _velox_origin(original)
    if original.has_item("asw_viewdata") or _is_read_by(image, {"rsciio.jeol"}):
        return _jeol_origin(image)
    if _is_read_by(image, _IMAGE_READERS) and image.data.dtype.kind != "V":
        return Origin.DETECTOR
    return Origin.UNKNOWN


def _velox_origin(original: Any) -> Origin:
    """Return the origin of an image of Velox.

    Images name their detector by its index. Maps have none, and name the spectrometer.
    """
    result = original.get_item("BinaryResult").as_dictionary()
    detectors = original.get_item("Detectors", None)
    known = {} if detectors is None else detectors.as_dictionary()
    index = result.get("DetectorIndex")
    if index is not None:
        kind = dict(known.get(f"Detector-{index}", {})).get("DetectorType")
        if kind is None:
            return Origin.UNKNOWN
        return Origin.DETECTOR if kind in _IMAGING else Origin.SPECTRA
    name = str(result.get("Detector") or "")
    kinds = {
        detector.get("DetectorType")
        for detector in known.values()
        if name and str(detector.get("DetectorName", "")).startswith(name)
    }
    # Composite maps are "ProcessedData".
    if name == "ProcessedData" or (kinds and not kinds & _IMAGING):
        return Origin.SPECTRA
    return Origin.UNKNOWN


def _jeol_origin(image: Any) -> Origin:
    """Return the origin of an image of JEOL's Analysis Station.

    A .img is an image; a .map may be one, too, recorded with the spectra.
    """
    metadata = image.metadata.get_item("General.original_filename", "")
    file = str(image.original_metadata.get_item("asw_viewdata.Filename", metadata))
    title = str(image.metadata.get_item("General.title", "")).strip()
    base = re.sub(r"\(frame\d+\)$", "", title)
    if file.lower().endswith(".img") or _JEOL_DETECTORS.fullmatch(base):
        return Origin.DETECTOR
    return Origin.SPECTRA if _ELEMENT_LINE.fullmatch(title) else Origin.UNKNOWN


def _is_read_by(image: Any, readers: frozenset[str] | set[str]) -> bool:
    """Return whether one of these readers read the signal from the current file.

    What was computed from a signal keeps the history of its files, so that earlier
    entries tell nothing.
    """
    steps = image.metadata.get_item("General.FileIO", None)
    history = [] if steps is None else list(steps.as_dictionary().values())
    return bool(history) and history[-1].get("io_plugin") in readers
