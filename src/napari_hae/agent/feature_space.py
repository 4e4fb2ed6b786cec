"""Two-dimensional embeddings of all candidates: similar ones lie close together.

One shows the inputs that the model compares, the other the survey image's features of
each candidate, independent of the measurements. The scale is arbitrary: an embedding is
centred at 0, with a root mean square distance of its points of 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from napari_hae.agent.descriptors import principal_components, signed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.agent.surrogate import Surrogate
    from napari_hae.types import ScanImage

    Array = NDArray[np.float32]


class ModelSpace:
    """The model's embedding in two dimensions, kept as steady as refits allow.

    Principal axes have no sign, and those of a network that is refitted rotate: each
    embedding is rotated, or mirrored, to match the one before as closely as possible.
    """

    def __init__(self) -> None:
        self.picture: Array | None = None
        """Embedding, shape `(n, 2)`, read-only; None before a model was fitted."""
        self._drawn: tuple[object, object] | None = None

    def update(self, surrogate: Surrogate | None) -> None:
        """Recompute the embedding if the model's inputs have changed."""
        if surrogate is None or not surrogate.is_fitted:
            return
        drawn = surrogate, surrogate.fitted_network
        if self._drawn is not None and all(
            new is old for new, old in zip(drawn, self._drawn, strict=True)
        ):
            return
        embedding = surrogate.embed()
        self._drawn = drawn
        if np.isfinite(embedding).all():
            self.picture = _frozen(turned_to(self.picture, plane_of(embedding)))


@dataclass(frozen=True, slots=True, eq=False)
class SurveyFeatures:
    """Features of each candidate in the survey image.

    Attributes
    ----------
    picture
        The first two principal components of the patches, `(n, 2)`.
    intensity
        Mean of each patch, `(n,)`, in counts of the first detector.
    """

    picture: Array
    intensity: Array


def survey_features(image: ScanImage, patch_px: int) -> SurveyFeatures:
    """Return all candidates' features, from square patches of side `patch_px`."""
    data = np.nan_to_num(image.data)
    components = principal_components(_standard(data), patch_px, 2)
    intensity = uniform_filter(data[0], patch_px, mode="reflect").ravel()
    return SurveyFeatures(_frozen(plane_of(components)), _frozen(intensity))


def plane_of(values: NDArray[np.floating]) -> Array:
    """Return values of shape `(n, k)` in two dimensions: `(n, 2)`, float32.

    Two dimensions are kept as they are, a single one gets a second that is 0; more are
    reduced to their first two principal components.
    """
    centred = values - values.mean(axis=0, dtype=np.float64)
    width = centred.shape[1]
    if width > 2:
        _, axes = np.linalg.eigh(centred.T @ centred)
        centred = centred @ signed(axes[:, :-3:-1])
    elif width < 2:
        centred = np.pad(centred, ((0, 0), (0, 2 - width)))
    size = float(np.sqrt(np.mean(np.sum(centred**2, axis=1))))
    result: Array = (centred / (size or 1.0)).astype(np.float32)
    return result


def turned_to(before: Array | None, picture: Array) -> Array:
    """Return the embedding rotated or mirrored to match the one before.

    Orthogonal Procrustes problem (Schönemann, Psychometrika 31, 1, 1966). An embedding
    of other candidates is ignored.
    """
    if before is None or before.shape != picture.shape:
        return picture
    left, _, right = np.linalg.svd(picture.T.astype(np.float64) @ before)
    result: Array = (picture @ (left @ right)).astype(np.float32)
    return result


def _standard(data: Array) -> Array:
    """Standardise each detector's plane, so that all have the same weight."""
    deviation = data.std(axis=(1, 2), keepdims=True)
    deviation[deviation == 0] = 1
    result: Array = data / deviation
    return result


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array
