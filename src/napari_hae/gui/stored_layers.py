"""The layers of a stored run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.dose import dose_data, dose_map
from napari_hae.gui.layer_data import (
    METADATA_KEY,
    RECORD_KEY,
    LayerData,
    Limits,
    Role,
    limits_of,
    map_data,
    maps_data,
    measured_data,
    pixels,
    survey_data,
    trajectory_data,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.types import Measurement, PredictionMaps, ScanImage


def layer_data(
    survey: ScanImage,
    measurements: Sequence[Measurement],
    maps: PredictionMaps | None,
    *,
    record: Path | None = None,
) -> list[LayerData]:
    """Return all layers of a stored run, bottom to top, marked with any `record`."""
    frame = FieldFrame.of(survey)
    targets = np.array([m.target for m in measurements], dtype=float)
    arrays = {} if maps is None else maps_data(maps)
    limits = {role: limits_of(array) for role, array in arrays.items()}
    limits[Role.MEAN] = _target_limits(targets, arrays.get(Role.MEAN))
    layers = survey_data(survey)
    if (dose := dose_map(measurements, frame)) is not None:
        layers.append(dose_data(dose, frame))
    layers += [map_data(role, arrays[role], frame, limits[role]) for role in arrays]
    if measurements:
        points = pixels([m.proposal.position for m in measurements], frame)
        layers.append(trajectory_data(points, frame))
        layers.append(measured_data(measurements, targets, frame, limits[Role.MEAN]))
    for _, keywords, _ in layers if record is not None else ():
        keywords["metadata"][METADATA_KEY][RECORD_KEY] = str(record)
    return layers


def _target_limits(
    targets: NDArray[np.float64], mean: NDArray[np.float32] | None
) -> Limits | None:
    """Return common colour limits of measured targets and their predicted mean."""
    if mean is None:
        return limits_of(targets)
    return limits_of(np.concatenate([targets, mean.ravel()]))
