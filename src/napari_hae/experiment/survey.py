"""Acquisition of the survey image of an experiment, and of its repetitions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_hae.experiment.registration import LEAST_SIDE, NotRegistered
from napari_hae.types import Area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame
    from napari_hae.experiment.settings import SurveySettings
    from napari_hae.instruments.gate import GuardedInstrument
    from napari_hae.types import ScanImage

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom edges, as fractions of the field of view."""


def acquire_survey(instrument: GuardedInstrument, wanted: SurveySettings) -> ScanImage:
    """Acquire a survey image; the instrument supplies values left open.

    Raises
    ------
    InstrumentError
        If the instrument cannot acquire it as requested.
    """
    able = instrument.capabilities()
    return instrument.acquire_survey(
        wanted.detectors or able.survey_detectors,
        wanted.shape or able.survey_shape,
        wanted.dwell_time_s,
    )


@dataclass(frozen=True)
class Scan:
    """Scan parameters to image a part of the sample again, on the pixel grid.

    Attributes
    ----------
    origin
        First pixel `(row, column)`, on the grid of the first survey image.
    size
        Size `(rows, columns)` on that grid.
    fineness
        Number of pixels of the image per pixel of the grid, along each axis.
    area
        Part of the field of view.
    """

    origin: tuple[int, int]
    size: tuple[int, int]
    fineness: int
    area: Area

    @property
    def shape(self) -> tuple[int, int]:
        """Return the shape `(rows, columns)` of the image."""
        return self.size[0] * self.fineness, self.size[1] * self.fineness

    def on_grid(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a plane of the image with the pixels of the first survey image."""
        (rows, columns), fineness = self.size, self.fineness
        parts = plane.reshape(rows, fineness, columns, fineness)
        mean: NDArray[np.float32] = parts.mean(axis=(1, 3))
        return mean


def whole_scan(frame: FieldFrame) -> Scan:
    """Return the scan of the whole first survey image."""
    return Scan((0, 0), frame.shape, 1, frame.area)


def fiducial_scan(
    frame: FieldFrame,
    edges: Edges,
    moved_px: tuple[float, float],
    smallest: tuple[int, int],
) -> Scan:
    """Return the scan of a part of the sample at its expected position.

    Parameters
    ----------
    frame
        Frame of the first survey image, in which the part lies between `edges`.
    moved_px
        Expected displacement of the sample, `(rows, columns)`.
    smallest
        The instrument's smallest image shape; a smaller part is scanned with finer
        pixels.

    Raises
    ------
    NotRegistered
        If too little of it is expected to be in the field.
    """
    left, top, right, bottom = edges
    area, (rows, columns) = frame.area, frame.shape
    first_row, end_row = _pixels(top - area.top, bottom - area.top, rows / area.height)
    first, end = _pixels(left - area.left, right - area.left, columns / area.width)
    down, across = (round(each) for each in moved_px)
    first_row, end_row = max(first_row + down, 0), min(end_row + down, rows)
    first, end = max(first + across, 0), min(end + across, columns)
    size = end_row - first_row, end - first
    if min(size) < LEAST_SIDE:
        raise NotRegistered(
            f"only {max(size[0], 0)} × {max(size[1], 0)} pixels of the fiducial region "
            f"are expected in the field: at least {LEAST_SIDE} × {LEAST_SIDE} are "
            "needed"
        )
    fineness = max(
        math.ceil(least / own) for least, own in zip(smallest, size, strict=True)
    )
    part = Area(
        left=area.left + first / columns * area.width,
        top=area.top + first_row / rows * area.height,
        right=min(area.left + end / columns * area.width, 1.0),
        bottom=min(area.top + end_row / rows * area.height, 1.0),
    )
    return Scan((first_row, first), size, max(fineness, 1), part)


def _pixels(low: float, high: float, per_field: float) -> tuple[int, int]:
    """Return the first pixel that an interval touches, and the one after the last."""
    rounding = 1e-9
    first = math.floor(low * per_field + rounding)
    return first, math.ceil(high * per_field - rounding)
