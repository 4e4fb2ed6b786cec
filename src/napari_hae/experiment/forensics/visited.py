"""Visited places: patches along the path, and clusters in the model's features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.vq import ClusterError, kmeans2, vq

from napari_hae.agent.descriptors import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_hae.experiment.stored import StoredRun

    Array = NDArray[np.float64]

CLUSTERS = 6
PATCH_PX = 16
_SAMPLED = 5000


@dataclass(frozen=True)
class Cluster:
    """Group of pixels with similar features of the model.

    Attributes
    ----------
    share
        Fraction of the field's pixels, from 0 to 1.
    visits
        Number of measurements there.
    mean_target
        Mean target of these measurements; NaN without any.
    predicted
        Mean prediction of the mature model there.
    """

    share: float
    visits: int
    mean_target: float
    predicted: float


@dataclass(frozen=True, eq=False)
class Visited:
    """Patches and clusters that a run visited.

    Attributes
    ----------
    patches
        Image of the first detector around each measured place, in order, `(steps,
        PATCH_PX, PATCH_PX)`.
    clusters
        In order of decreasing predicted utility.
    labels
        The cluster of every pixel, counted from 0, `(rows, columns)`.
    """

    patches: NDArray[np.float32]
    clusters: tuple[Cluster, ...]
    labels: NDArray[np.intp]


def visited(run: StoredRun, mature: Array) -> Visited:
    """Return patches and clusters of a run; `mature` is the final model's map."""
    assert run.survey is not None
    rows = np.array([m.proposal.row for m in run.measurements])
    columns = np.array([m.proposal.column for m in run.measurements])
    around = patches(run.survey.data[:1], PATCH_PX)[rows, columns, 0]
    labels = clustered(features_of(run), seed=run.settings.seed).reshape(mature.shape)
    labels = _by_promise(labels, run.settings.goal.utility_of(mature))
    targets = np.array([m.target for m in run.measurements])
    here = labels[rows, columns]
    clusters = []
    for label in range(labels.max() + 1):
        found = targets[(here == label) & np.isfinite(targets)]
        clusters.append(
            Cluster(
                share=float((labels == label).mean()),
                visits=int((here == label).sum()),
                mean_target=float(found.mean()) if len(found) else float("nan"),
                predicted=float(mature[labels == label].mean()),
            )
        )
    return Visited(np.array(around), tuple(clusters), labels)


def features_of(run: StoredRun) -> NDArray[np.float32]:
    """Return the model's features of every pixel, without position, `(n, width)`."""
    from napari_hae.agent.embedding import embed

    assert run.survey is not None
    return embed(run.survey.data, run.settings.model)


def clustered(features: NDArray[np.float32], *, seed: int) -> NDArray[np.intp]:
    """Return the cluster of each row by k-means on standardised features, `(n,)`.

    There are fewer clusters if there are fewer distinct rows.
    """
    wide = features.astype(np.float64)
    spread = wide.std(axis=0)
    scaled = (wide - wide.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    rng = np.random.default_rng(seed)
    sample = scaled
    if len(scaled) > _SAMPLED:
        sample = scaled[rng.choice(len(scaled), _SAMPLED, replace=False)]
    for count in range(min(CLUSTERS, len(np.unique(sample, axis=0))), 1, -1):
        try:
            centres = kmeans2(sample, count, minit="++", missing="raise", rng=rng)[0]
        except ClusterError:
            continue
        found: NDArray[np.intp] = vq(scaled, centres)[0].astype(np.intp)
        return np.unique(found, return_inverse=True)[1].ravel()
    return np.zeros(len(scaled), dtype=np.intp)


def _by_promise(labels: NDArray[np.intp], utility: Array) -> NDArray[np.intp]:
    """Renumber the clusters in order of decreasing mean utility."""
    means = [utility[labels == label].mean() for label in range(labels.max() + 1)]
    numbers = np.empty(len(means), dtype=np.intp)
    numbers[np.argsort(means)[::-1]] = np.arange(len(means))
    return numbers[labels]
