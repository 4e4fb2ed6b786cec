"""Registration of an image to an earlier one of the same sample, to subpixels.

The centre of the image is searched for near its expected position, by normalised
cross-correlation (Lewis, Vision Interface 1995). The match must correlate well with the
reference, be unique, and not lie at the edge of the search area; then scikit-image
refines it by upsampled cross-correlation (Guizar-Sicairos et al., Opt. Lett. 33, 156,
2008), which has to agree. Otherwise the registration is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.descriptors import finite_planes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Shift = tuple[float, float]
"""Shift `(rows, columns)`, in pixels."""

LEAST_CORRELATION = 0.7
"""Smallest correlation of the image with the reference. In whole images of simulated
samples, different ones reach 0.2, the same one 0.98; in small frames of the same one it
is above 0.85."""
LEAST_CONTRAST = 0.25
"""Smallest contrast of the matching part of the reference, relative to the whole:
without structure, noise and the surroundings determine the result."""
RIVAL = 0.8
"""Correlation of a second match, relative to the best one, that makes the result
ambiguous: the sample may be periodic."""
LEAST_SIDE = 16
"""Smallest side of an image, in pixels; less contains too little information."""
UPSAMPLING = 50
SMOOTHING_PX = 1.0
BACKGROUND = 1 / 8
"""Variations slower than this fraction of an image are removed."""


class NotRegistered(ValueError):
    """Error for an image that cannot be registered; the text gives the reason."""


@dataclass(frozen=True)
class Registration:
    """Located position of the sample in an image.

    Attributes
    ----------
    shift_px
        Displacement since the reference, in pixels.
    correlation
        Correlation with the reference there, up to 1.
    """

    shift_px: Shift
    correlation: float


def register(
    reference: NDArray[np.float32],
    image: NDArray[np.float32],
    *,
    origin: tuple[int, int] = (0, 0),
    expected_px: Shift = (0.0, 0.0),
    farthest_px: float,
) -> Registration:
    """Return the displacement of the sample between two images of equal pixel size.

    Parameters
    ----------
    reference
        Shape `(rows, columns)`.
    image
        Shape `(rows, columns)`, of the same field or a part of it. Non-finite pixels,
        here or in the reference, are replaced by the median of the others.
    origin
        Position of the image's first pixel on the grid of the reference.
    expected_px
        Expected displacement of the sample.
    farthest_px
        Largest distance from the expected displacement, along each axis.

    Raises
    ------
    NotRegistered
        If the images have too little in common, or the match is ambiguous.
    """
    reference, image = (finite_planes(each[None])[0] for each in (reference, image))
    if image.min() == image.max():
        raise NotRegistered(
            "nothing like it is in the image, which shows nothing: all its pixels are "
            "equal. Check the detector and the beam"
        )
    reach = max(math.ceil(farthest_px), 1) + 1
    background_px = BACKGROUND * min(image.shape)
    before, after = (_filtered(each, background_px) for each in (reference, image))
    offset = np.array([round(each) for each in expected_px]) - origin
    inner = [
        _inner(length, whole, int(shift), reach)
        for length, whole, shift in zip(
            image.shape, reference.shape, offset, strict=True
        )
    ]
    template = after[inner[0], inner[1]]
    _check_contrast(before, before[_moved(inner, offset, 0)])
    around = before[_moved(inner, offset, reach)]
    found, correlation = _found(around, template, reach)
    whole = offset - found
    rest = _refined(before, after, whole)
    if max(abs(each) for each in rest) > 1:
        raise NotRegistered("two ways of registering it disagree by more than a pixel")
    shift = whole + origin + rest
    return Registration((float(shift[0]), float(shift[1])), correlation)


def _filtered(image: NDArray[np.float32], background_px: float) -> Array:
    """Return the image without noise and slow variations."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.astype(float), SMOOTHING_PX)
    return np.asarray(smooth - gaussian_filter(smooth, background_px))


def _inner(length: int, whole: int, shift: int, reach: int) -> slice:
    """Return the part of an image, along one axis, that the reference surrounds."""
    part = slice(max(0, shift + reach), min(length, whole + shift - reach))
    if part.stop - part.start < LEAST_SIDE:
        raise NotRegistered(
            "too little of what was seen before is expected in the image: "
            f"{max(part.stop - part.start, 0)} pixels of a side, at least {LEAST_SIDE} "
            "are needed"
        )
    return part


def _moved(parts: list[slice], offset: Array, margin: int) -> tuple[slice, ...]:
    """Return parts of an image as parts of the reference, with a margin around them."""
    return tuple(
        slice(part.start - shift - margin, part.stop - shift + margin)
        for part, shift in zip(parts, offset, strict=True)
    )


def _check_contrast(reference: Array, part: Array) -> None:
    """Refuse a part of the reference that has no structure.

    The image itself may have been taken with another dwell time, and so have other
    counts.
    """
    share = float(part.std() / max(reference.std(), 1e-300))
    if share < LEAST_CONTRAST:
        raise NotRegistered(
            f"it lies where the image before has {share:.0%} of its contrast, at least "
            f"{LEAST_CONTRAST:.0%} are needed: choose a part with more to see"
        )


def _found(around: Array, template: Array, reach: int) -> tuple[Array, float]:
    """Return a template's offset from the centre, in pixels, and its correlation."""
    from skimage.feature import match_template, peak_local_max

    likeness = np.nan_to_num(match_template(around, template))
    best = np.array(np.unravel_index(likeness.argmax(), likeness.shape))
    correlation = float(likeness.max())
    if correlation < LEAST_CORRELATION:
        raise NotRegistered(
            f"nothing like it is near where it was expected: the correlation is "
            f"{correlation:.2f}, at least {LEAST_CORRELATION:g} is needed"
        )
    peaks = peak_local_max(
        likeness,
        min_distance=2,
        threshold_abs=RIVAL * correlation,
        exclude_border=False,
    )
    if len(peaks) > 1:
        raise NotRegistered(
            f"{len(peaks)} places look alike, as in a periodic sample: it is not clear "
            "which is the right one"
        )
    if (best == 0).any() or (best == 2 * reach).any():
        raise NotRegistered("the sample moved farther than is believable")
    return best - reach, correlation


def _refined(before: Array, after: Array, whole: Array) -> Array:
    """Return the subpixel remainder of a shift, from the overlapping parts."""
    from skimage.filters import window
    from skimage.registration import phase_cross_correlation

    parts = [
        slice(max(0, shift), min(length, full + shift))
        for length, full, shift in zip(after.shape, before.shape, whole, strict=True)
    ]
    image = after[parts[0], parts[1]]
    reference = before[_moved(parts, whole, 0)]
    weight = window("hann", image.shape)
    image, reference = (
        weight * (each - np.average(each, weights=weight))
        for each in (image, reference)
    )
    # Without phase normalisation, which amplifies noise.
    shift, _, _ = phase_cross_correlation(
        image,
        reference,
        upsample_factor=UPSAMPLING,
        normalization=None,
    )
    return np.asarray(shift, dtype=float)
