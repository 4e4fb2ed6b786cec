"""Unusual properties of images and spectra that the user should know of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hae.instruments.base import BLANK

if TYPE_CHECKING:
    from napari_hae.coordinates import FieldFrame
    from napari_hae.types import ProbePosition, ScanImage

IMAGE, ELSEWHERE, STATED = "survey image", "beam elsewhere", "stated values"
"""Subjects of warnings that stay in force until an image or a spectrum resolves
them."""
NEAR_PX = 0.5
"""Largest deviation of a position, in pixels, that still counts as the right pixel."""


def oddities_of(image: ScanImage) -> str:
    """Return a description of the defects of a survey image; empty if there are none.

    Parameters
    ----------
    image
        Image with at least one finite pixel in each plane.
    """
    flat: dict[str, float] = {}
    said = []
    for name, plane in zip(image.detectors, image.data, strict=True):
        finite = plane[np.isfinite(plane)]
        if missing := plane.size - finite.size:
            said.append(
                f"{missing} of {plane.size} pixels of the survey image by {name} are "
                "no finite numbers: the median of the others is taken for them, and "
                "the record keeps the image as it came."
            )
        if finite.min() == finite.max() and name != BLANK:
            flat[name] = float(finite.min())
    if flat:
        level = next(iter(flat.values()))
        shows = "shows" if len(flat) == len(image.detectors) else "adds"
        said.append(
            f"The survey image by {', '.join(flat)} {shows} nothing: all its pixels "
            f"are {level:g}. The agent cannot tell places apart by it: check detector, "
            "gain and dwell time, or choose other detectors (survey.detectors), and "
            "take a new survey image."
        )
    return " ".join(said)


def placed_elsewhere(
    stated: ProbePosition, meant: ProbePosition, frame: FieldFrame
) -> str:
    """Return a warning that the beam was not where it was placed; empty if it was.

    Parameters
    ----------
    stated
        Position of the spectrum as reported by the instrument.
    meant
        Position at which the beam was placed.
    """
    meant_nm = np.array(frame.nm(meant))
    if not stated.is_inside:
        return (
            f"The instrument says that a spectrum was taken at {stated}, which is no "
            "place in the field of view; the place where the beam was sent is noted "
            "instead."
        )
    stated_nm = np.array(frame.nm(stated))
    if (np.abs(stated_nm - meant_nm) <= NEAR_PX * np.array(frame.pixel_nm)).all():
        return ""
    (y_nm, x_nm), (there_y_nm, there_x_nm) = meant_nm, stated_nm
    return (
        f"The beam was sent to x = {x_nm:.4g} nm, y = {y_nm:.4g} nm, and the "
        f"instrument says that the spectrum was taken at x = {there_x_nm:.4g} nm, "
        f"y = {there_y_nm:.4g} nm. Both are in the record. Check the scan calibration: "
        "forbidden zones hold where the beam is sent."
    )
