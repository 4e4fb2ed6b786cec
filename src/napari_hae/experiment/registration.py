"""Registers an image to one of the same sample that was taken before, to subpixels.

The image's middle is looked for near where it is expected, by the normalised
cross-correlation (Lewis, Vision Interface 1995). What is found has to be like the
reference, to be the only such place, and not to lie at the edge of where was looked;
then scikit-image refines it by the upsampled cross-correlation (Guizar-Sicairos et al.,
Opt. Lett. 33, 156, 2008), which has to agree. Else it is refused.
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
"""`(rows, columns)`, in pixels."""

LEAST_CORRELATION = 0.7
"""Of the image with the reference. In whole images of simulated samples, different ones
reach 0.2, the same one 0.98; in small frames of the same one it is above 0.85."""
LEAST_CONTRAST = 0.25
"""Of the part of the reference, relative to all of it: where there is no structure,
noise and what lies beside it decide."""
RIVAL = 0.8
"""Another place that correlates so well, relative to the best one, makes it doubtful:
the sample may be periodic."""
LEAST_SIDE = 16
"""Pixels; less of an image tells nothing."""
UPSAMPLING = 50
SMOOTHING_PX = 1.0
BACKGROUND = 1 / 8
"""Slower variations than this share of an image count for nothing."""


class NotRegistered(ValueError):
    """An image could not be registered; the text says why."""


@dataclass(frozen=True)
class Registration:
    """Where the sample is found in an image.

    Attributes
    ----------
    shift_px
        How far it moved since the reference, in pixels.
    correlation
        How like the reference the image is there, up to 1.
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
    """How far the sample moved between two images with pixels of one size.

    Parameters
    ----------
    reference
        Shape `(rows, columns)`.
    image
        Shape `(rows, columns)`, of the same field or a part of it. Pixels that are no
        finite numbers, here or in the reference, count as the median of the others.
    origin
        The pixel of the reference's grid where the image's first pixel lies.
    expected_px
        How far the sample is expected to have moved.
    farthest_px
        How far it may lie from there, along each axis.

    Raises
    ------
    NotRegistered
        If the images have too little in common, or it is not clear where they agree.
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
    """The image without its noise and without what varies slowly."""
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.astype(float), SMOOTHING_PX)
    return np.asarray(smooth - gaussian_filter(smooth, background_px))


def _inner(length: int, whole: int, shift: int, reach: int) -> slice:
    """The part of an image, along one axis, that the reference surrounds."""
    part = slice(max(0, shift + reach), min(length, whole + shift - reach))
    if part.stop - part.start < LEAST_SIDE:
        raise NotRegistered(
            "too little of what was seen before is expected in the image: "
            f"{max(part.stop - part.start, 0)} pixels of a side, at least {LEAST_SIDE} "
            "are needed"
        )
    return part


def _moved(parts: list[slice], offset: Array, margin: int) -> tuple[slice, ...]:
    """Parts of an image as parts of the reference, with a margin around them."""
    return tuple(
        slice(part.start - shift - margin, part.stop - shift + margin)
        for part, shift in zip(parts, offset, strict=True)
    )


def _check_contrast(reference: Array, part: Array) -> None:
    """Refuse a part of the reference in which there is nothing to see.

    The image itself may have been taken with another dwell time, and other counts.
    """
    share = float(part.std() / max(reference.std(), 1e-300))
    if share < LEAST_CONTRAST:
        raise NotRegistered(
            f"it lies where the image before has {share:.0%} of its contrast, at least "
            f"{LEAST_CONTRAST:.0%} are needed: choose a part with more to see"
        )


def _found(around: Array, template: Array, reach: int) -> tuple[Array, float]:
    """How far from the middle a template lies in what is around it, and how surely."""
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
    """What is left of a shift after its whole pixels, of the parts in common."""
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
    # Without the normalisation of phases, which makes much of noise.
    shift, _, _ = phase_cross_correlation(
        image,
        reference,
        upsample_factor=UPSAMPLING,
        normalization=None,
    )
    return np.asarray(shift, dtype=float)
