"""The one place where pixels, fractions of the field of view and nanometres meet.

Pixel `(row, column)` is a square whose centre lies at the fractions
`x = (column + 0.5) / columns`, `y = (row + 0.5) / rows`. Nanometres are counted from
the top left corner of the field of view, `(y, x)` in array order.
"""

from __future__ import annotations

from dataclasses import dataclass

from napari_hae.types import ProbePosition, ScanImage


@dataclass(frozen=True, slots=True)
class FieldFrame:
    """Coordinates of one field of view.

    Attributes
    ----------
    shape
        `(rows, columns)` of the survey image.
    fov_nm
        `(height, width)` of the field of view in nm.
    """

    shape: tuple[int, int]
    fov_nm: tuple[float, float]

    @classmethod
    def of(cls, image: ScanImage) -> FieldFrame:
        """The frame of a survey image."""
        return cls(image.shape, image.fov_nm)

    @property
    def pixel_nm(self) -> tuple[float, float]:
        """Height and width of a pixel in nm; the `scale` of every layer."""
        return self.fov_nm[0] / self.shape[0], self.fov_nm[1] / self.shape[1]

    @property
    def origin_nm(self) -> tuple[float, float]:
        """Where the centre of pixel (0, 0) lies; the `translate` of every layer."""
        height, width = self.pixel_nm
        return height / 2, width / 2

    def position(self, row: int, column: int) -> ProbePosition:
        """The probe position at the centre of a pixel."""
        rows, columns = self.shape
        return ProbePosition(x=(column + 0.5) / columns, y=(row + 0.5) / rows)

    def pixel(self, position: ProbePosition) -> tuple[int, int]:
        """The pixel `(row, column)` that holds a position.

        Raises
        ------
        ValueError
            If the position lies outside the field of view.
        """
        if not position.is_inside:
            raise ValueError(f"{position} lies outside the field of view (0 to 1)")
        rows, columns = self.shape
        row = min(int(position.y * rows), rows - 1)
        return row, min(int(position.x * columns), columns - 1)

    def nm(self, position: ProbePosition) -> tuple[float, float]:
        """`(y, x)` of a probe position in nm."""
        return position.y * self.fov_nm[0], position.x * self.fov_nm[1]

    def position_at(self, y_nm: float, x_nm: float) -> ProbePosition:
        """The probe position at `(y, x)` in nm; may lie outside the field of view."""
        return ProbePosition(x=x_nm / self.fov_nm[1], y=y_nm / self.fov_nm[0])
