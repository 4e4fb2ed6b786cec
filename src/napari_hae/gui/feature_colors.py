"""Colouring of the candidates of a feature space."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_hae.gui.layer_data import (
    MAP_STYLES,
    TARGET_COLORMAP,
    Role,
    limits_of,
    maps_data,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.gui.layer_data import Limits
    from napari_hae.gui.session import Session
    from napari_hae.types import Measurement

    Floats = NDArray[np.float32]


class ColorBy(StrEnum):
    """Quantity shown by colour."""

    MEAN = "Predicted mean"
    STD = "Standard deviation"
    ACQUISITION = "Acquisition function"
    INTENSITY = "Image intensity"
    TARGET = "Target"
    STEP = "Step"


EXPLAINED = {
    ColorBy.MEAN: "What the model predicts; measured points by their target.",
    ColorBy.STD: "How unsure the model is.",
    ColorBy.ACQUISITION: "Where the agent goes next is where this is largest.",
    ColorBy.INTENSITY: "Mean of the survey image around each candidate.",
    ColorBy.TARGET: "What was measured; the other candidates are gray.",
    ColorBy.STEP: "When it was measured; the other candidates are gray.",
}
_MAPS = {
    ColorBy.MEAN: Role.MEAN,
    ColorBy.STD: Role.STD,
    ColorBy.ACQUISITION: Role.ACQUISITION,
}


class Shading(NamedTuple):
    """Values to colour by, with the limits and colour maps of the layers.

    `candidates` is `(n,)`, `measured` has one value for each measurement; None: not
    coloured. Without `limits` there is no value at all.
    """

    candidates: Floats | None
    measured: Floats | None
    limits: Limits | None
    colormap: str
    unit: str = ""


def shading(
    by: ColorBy,
    session: Session,
    measured: Sequence[Measurement],
    intensity: Floats | None,
) -> Shading:
    """Return the newest values to colour by; `intensity` is that of the candidates."""
    if by is ColorBy.STEP:
        values = np.array([m.step + 1 for m in measured], np.float32)
        return Shading(None, values, limits_of(values), TARGET_COLORMAP)
    if by is ColorBy.INTENSITY:
        return Shading(intensity, None, _gray_limits(session, intensity), "gray")
    if by is ColorBy.TARGET:
        return _of_map(Role.MEAN, session, measured)._replace(candidates=None)
    return _of_map(_MAPS[by], session, measured)


def _gray_limits(session: Session, intensity: Floats | None) -> Limits | None:
    """Return the limits of the survey image's layer, or of the values without it."""
    if layers := session.layers.survey_layers:
        return tuple(layers[0].contrast_limits)
    return None if intensity is None else limits_of(intensity)


def _of_map(role: Role, session: Session, measured: Sequence[Measurement]) -> Shading:
    """Return the values of a map with its layer's limits, which users may set."""
    maps, layer = session.live.maps, session.layers.map_layer(role)
    survey, targets, unit = session.survey, None, session.settings.scalarizer.unit
    if role is Role.MEAN:
        targets = np.array([m.target for m in measured], np.float32)
    if role is Role.ACQUISITION:
        unit = ""
    colormap = MAP_STYLES[role][1]
    if (
        maps is None
        or layer is None
        or survey is None
        or maps.mean.shape != survey.shape
    ):
        limits = None if targets is None else limits_of(targets)
        return Shading(None, targets, limits, colormap, unit)
    values = maps_data(maps)[role].ravel()
    return Shading(values, targets, tuple(layer.contrast_limits), colormap, unit)
