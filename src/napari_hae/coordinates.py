"""Conversion between pixels, fractions of the field of view and nanometres.

Pixel `(row, column)` of an image of the whole field is a square whose centre lies at
the fractions `x = (column + 0.5) / columns`, `y = (row + 0.5) / rows`. Nanometres are
counted from the top left corner of the field of view, `(y, x)` in array order, also
where the image shows an area of the field only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.types import WHOLE_FIELD, Area, ProbePosition, ScanImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_PIXELS = 8192 * 8192
"""Largest image or mask read from a file or a line; scan units have at most 4096 x 4096
or 8192 x 8192."""


def checked_shape(shape: Any, what: str) -> tuple[int, int]:
    """Return the shape `(rows, columns)` of an image, checked before allocation.

    Raises
    ------
    ValueError
        If it is none, or has more than 8192 x 8192 pixels.
    """
    is_shape = isinstance(shape, (list, tuple)) and len(shape) == 2
    if not is_shape or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(
            f"{what} needs a shape of two whole numbers [rows, columns]; "
            f"got {str(shape)[:100]}"
        )
    rows, columns = shape
    if rows * columns > MOST_PIXELS or max(shape) > MOST_PIXELS:
        raise ValueError(
            f"{what} would have {rows:.4g} x {columns:.4g} pixels; at most 8192 x 8192 "
            "are taken"
        )
    return rows, columns


def place_text(where: ProbePosition | Area, field_nm: tuple[float, float]) -> str:
    """Return a place or an area as readable text: in nm, with three digits.

    Parameters
    ----------
    field_nm
        `(height, width)` of the field of view in nm.
    """
    height_nm, width_nm = field_nm
    if isinstance(where, ProbePosition):
        x_nm, y_nm = where.x * width_nm, where.y * height_nm
        return f"(x = {_three_digits(x_nm)} nm, y = {_three_digits(y_nm)} nm)"
    x = "–".join(_three_digits(x * width_nm) for x in (where.left, where.right))
    y = "–".join(_three_digits(y * height_nm) for y in (where.top, where.bottom))
    return f"(x = {x} nm, y = {y} nm)"


def _three_digits(value: float) -> str:
    """Format a number with three significant digits, at most four decimals."""
    if not math.isfinite(value) or abs(value) < 5e-5:
        return f"{value:.0f}"
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{min(max(decimals, 0), 4)}f}"


@dataclass(frozen=True, slots=True)
class FieldFrame:
    """Coordinates of one image of the field of view.

    Attributes
    ----------
    shape
        `(rows, columns)` of the survey image.
    fov_nm
        `(height, width)` of the image in nm.
    area
        Part of the field of view that the image covers.
    """

    shape: tuple[int, int]
    fov_nm: tuple[float, float]
    area: Area = WHOLE_FIELD

    @classmethod
    def of(cls, image: ScanImage) -> FieldFrame:
        """Return the frame of a survey image."""
        return cls(image.shape, image.fov_nm, image.area)

    def to_json(self) -> dict[str, Any]:
        """Return the frame as JSON values, without loss."""
        area = self.area
        return {
            "shape": list(self.shape),
            "fov_nm": list(self.fov_nm),
            "area": [area.left, area.top, area.right, area.bottom],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FieldFrame:
        """Return the frame that `to_json` described."""
        rows, columns = checked_shape(values["shape"], "the field of view")
        height_nm, width_nm = values["fov_nm"]
        return cls((rows, columns), (height_nm, width_nm), Area(*values["area"]))

    @property
    def pixel_nm(self) -> tuple[float, float]:
        """Height and width of a pixel in nm; the `scale` of every layer."""
        return self.fov_nm[0] / self.shape[0], self.fov_nm[1] / self.shape[1]

    @property
    def origin_nm(self) -> tuple[float, float]:
        """Position of the centre of pixel (0, 0); the `translate` of every layer."""
        height, width = self.pixel_nm
        field_height, field_width = self.field_nm
        top_nm, left_nm = self.area.top * field_height, self.area.left * field_width
        return top_nm + height / 2, left_nm + width / 2

    def position(self, row: int, column: int) -> ProbePosition:
        """Return the probe position at the centre of a pixel."""
        rows, columns = self.shape
        return ProbePosition(
            x=self.area.left + (column + 0.5) / columns * self.area.width,
            y=self.area.top + (row + 0.5) / rows * self.area.height,
        )

    def pixel(self, position: ProbePosition) -> tuple[int, int]:
        """Return the pixel `(row, column)` that holds a position.

        Raises
        ------
        ValueError
            If the position lies outside the image.
        """
        area = self.area
        if position not in area:
            raise ValueError(
                f"{place_text(position, self.field_nm)} lies outside the image "
                f"{place_text(area, self.field_nm)}"
            )
        rows, columns = self.shape
        row = int((position.y - area.top) / area.height * rows)
        column = int((position.x - area.left) / area.width * columns)
        return min(row, rows - 1), min(column, columns - 1)

    def within(self, area: Area, pixel_nm: float) -> FieldFrame:
        """Return the frame of an area of the same field, pixels at most `pixel_nm`."""
        height, width = self.field_nm
        fov_nm = area.height * height, area.width * width
        rows, columns = (max(math.ceil(size / pixel_nm - 1e-9), 1) for size in fov_nm)
        return FieldFrame((rows, columns), fov_nm, area)

    def centres_nm(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `y`, `x` of all pixel centres in nm, `(rows, 1)` and `(1, columns)`.

        To the last bit `nm(position(row, column))`.
        """
        (rows, columns), (height, width) = self.shape, self.field_nm
        y = self.area.top + (np.arange(rows) + 0.5) / rows * self.area.height
        x = self.area.left + (np.arange(columns) + 0.5) / columns * self.area.width
        return (y * height)[:, None], (x * width)[None, :]

    def nm(self, position: ProbePosition) -> tuple[float, float]:
        """Return `(y, x)` of a probe position in nm."""
        height, width = self.field_nm
        return position.y * height, position.x * width

    def position_at(self, y_nm: float, x_nm: float) -> ProbePosition:
        """Return the probe position at `(y, x)` in nm; may lie outside."""
        height, width = self.field_nm
        return ProbePosition(x=x_nm / width, y=y_nm / height)

    @property
    def extent_nm(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge in nm, in the order of matplotlib."""
        height, width = self.field_nm
        area = self.area
        across = area.left * width, area.right * width
        return *across, area.bottom * height, area.top * height

    @property
    def field_nm(self) -> tuple[float, float]:
        """`(height, width)` of the whole field of view in nm."""
        return self.fov_nm[0] / self.area.height, self.fov_nm[1] / self.area.width
