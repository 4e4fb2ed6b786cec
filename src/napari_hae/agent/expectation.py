"""Expected quantities at every pixel of a new survey image, learned from earlier runs.

For each quantity that was measured earlier, a Gaussian process is fitted on the
structure network's features and the position, as in those runs. Its prediction from the
features alone is carried over: it acts as a further layer of the network, trained on
the earlier measurements to tell which structures matter here. The new run's kernel uses
it as an additional input, and fits how informative it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hae.agent.covariance import Covariance, cholesky, prior_of
from napari_hae.agent.embedding import embed, parts_of, positions
from napari_hae.agent.evidence import Evidence
from napari_hae.agent.fitting import FRESH_ITERATIONS, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_hae.agent.covariance import Part
    from napari_hae.agent.experience import Experience
    from napari_hae.agent.model_settings import ModelSettings

    Array = NDArray[np.float64]

_APART = 1e3
"""Offset between the positions of different runs, large enough to decorrelate them."""
_ROWS = 8192


def expectations(
    experience: Experience, image: NDArray[np.float32], settings: ModelSettings
) -> NDArray[np.float32]:
    """Return the expectation of each quantity, in standard deviations about its mean.

    Parameters
    ----------
    image
        The new run's survey image, shape `(detectors, rows, columns)`.

    Returns
    -------
    numpy.ndarray
        Shape `(rows * columns, quantities)`.
    """
    known, near, values = [], [], []
    for number, visit in enumerate(experience.visits):
        known.append(embed(visit.image, settings)[visit.pixels])
        places = positions(*visit.image.shape[1:])[visit.pixels]
        near.append(places + np.float32(_APART * number))
        values.append(visit.values)
    parts = parts_of(settings, known[0].shape[1])
    inputs = np.concatenate([np.concatenate(known), np.concatenate(near)], axis=1)
    columns = sum(part.width for part in parts)
    measured = torch.from_numpy(inputs[:, :columns]).double()
    seen = torch.from_numpy(embed(image, settings))
    found = [
        _expected(parts, measured, quantity, seen)
        for quantity in np.concatenate(values).T
    ]
    return np.stack(found, axis=1).astype(np.float32)


def _expected(
    parts: tuple[Part, ...], measured: Tensor, values: Array, seen: Tensor
) -> Array:
    """Return one quantity's mean as predicted by the first of the kernels, `(n,)`."""
    spread = values.std()
    standard = torch.from_numpy((values - values.mean()) / (spread or 1.0))
    prior = prior_of(parts)[0]
    logs = fit(Evidence(parts, measured, standard), prior, FRESH_ITERATIONS)
    logs = prior if logs is None else logs
    whole = Covariance(parts, logs)
    scaled = whole.scaled(measured)
    covariance = whole(scaled, scaled)
    covariance.diagonal().add_(whole.noise)
    weights = torch.cholesky_solve(standard[:, None], cholesky(covariance))
    width, lengths = parts[0].width, sum(part.width for part in parts)
    structure = Covariance(parts[:1], logs[[*range(width), lengths, -1]])
    known = scaled[:, :width]
    mean = [
        structure(structure.scaled(block.double()), known) @ weights[:, 0]
        for block in torch.split(seen, _ROWS)
    ]
    result: Array = torch.cat(mean).numpy()
    return result
