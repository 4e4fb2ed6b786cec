"""Drift of the sample, from the images in which it was located again.

Sample coordinates are those of the first survey image. Everything else in the
experiment uses these; only the beam is placed at the sample's current position.

Time is counted in seconds of recorded exposing and scanning, so that a repeated run
gives the same positions. While waiting for the user, the sample is assumed to be at
rest; the margin includes the distance by which it may have drifted on. After a long
interval without an image, the next image resets the estimate of the drift rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_hae.types import ScanImage

Offset = tuple[float, float]
"""Offset `(y, x)` in nm."""

RECENT = 4
"""Number of recent estimates in the straight-line fit of the drift rate."""
LAST_MISSES = 3
"""Number of recent estimates from which the ageing of an estimate is derived."""
ERROR_PX = 1.0
"""Error of a new estimate in pixels, jitter and distortion included."""
FINENESS = 2
"""Steps of the margin per pixel; margins are rounded so that few masks are computed."""


def scan_s(image: ScanImage) -> float:
    """Return the scan time of an image in s."""
    return image.dwell_time_s * image.shape[0] * image.shape[1]


@dataclass(frozen=True)
class Estimate:
    """Located position of the sample.

    Attributes
    ----------
    at_s
        Time of the image, in seconds of exposing and scanning.
    offset_nm
        Displacement since the first survey image.
    miss_nm_per_s
        Distance from the expected position, per second since the previous estimate.
    after_s
        Time since the previous estimate, waiting included.
    waited_s
        Time of that spent waiting for the user.
    """

    at_s: float
    offset_nm: Offset
    miss_nm_per_s: float = 0.0
    after_s: float = 0.0
    waited_s: float = 0.0


@dataclass(frozen=True)
class Drift:
    """State of knowledge of the drift; an immutable snapshot.

    Attributes
    ----------
    survey_s
        Time of the first survey image, on the clock that started at its end.
    estimates
        Estimates for the drift rate, in order; empty before the first.
    scanned_s
        Total scan time of repeated images.
    waited_s
        Time spent waiting for the user since the last estimate.
    """

    survey_s: float = 0.0
    estimates: tuple[Estimate, ...] = ()
    scanned_s: float = 0.0
    waited_s: float = 0.0

    @classmethod
    def after(cls, survey: ScanImage) -> Drift:
        """Return the initial state, just after the first survey image."""
        return cls(-scan_s(survey) / 2)

    @property
    def is_followed(self) -> bool:
        """Return whether the sample was located again at least once."""
        return bool(self.estimates)

    @property
    def offset_nm(self) -> Offset:
        """Return the last located position of the sample."""
        return self.estimates[-1].offset_nm if self.estimates else (0.0, 0.0)

    def scanned(self, scan_s: float) -> Drift:
        """Return the state after an image was taken again."""
        return replace(self, scanned_s=self.scanned_s + scan_s)

    def waited(self, waited_s: float) -> Drift:
        """Return the state after waiting for the user."""
        return replace(self, waited_s=self.waited_s + waited_s)

    def found(self, at_s: float, offset_nm: Offset, *, is_anew: bool) -> Drift:
        """Return the state after the sample was located at a time."""
        if is_anew:
            # It may drift on at the previous rate.
            first = Estimate(at_s, offset_nm, math.hypot(*self.speed_nm_per_s))
            return replace(self, estimates=(first,), waited_s=0.0)
        before = self.estimates or (Estimate(self.survey_s, (0.0, 0.0)),)
        passed_s = max(at_s - before[-1].at_s, 1e-9) + self.waited_s
        miss_nm = math.dist(offset_nm, self.at(at_s))
        new = Estimate(at_s, offset_nm, miss_nm / passed_s, passed_s, self.waited_s)
        return replace(self, estimates=(*before, new)[-RECENT:], waited_s=0.0)

    def at(self, time_s: float) -> Offset:
        """Return the position expected at a time, by linear extrapolation."""
        if not self.estimates:
            return 0.0, 0.0
        last, (down, right) = self.estimates[-1], self.speed_nm_per_s
        passed_s = time_s - last.at_s
        y_nm, x_nm = last.offset_nm
        return y_nm + down * passed_s, x_nm + right * passed_s

    @property
    def speed_nm_per_s(self) -> Offset:
        """Return the drift rate `(y, x)`: least-squares slope of the last estimates."""
        if len(self.estimates) < 2:
            return 0.0, 0.0
        times = np.array([each.at_s for each in self.estimates])
        offsets = np.array([each.offset_nm for each in self.estimates])
        times -= times.mean()
        slope = times @ (offsets - offsets.mean(axis=0)) / (times @ times)
        return float(slope[0]), float(slope[1])

    def margin_nm(self, time_s: float, pixel_nm: float) -> float:
        """Return the margin of the expected position, rounded to steps of a size.

        Sum of the error of an estimate, the deviation of the last ones scaled to the
        time since, and the possible drift while waiting for the user.
        """
        if not self.estimates:
            return 0.0
        passed_s = max(time_s - self.estimates[-1].at_s, 0.0)
        in_all_s = passed_s + self.waited_s
        # The error of a wrong rate grows with time, that of a random walk with its
        # square root.
        misses_nm = [
            each.miss_nm_per_s * max(passed_s, math.sqrt(in_all_s * each.after_s))
            for each in self.estimates[-LAST_MISSES:]
        ]
        margin_px = ERROR_PX + (max(misses_nm) + self._gone_on_nm) / pixel_nm
        return math.ceil(margin_px * FINENESS) / FINENESS * pixel_nm

    @property
    def _gone_on_nm(self) -> float:
        """Return the drift in nm if the sample moved while waiting for the user."""
        first, *others = self.estimates
        if not others:
            return first.miss_nm_per_s * self.waited_s
        exposed_s = others[-1].at_s - first.at_s
        # If the steps wait too, the rate per second of exposing includes the waiting.
        passed_s = exposed_s + sum(each.waited_s for each in others)
        return math.hypot(*self.speed_nm_per_s) * exposed_s / passed_s * self.waited_s


@dataclass(frozen=True)
class ImageAgain:
    """Repeated survey image, as in the journal.

    Attributes
    ----------
    step
        Next step when it was taken.
    index
        Number among the run's survey images.
    scan_s
        Scan time.
    dose_e
        Dose in electrons; NaN if the current is unknown.
    area
        Scanned area: left, top, right and bottom, as fractions of the field.
    is_fiducial
        True if it shows only the fiducial region.
    is_asked
        True if the user asked for it.
    at_s
        Time of the image, in seconds of exposing and scanning.
    is_anew
        True if the drift rate was reset before it.
    offset_nm
        Located position of the sample; None if it was not located, or not searched for.
    correlation
        Correlation with the image it was registered to; NaN if it was not registered.
    against
        Number of that image.
    refusal
        Reason why the sample was not located, or empty.
    waited_s
        Time spent waiting for the user since the previous image.
    """

    step: int
    index: int
    scan_s: float
    dose_e: float
    area: tuple[float, float, float, float]
    at_s: float
    is_fiducial: bool = False
    is_asked: bool = False
    is_anew: bool = False
    offset_nm: Offset | None = None
    correlation: float = math.nan
    against: int = 0
    refusal: str = ""
    waited_s: float = 0.0

    def added_to(self, drift: Drift) -> Drift:
        """Return the state of knowledge of the drift with this image."""
        drift = drift.waited(self.waited_s).scanned(self.scan_s)
        if self.offset_nm is None:
            return drift
        return drift.found(self.at_s, self.offset_nm, is_anew=self.is_anew)
