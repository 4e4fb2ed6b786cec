"""Rules about what images and spectra show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.conformance.picture import write_picture
from napari_hae.instruments.conformance.subject import Subject, expect
from napari_hae.types import ProbePosition

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_hae.types import ScanImage

    Array = NDArray[Any]
    Turn = Callable[[ProbePosition], ProbePosition]

_LONGER = 10.0
_FOLLOWS = 2.0
"""Counts grow at least by this factor with an exposure 10 times as long."""
_PLACES = 24
"""Of each kind, bright and dark ones."""
_CERTAIN, _SIGMAS = 0.8, 3.5
"""A wrong orientation correlates as well as this, and better than the right one by so
many standard errors (of Fisher's z)."""
_COMPONENTS = 3

_TURNS: dict[str, Turn] = {
    "mirrored left to right": lambda p: ProbePosition(1 - p.x, p.y),
    "mirrored top to bottom": lambda p: ProbePosition(p.x, 1 - p.y),
    "turned by 180°": lambda p: ProbePosition(1 - p.x, 1 - p.y),
    "with x and y swapped": lambda p: ProbePosition(p.y, p.x),
    "turned by 90°": lambda p: ProbePosition(1 - p.y, p.x),
    "turned by 270°": lambda p: ProbePosition(p.y, 1 - p.x),
    "with x and y swapped and mirrored": lambda p: ProbePosition(1 - p.y, 1 - p.x),
}


def finite_images(subject: Subject) -> None:
    """A survey image holds finite numbers only."""
    image = _survey(subject)
    wrong = int(np.count_nonzero(~np.isfinite(image.data)))
    seen = f"{wrong} of {image.data.size} are NaN or infinite"
    expect(wrong == 0, "all pixels of a survey image are finite", seen)


def shows_the_sample(subject: Subject) -> None:
    """Spectra have counts, finite ones, and lie where the survey image shows them."""
    image = _survey(subject)
    places = _places(image)
    counts = np.stack([_counts(subject, place) for place in places])
    wrong = int(np.count_nonzero(~np.isfinite(counts)))
    seen = f"{wrong} of {counts.size} are NaN or infinite"
    expect(wrong == 0, "the counts of a spectrum are finite", seen)
    rule = "the counts of a spectrum are not negative, noise around 0 left out"
    seen = f"from {counts.min():g} to {counts.max():g}"
    expect(counts.sum() >= 0 and counts.min() >= -abs(counts.max()), rule, seen)
    rule = "spectra with the beam on hold counts"
    expect(bool(counts.any()), rule, f"all are 0 at {len(places)} places")
    features = _features(counts)
    if subject.picture is not None:
        write_picture(subject.picture, image, places, features[1])
    _expect_orientation(image, places, features)


def counts_follow_exposure(subject: Subject) -> None:
    """A longer exposure gives more counts."""
    can, short_s = subject.capabilities, subject.exposure_s
    long_s = min(_LONGER * short_s, can.exposure_s.high)
    if not can.exposure_has_effect or long_s < _LONGER * short_s * 0.999:
        return
    places = _places(_survey(subject))[:: _PLACES // 2]
    short = sum(float(_counts(subject, place).sum()) for place in places)
    long = sum(float(_counts(subject, place, long_s).sum()) for place in places)
    rule = f"an exposure {_LONGER:g} times as long gives more counts"
    seen = f"{short:g} counts in {short_s:g} s, {long:g} in {long_s:g} s"
    expect(long >= _FOLLOWS * short, rule, seen)


def _survey(subject: Subject) -> ScanImage:
    can = subject.capabilities
    return subject.instrument.acquire_survey(
        can.survey_detectors, can.survey_shape, subject.dwell_time_s
    )


def _places(image: ScanImage) -> list[ProbePosition]:
    """Return centres of pixels, half of them among the brightest of the image."""
    frame = FieldFrame.of(image)
    order = np.argsort(image.data[0], axis=None, kind="stable")
    quarter = max(len(order) // 4, 1)
    rng = np.random.default_rng(0)
    chosen = [
        rng.choice(part, min(_PLACES, quarter), replace=False)
        for part in (order[:quarter], order[-quarter:])
    ]
    rows, columns = np.unravel_index(np.concatenate(chosen), image.shape)
    return [
        frame.position(row, column)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
    ]


def _counts(
    subject: Subject, place: ProbePosition, exposure_s: float | None = None
) -> Array:
    instrument = subject.instrument
    instrument.place_beam(place)
    instrument.unblank()
    try:
        spectrum = instrument.acquire_spectrum(
            subject.detector, exposure_s or subject.exposure_s
        )
    finally:
        instrument.blank()
    return np.asarray(spectrum.counts, float)


def _expect_orientation(
    image: ScanImage, places: list[ProbePosition], features: Array
) -> None:
    """Spectra belong to the image as it is, and not to the image turned or mirrored.

    A sample that looks alike when it is turned, or whose spectra have nothing to do
    with the image, tells nothing; somebody has to look at a picture then.
    """
    if len(places) < 2 * _PLACES:
        return
    right = _correlation(image, places, features)
    turned = {
        name: _correlation(image, [turn(place) for place in places], features)
        for name, turn in _TURNS.items()
    }
    worst = max(turned, key=lambda name: turned[name])
    error = math.sqrt(2 / (len(places) - 3))
    better = (_fisher_z(turned[worst]) - _fisher_z(right)) / error
    is_wrong = turned[worst] >= _CERTAIN and better >= _SIGMAS
    rule = "probe positions and the pixels of the survey image have the same directions"
    seen = (
        f"the spectra fit the image {worst} (correlation {turned[worst]:.2f}), and not "
        f"as it is ({right:.2f})"
    )
    expect(not is_wrong, rule, seen)


def _features(counts: Array) -> Array:
    """Return features of spectra: sums and principal components, `(features, n)`."""
    centred = counts - counts.mean(axis=0)
    left, strength, _ = np.linalg.svd(centred, full_matrices=False)
    components = (left * strength)[:, :_COMPONENTS].T
    return np.concatenate([counts.sum(axis=1)[None], components])


def _correlation(
    image: ScanImage, places: list[ProbePosition], features: Array
) -> float:
    """Return the best correlation of a detector's pixels at places with a feature."""
    frame = FieldFrame.of(image)
    rows, columns = np.transpose([frame.pixel(place) for place in places])
    values = image.data[:, rows, columns].astype(float)
    best = 0.0
    for value in values:
        for feature in features:
            spread = np.std(value) * np.std(feature)
            if spread > 0:
                covariance = np.mean(
                    (value - value.mean()) * (feature - feature.mean())
                )
                best = max(best, abs(float(covariance / spread)))
    return best


def _fisher_z(correlation: float) -> float:
    return math.atanh(min(correlation, 0.9999))


RULES = (finite_images, shows_the_sample, counts_follow_exposure)
