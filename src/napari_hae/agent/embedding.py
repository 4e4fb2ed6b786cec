"""Inputs of the kernels for every pixel, computed from the survey image.

Either features that a network learned across experiments, or hand-crafted descriptors.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_hae.agent.covariance import Part, log_scale
from napari_hae.agent.descriptors import derivatives, describe, finite_planes
from napari_hae.agent.npz_files import open_npz
from napari_hae.agent.structure_network import FEATURES, SCALES_PX, StructureNetwork
from napari_hae.agent.threads import DRAWING
from napari_hae.files import check_file

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.agent.model_settings import ModelSettings

    Array = NDArray[np.float32]

POSITION_UNIT_PX = 10.0
"""Positions enter the kernel in units of this many pixels."""
_TRANSFERRED_LENGTH = 0.3
"""Centre of the log length scales of learned features. They were trained for 0; in a
single experiment not all of them matter."""
_EXPECTED_LENGTH = 0.5
"""Centre of the log length scales of expectations from earlier runs."""
_TILE_PX = 256
_MARGIN_PX = 16
"""Overlap of tiles; the network's receptive field reaches 15 pixels to each side."""


def embed(data: Array, settings: ModelSettings) -> Array:
    """Return the inputs of the model, shape `(rows * columns, width)`, float32.

    Parameters
    ----------
    data
        Survey image, shape `(detectors, rows, columns)`. Pixels that are no finite
        number are taken for the median of their detector.
    """
    data = finite_planes(data)
    if settings.uses_descriptors:
        return describe(
            data, patch_px=settings.patch_px, components=settings.components
        )
    network = load_network(settings.weights)
    return np.concatenate([structure_features(each, network) for each in data], axis=1)


def parts_of(
    settings: ModelSettings, width: int, expected: int = 0
) -> tuple[Part, ...]:
    """Return the kernels of the settings.

    Parameters
    ----------
    width
        Number of input columns, without expectations and position.
    expected
        Number of further columns with expectations from earlier runs.
    """
    centre = _TRANSFERRED_LENGTH + log_scale(width // FEATURES or 1)
    if settings.network == "classic":
        width = settings.embedding_dim
    if settings.uses_descriptors:
        centre = log_scale(width) + 0.3
    parts = [Part(settings.kernel, width, centre, 0.0)]
    if expected:
        # A separate, weak kernel: misleading expectations must be easy to overrule.
        centre = _EXPECTED_LENGTH + log_scale(expected)
        parts.append(Part(settings.kernel, expected, centre, -1.0))
    if settings.position_kernel:
        parts.append(Part("matern52", 2, log_scale(2), -1.0))
    return tuple(parts)


def positions(rows: int, columns: int) -> Array:
    """Return the pixels' positions about the field's centre, `(rows * columns, 2)`."""
    places = np.indices((rows, columns), dtype=np.float32).reshape(2, -1).T
    result: Array = (places - places.mean(axis=0)) / np.float32(POSITION_UNIT_PX)
    return result


@cache
def load_network(weights: Path | None = None) -> StructureNetwork:
    """Load the structure network with the weights of a file, by default those shipped.

    Raises
    ------
    ValueError
        If the file holds no weights of this network.
    """
    source = files("napari_hae.agent") / "structure_network.npz"
    # The constructor draws random weights, which are replaced.
    with DRAWING, torch.random.fork_rng(devices=[]):
        network = StructureNetwork()
    try:
        if weights is not None:
            check_file(weights)
        with (weights or source).open("rb") as file, open_npz(file) as stored:
            state = {name: torch.from_numpy(stored[name]) for name in stored.files}
        network.load_state_dict(state)
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{weights or source} holds no weights of the structure network: {error}"
        ) from error
    return network.requires_grad_(False).eval()


def structure_features(plane: Array, network: StructureNetwork) -> Array:
    """Return the learned features of every pixel of one detector's image.

    Shape `(rows, columns)` to `(rows * columns, FEATURES)`. Large fields are computed
    in tiles, with the same result.
    """
    rows, columns = plane.shape
    scale = float(plane.std(dtype=np.float64))
    centred = plane - plane.mean(dtype=np.float64)
    standard = (centred / (scale or 1.0)).astype(np.float32)
    flat = derivatives(standard[None], SCALES_PX)
    invariants = torch.from_numpy(flat.reshape(rows, columns, -1)).permute(2, 0, 1)
    raw = torch.empty((FEATURES, rows, columns))
    with torch.no_grad():
        for top in range(0, rows, _TILE_PX):
            for left in range(0, columns, _TILE_PX):
                up, before = max(0, top - _MARGIN_PX), max(0, left - _MARGIN_PX)
                bottom, right = top + _TILE_PX, left + _TILE_PX
                tile = invariants[
                    None, :, up : bottom + _MARGIN_PX, before : right + _MARGIN_PX
                ]
                made = network.raw_features(tile)[0]
                inner = made[:, top - up :, left - before :][:, :_TILE_PX, :_TILE_PX]
                raw[:, top:bottom, left:right] = inner
        features = network.standardised(raw[None])[0]
    result: Array = features.flatten(1).T.contiguous().numpy()
    return result
