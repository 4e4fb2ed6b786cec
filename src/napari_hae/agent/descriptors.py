"""Local image descriptors of every pixel of the survey image.

Fields are padded by reflection, so that pixels at the border are kept. Patches are
views, processed in chunks, so that a field of 1024² pixels fits into memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import svds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

SCALES_PX = (0.8, 1.6, 3.2)
"""Smoothing widths at which derivatives of the survey image are taken."""

_CHUNK_VALUES = 4_000_000
_SAMPLED_PATCHES = 20_000
_SAMPLED_VALUES = 8_000_000
_DENSE_RANK = 512
_NOISE_FLOOR = 1e-5


def describe(data: Array, *, patch_px: int, components: int) -> Array:
    """Return the descriptors of all pixels, standardised.

    Parameters
    ----------
    data
        Survey image, shape `(detectors, rows, columns)`.
    patch_px
        Side of the patches.
    components
        Number of principal components of the patches, at most; patches of fewer
        values have fewer.

    Returns
    -------
    numpy.ndarray
        Shape `(rows * columns, components + 12 * detectors)`, float32: the patches'
        principal components, then the derivatives.
    """
    planes = np.stack(
        [_standardised(plane.ravel()).reshape(plane.shape) for plane in data]
    )
    parts = [principal_components(planes, patch_px, components), derivatives(planes)]
    return np.concatenate(parts, axis=1)


def finite_planes(data: Array) -> Array:
    """Return the image with non-finite pixels replaced, so that none spoils the others.

    They become the median of their detector, 0 where it has none. An image without such
    pixels is returned itself. Shape `(detectors, rows, columns)`.
    """
    finite = np.isfinite(data)
    if finite.all():
        return data
    planes = [
        np.where(good, plane, np.median(plane[good]) if good.any() else 0)
        for plane, good in zip(data, finite, strict=True)
    ]
    return np.stack(planes).astype(np.float32)


def patches(data: Array, size_px: int) -> Array:
    """Return every pixel's patch, as a view of the padded image.

    Shape `(rows, columns, detectors, size_px, size_px)`; an even patch reaches one
    pixel further up and left.
    """
    before, after = size_px // 2, (size_px - 1) // 2
    padded = np.pad(data, ((0, 0), (before, after), (before, after)), mode="symmetric")
    windows = sliding_window_view(padded, (size_px, size_px), axis=(1, 2))
    return np.moveaxis(windows, 0, 2)


def principal_components(data: Array, size_px: int, components: int) -> Array:
    """Return the patches' principal components, `(rows * columns, components)`.

    They are standardised. The axes are computed from at most 20 000 patches, spread
    evenly, fewer of large ones. Components in which the patches do not differ are 0.
    """
    windows = patches(data, size_px)
    rows, columns = windows.shape[:2]
    width = int(np.prod(windows.shape[2:]))
    sampled = min(_SAMPLED_PATCHES, max(1, _SAMPLED_VALUES // width))
    stride = max(1, int(np.ceil(np.sqrt(rows * columns / sampled))))
    sample = windows[::stride, ::stride].reshape(-1, width).astype(np.float64)
    mean = sample.mean(axis=0)
    axes = _principal_axes(sample - mean, components)
    projected = np.empty((rows * columns, axes.shape[1]), dtype=np.float32)
    step = max(1, _CHUNK_VALUES // (columns * width))
    for start in range(0, rows, step):
        block = windows[start : start + step].reshape(-1, width)
        place = slice(start * columns, start * columns + len(block))
        projected[place] = (block - mean) @ axes
    return _standardised(projected)


def _principal_axes(
    centred: NDArray[np.float64], components: int
) -> NDArray[np.float64]:
    """Return the leading right singular vectors as columns; 0 beyond the rank."""
    rank = min(centred.shape)
    if not centred.any():
        return np.zeros((centred.shape[1], min(components, rank)))
    if rank <= _DENSE_RANK:
        _, sizes, vectors = np.linalg.svd(centred, full_matrices=False)
        sizes, vectors = sizes[:components], vectors[:components]
    else:
        # A fixed start vector: the same image must give the same axes.
        sizes, vectors = svds(centred, k=components, v0=np.ones(rank))[1:]
        sizes, vectors = sizes[::-1], vectors[::-1]
    # Standardising would amplify rounding errors to the size of a signal.
    vectors = np.where(sizes[:, None] > _NOISE_FLOOR * sizes[0], vectors, 0)
    return signed(vectors.T)


def derivatives(data: Array, scales_px: tuple[float, ...] = SCALES_PX) -> Array:
    """Return four rotation-invariant derivatives per detector and scale, standardised.

    At each scale: the smoothed intensity, the gradient's magnitude, the Laplacian and
    the anisotropy of the Hessian. Shape `(rows * columns, 4 * scales * detectors)`.
    """
    columns = [
        _standardised(feature.ravel())
        for plane in data
        for scale in scales_px
        for feature in _derivatives_at(plane.astype(np.float32), scale)
    ]
    return np.stack(columns, axis=1)


def _derivatives_at(plane: Array, scale_px: float) -> tuple[Array, ...]:
    def smooth(order: tuple[int, int]) -> Array:
        result: Array = gaussian_filter(plane, scale_px, order=order, mode="reflect")
        return result

    yy, xx, xy = smooth((2, 0)), smooth((0, 2)), smooth((1, 1))
    gradient = np.hypot(smooth((1, 0)), smooth((0, 1)))
    anisotropy = np.hypot(yy - xx, 2 * xy)
    return smooth((0, 0)), gradient, yy + xx, anisotropy


def signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the same axes with the largest entry positive: the sign is arbitrary."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    result: NDArray[np.float64] = vectors * signs
    return result


def _standardised(values: Array) -> Array:
    """Scale columns to zero mean and unit deviation; constant columns become 0."""
    wide = values.astype(np.float64)
    mean, std = wide.mean(axis=0), wide.std(axis=0)
    # Rounding errors of a constant column are not contrast.
    flat = std <= 1e-6 * np.maximum(np.abs(mean), 1e-12)
    result: Array = ((wide - mean) / np.where(flat, np.inf, std)).astype(np.float32)
    return result
