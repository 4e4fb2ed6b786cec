"""The agent's data, by candidate: measured and pending ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Learned:
    """Measured and pending candidates of a survey image, numbered row by row.

    Parameters
    ----------
    shape
        `(rows, columns)` of the survey image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._targets: list[float] = []
        self._errors: list[float] = []
        self._exposures_s: list[float] = []
        self.measured: list[int] = []
        """Measured candidates, in order; some may occur twice."""
        self.pending: list[int] = []
        """Candidates that were proposed and are not measured yet."""

    @property
    def targets(self) -> list[float]:
        """Targets in order; NaN where the scalarizer found none."""
        return self._targets

    @property
    def known(self) -> int:
        """Number of measurements."""
        return len(self._targets)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Mask of the measurements with an informative target, `(known,)`."""
        return np.isfinite(self._targets) & ~np.isinf(self._errors)

    @property
    def newest(self) -> int | None:
        """Candidate where the beam is, or goes next; None before the first proposal."""
        order = [*self.measured, *self.pending]
        return order[-1] if order else None

    def of_training(self) -> tuple[NDArray[np.intp], Array, Array, Array]:
        """Candidates, targets, errors and exposures in s for training a model.

        Shape `(m,)` each; an error that is not known is 0.
        """
        usable = self.usable
        return (
            np.array(self.measured, dtype=np.intp)[usable],
            np.array(self._targets)[usable],
            np.nan_to_num(self._errors)[usable],
            np.array(self._exposures_s)[usable],
        )

    def add(
        self, row: int, column: int, target: float, error: float, exposure_s: float
    ) -> None:
        """Add a measurement; its pixel is no longer pending."""
        self.withdraw(row, column)
        self.measured.append(self._index(row, column))
        self._targets.append(target)
        self._errors.append(error)
        self._exposures_s.append(exposure_s)

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Replace targets and errors of all measurements, in order."""
        if not len(targets) == len(errors) == self.known:
            raise ValueError(
                f"{len(targets)} targets and {len(errors)} errors for {self.known} "
                "measurements"
            )
        self._targets = [float(target) for target in targets]
        self._errors = [float(error) for error in errors]

    def expect(self, row: int, column: int) -> None:
        """Mark a pixel as pending."""
        self.pending.append(self._index(row, column))

    def withdraw(self, row: int, column: int) -> None:
        """Make a pixel that is pending open again; others are not affected."""
        index = self._index(row, column)
        if index in self.pending:
            self.pending.remove(index)

    def open(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the allowed, not measured, not pending pixels, `(rows, columns)`."""
        if allowed.shape != self._shape:
            raise ValueError(
                f"the mask of allowed positions has shape {allowed.shape}; "
                f"the survey image has {self._shape}"
            )
        # Row-major: for another memory order `ravel` would return a copy.
        open_ = np.array(allowed, dtype=bool, order="C")
        open_.ravel()[self.measured + self.pending] = False
        return open_

    def by_candidate(self, preference: Array | None) -> Array | None:
        """Return a preference of shape `(rows, columns)` as one value per candidate."""
        if preference is None:
            return None
        if preference.shape != self._shape:
            raise ValueError(
                f"the preference has shape {preference.shape}; "
                f"the survey image has {self._shape}"
            )
        return preference.ravel()

    def _index(self, row: int, column: int) -> int:
        rows, columns = self._shape
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(
                f"pixel ({row}, {column}) is not in the survey image of shape "
                f"{self._shape}"
            )
        return row * columns + column
