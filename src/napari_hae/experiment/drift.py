"""Where the sample has drifted to, from the images in which it was found again.

Sample coordinates are those of the first survey image. All else in the experiment stays
in them; only the beam is placed where the sample is now.

Time is counted in seconds of exposing and scanning, as far as the record knows of them:
then the same run gives the same positions whenever it is repeated. While a person is
waited for, the sample is taken to stay; that it may go on as before is in the margin.
After a long while in which nobody looked, the next image ends what was known of the
drift's speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_hae.types import ScanImage

Offset = tuple[float, float]
"""`(y, x)` in nm."""

RECENT = 4
"""The speed is that of a straight line through so many of the last estimates."""
LAST_MISSES = 3
"""How fast an estimate ages follows from so many of the last ones."""
ERROR_PX = 1.0
"""What an estimate may be off by when it is new, jitter and distortion included."""
FINENESS = 2
"""Margins are whole parts of a pixel, so many to one, so that few are computed."""


def scan_s(image: ScanImage) -> float:
    """How long an image took to scan."""
    return image.dwell_time_s * image.shape[0] * image.shape[1]


@dataclass(frozen=True)
class Estimate:
    """Where the sample was found.

    Attributes
    ----------
    at_s
        When, in seconds of exposing and scanning.
    offset_nm
        How far it had moved since the first survey image.
    miss_nm_per_s
        How far from where it was expected, for each second since the estimate before.
    after_s
        How long after the estimate before, waiting included.
    waited_s
        For how long of that a person was waited for.
    """

    at_s: float
    offset_nm: Offset
    miss_nm_per_s: float = 0.0
    after_s: float = 0.0
    waited_s: float = 0.0


@dataclass(frozen=True)
class Drift:
    """What is known of the drift; an immutable snapshot.

    Attributes
    ----------
    survey_s
        When the first survey image was taken, on the clock that began at its end.
    estimates
        Those that the speed follows from, in order; none before one was made.
    scanned_s
        How long images have been scanned again, in all.
    waited_s
        For how long a person was waited for since the last estimate.
    """

    survey_s: float = 0.0
    estimates: tuple[Estimate, ...] = ()
    scanned_s: float = 0.0
    waited_s: float = 0.0

    @classmethod
    def after(cls, survey: ScanImage) -> Drift:
        """What is known when the first survey image was taken just now."""
        return cls(-scan_s(survey) / 2)

    @property
    def is_followed(self) -> bool:
        """Whether the sample was found again at least once."""
        return bool(self.estimates)

    @property
    def offset_nm(self) -> Offset:
        """Where the sample was found last."""
        return self.estimates[-1].offset_nm if self.estimates else (0.0, 0.0)

    def scanned(self, scan_s: float) -> Drift:
        """The same after an image was taken again."""
        return replace(self, scanned_s=self.scanned_s + scan_s)

    def waited(self, waited_s: float) -> Drift:
        """The same after a person was waited for."""
        return replace(self, waited_s=self.waited_s + waited_s)

    def found(self, at_s: float, offset_nm: Offset, *, is_anew: bool) -> Drift:
        """What is known after the sample was found at a time."""
        if is_anew:
            # It may go on as fast as it was before.
            first = Estimate(at_s, offset_nm, math.hypot(*self.speed_nm_per_s))
            return replace(self, estimates=(first,), waited_s=0.0)
        before = self.estimates or (Estimate(self.survey_s, (0.0, 0.0)),)
        passed_s = max(at_s - before[-1].at_s, 1e-9) + self.waited_s
        miss_nm = math.dist(offset_nm, self.at(at_s))
        new = Estimate(at_s, offset_nm, miss_nm / passed_s, passed_s, self.waited_s)
        return replace(self, estimates=(*before, new)[-RECENT:], waited_s=0.0)

    def at(self, time_s: float) -> Offset:
        """Where the sample is expected at a time: straight on from the last."""
        if not self.estimates:
            return 0.0, 0.0
        last, (down, right) = self.estimates[-1], self.speed_nm_per_s
        passed_s = time_s - last.at_s
        y_nm, x_nm = last.offset_nm
        return y_nm + down * passed_s, x_nm + right * passed_s

    @property
    def speed_nm_per_s(self) -> Offset:
        """`(y, x)`: the slope of the least-squares line through the last estimates."""
        if len(self.estimates) < 2:
            return 0.0, 0.0
        times = np.array([each.at_s for each in self.estimates])
        offsets = np.array([each.offset_nm for each in self.estimates])
        times -= times.mean()
        slope = times @ (offsets - offsets.mean(axis=0)) / (times @ times)
        return float(slope[0]), float(slope[1])

    def margin_nm(self, time_s: float, pixel_nm: float) -> float:
        """How far the sample may be from where it is expected, in steps of a size.

        What an estimate may be off by, what the last ones were found to miss, for the
        time that has passed since, and how far it may have gone on while a person was
        waited for.
        """
        if not self.estimates:
            return 0.0
        passed_s = max(time_s - self.estimates[-1].at_s, 0.0)
        in_all_s = passed_s + self.waited_s
        # A wrong speed leads astray as time goes, a random walk as its square root.
        misses_nm = [
            each.miss_nm_per_s * max(passed_s, math.sqrt(in_all_s * each.after_s))
            for each in self.estimates[-LAST_MISSES:]
        ]
        margin_px = ERROR_PX + (max(misses_nm) + self._gone_on_nm) / pixel_nm
        return math.ceil(margin_px * FINENESS) / FINENESS * pixel_nm

    @property
    def _gone_on_nm(self) -> float:
        """How far it went if it did not stay while a person was waited for."""
        first, *others = self.estimates
        if not others:
            return first.miss_nm_per_s * self.waited_s
        exposed_s = others[-1].at_s - first.at_s
        # Where steps wait too, the speed per second of exposing holds the waiting.
        passed_s = exposed_s + sum(each.waited_s for each in others)
        return math.hypot(*self.speed_nm_per_s) * exposed_s / passed_s * self.waited_s


@dataclass(frozen=True)
class ImageAgain:
    """A survey image that was taken again, as the journal has it.

    Attributes
    ----------
    step
        The next step when it was taken.
    index
        Its number among the run's survey images.
    scan_s
        How long it took.
    dose_e
        The electrons that it took; NaN where the current is unknown.
    area
        Where it was scanned: left, top, right and bottom, as fractions of the field.
    is_fiducial
        Whether it shows the fiducial region only.
    is_asked
        Whether a person asked for it.
    at_s
        When, in seconds of exposing and scanning.
    is_anew
        Whether the drift's speed was forgotten before.
    offset_nm
        Where the sample was found; None if it was not, or not looked for.
    correlation
        How like the image it was registered to; NaN where it was not.
    against
        The number of that image.
    refusal
        Why the sample was not found, or empty.
    waited_s
        For how long a person was waited for since the image before.
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
        """What is known of the drift with this image."""
        drift = drift.waited(self.waited_s).scanned(self.scan_s)
        if self.offset_nm is None:
            return drift
        return drift.found(self.at_s, self.offset_nm, is_anew=self.is_anew)
