"""Contents of the plugin's layers: napari layer data from values of an experiment.

Pure functions, used by the live layers and by the reader of stored runs alike. Every
layer has the same scale, translation, units and axis labels; Points and Vectors hold
pixel coordinates `[row, column]` of the survey image.
"""

from __future__ import annotations

from dataclasses import astuple
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import ensure_colormap

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.label_color import label_color
from napari_hae.types import Area

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_hae.experiment.drift import ImageAgain
    from napari_hae.types import (
        Measurement,
        PredictionMaps,
        ProbePosition,
        Proposal,
        ScanImage,
    )

METADATA_KEY = "napari-hae"
RECORD_KEY = "record"
"""Metadata key of layers that show a stored run without a session: its path."""
TARGET_COLORMAP = "viridis"
STEP_COLORMAP = "plasma"
NO_TARGET_COLOR = (0.5, 0.5, 0.5, 1.0)
NEXT_COLOR = "#ff2bd6"
RUNNER_UP_COLOR = "#56b4e9"
SELECTION_COLOR = "#56b4e9"

LayerData = tuple[Any, dict[str, Any], str]
"""Data, keyword arguments and type of a layer, as napari's readers give them."""

Limits = tuple[float, float]


class Role(StrEnum):
    """Contents of a layer of the plugin, from the bottom of the layer list to its top.

    Stored in `layer.metadata["napari-hae"]["role"]`, so that renamed layers are found.
    """

    OVERVIEW = "overview"
    SURVEY = "survey"
    SURVEY_AGAIN = "survey again"
    DOSE = "dose"
    STD = "standard deviation"
    ACQUISITION = "acquisition function"
    MEAN = "mean"
    IN_EFFECT = "regions in effect"
    SOFT = "soft region"
    ROI = "region of interest"
    FORBIDDEN = "forbidden zone"
    SELECTION = "selection"
    TRAJECTORY = "trajectory"
    MEASURED = "measured points"
    RUNNER_UP = "runner-up"
    NEXT = "next position"


MAP_STYLES: dict[Role, tuple[str, str]] = {
    Role.STD: ("Standard deviation", "magma"),
    Role.ACQUISITION: ("Acquisition function", "inferno"),
    Role.MEAN: ("Predicted mean", TARGET_COLORMAP),
}
"""Name and colour map of each map, bottom to top."""


def calibration(frame: FieldFrame) -> dict[str, Any]:
    """Return the common keyword arguments of all layers of the plugin."""
    return {
        "scale": frame.pixel_nm,
        "translate": frame.origin_nm,
        "units": ("nm", "nm"),
        "axis_labels": ("y", "x"),
    }


def limits_of(values: ArrayLike) -> Limits | None:
    """Return smallest and largest finite value, never equal; None if none is finite."""
    array = np.asarray(values)
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        return None
    low, high = float(finite.min()), float(finite.max())
    if high <= low:
        high = low + 1e-3 * (abs(low) or 1.0)
    return low, high


def survey_data(image: ScanImage) -> list[LayerData]:
    """Return one Image layer per detector; only the first is visible at first."""
    frame = FieldFrame.of(image)
    return [
        (
            plane,
            {
                **common(frame, Role.SURVEY, detector=detector),
                "name": f"Survey {detector}",
                "colormap": "gray",
                "contrast_limits": limits_of(plane) or (0.0, 1.0),
                "visible": index == 0,
            },
            "image",
        )
        for index, (detector, plane) in enumerate(
            zip(image.detectors, image.data, strict=True)
        )
    ]


def overview_metadata(area: Area) -> dict[str, Any]:
    """Return metadata for a survey image's layer below a finer image."""
    return {METADATA_KEY: {"role": str(Role.OVERVIEW), "area": astuple(area)}}


def overview_area(metadata: Mapping[str, Any]) -> Area:
    """Return the area of such a layer in the field."""
    return Area(*metadata[METADATA_KEY]["area"])


def survey_again_data(image: ScanImage, taken: ImageAgain) -> LayerData:
    """Return an Image layer of the first detector, moved to align the sample.

    Where the sample was not found, the image lies where it was scanned.
    """
    frame = FieldFrame.of(image)
    keywords = common(frame, Role.SURVEY_AGAIN, step=str(taken.step))
    keywords["translate"] = tuple(np.subtract(frame.origin_nm, taken.offset_nm or 0))
    return (
        image.data[0],
        {
            **keywords,
            "name": "Survey again",
            "colormap": "gray",
            "contrast_limits": limits_of(image.data[0]) or (0.0, 1.0),
        },
        "image",
    )


def map_data(
    role: Role, values: NDArray[np.float32], frame: FieldFrame, limits: Limits | None
) -> LayerData:
    """Return an Image layer of one map, `(rows, columns)`; only the mean is visible."""
    name, colormap = MAP_STYLES[role]
    keywords = {
        "name": name,
        "colormap": colormap,
        "contrast_limits": limits or (0.0, 1.0),
        "blending": "translucent",
        "opacity": 0.6,
        "visible": role is Role.MEAN,
    }
    return values, {**common(frame, role), **keywords}, "image"


def maps_data(maps: PredictionMaps) -> dict[Role, NDArray[np.float32]]:
    """Return the arrays of all maps by their role, bottom to top."""
    return {
        Role.STD: maps.std,
        Role.ACQUISITION: maps.acquisition,
        Role.MEAN: maps.mean,
    }


def selection_data(mask: NDArray[np.bool_], frame: FieldFrame) -> LayerData:
    """Return a Labels layer of the selected candidates, `(rows, columns)`."""
    keywords = {
        "name": "Selection",
        "colormap": label_color(SELECTION_COLOR),
        "opacity": 0.5,
    }
    return (
        mask.astype(np.uint8),
        {**common(frame, Role.SELECTION), **keywords},
        "labels",
    )


def trajectory_data(points: NDArray[np.float64], frame: FieldFrame) -> LayerData:
    """Return a Vectors layer from each point to the next; `points` is `(n, 2)`.

    Coloured by step, from dark to bright.
    """
    # Vectors, as their data can be replaced in a millisecond for thousands of steps; a
    # path in a Shapes layer is triangulated again each time.
    steps = np.stack([points[:-1], np.diff(points, axis=0)], axis=1)
    numbers = np.arange(1, len(steps) + 1, dtype=float)
    keywords = {
        "name": "Trajectory",
        "features": {"step": numbers},
        "vector_style": "line",
        "edge_width": max(frame.shape) / 400,
        # napari's own colouring by a feature takes four times as long.
        "edge_color": step_colors(numbers) if len(steps) else "white",
        "opacity": 0.7,
        "blending": "translucent",
    }
    return steps, {**common(frame, Role.TRAJECTORY), **keywords}, "vectors"


def measured_data(
    measurements: Sequence[Measurement],
    targets: NDArray[np.float64],
    frame: FieldFrame,
    limits: Limits | None,
) -> LayerData:
    """Return a Points layer with one point and one row of features per measurement.

    `targets` of shape `(n,)` are shown in place of the measurements' own. Points are
    coloured by target from `limits`; gray crosses where it is not finite.
    """
    keywords = {
        "name": "Measured points",
        "features": _features(measurements, targets),
        "size": point_size(frame),
        "face_color": target_colors(targets, limits),
        "symbol": target_symbols(targets),
        "border_color": "white",
        "border_width": 0.15,
    }
    points = pixels([m.proposal.position for m in measurements], frame)
    return points, {**common(frame, Role.MEASURED), **keywords}, "points"


def next_data(proposal: Proposal | None, frame: FieldFrame) -> LayerData:
    """Return a Points layer with a ring around the next position; empty for None."""
    shown = [] if proposal is None else [proposal]
    keywords = {
        "name": "Next position",
        "features": {"step": [p.step for p in shown], "why": [p.reason for p in shown]},
        "size": 5 * point_size(frame),
        "face_color": "transparent",
        "border_color": NEXT_COLOR,
        "border_width": 0.1,
    }
    points = pixels([p.position for p in shown], frame)
    return points, {**common(frame, Role.NEXT), **keywords}, "points"


def runner_up_data(row: int, column: int, frame: FieldFrame) -> LayerData:
    """Return a Points layer with a ring around an alternative position."""
    keywords = {
        "name": "Runner-up",
        "size": 5 * point_size(frame),
        "face_color": "transparent",
        "border_color": RUNNER_UP_COLOR,
        "border_width": 0.1,
    }
    points = np.array([[row, column]], dtype=float)
    return points, {**common(frame, Role.RUNNER_UP), **keywords}, "points"


def pixels(
    positions: Sequence[ProbePosition], frame: FieldFrame
) -> NDArray[np.float64]:
    """Return `[row, column]` of positions, `(n, 2)`; pixel centres are integers."""
    area = frame.area
    fractions = np.array([(p.y, p.x) for p in positions], dtype=float).reshape(-1, 2)
    fractions = (fractions - (area.top, area.left)) / (area.height, area.width)
    points: NDArray[np.float64] = fractions * frame.shape - 0.5
    return points


def point_size(frame: FieldFrame) -> float:
    """Return the diameter of a point in pixels: about one, visible in large fields."""
    return max(1.0, max(frame.shape) / 80)


def target_colors(
    targets: NDArray[np.float64], limits: Limits | None
) -> NDArray[np.float32]:
    """Return the RGBA colour of each target, `(n, 4)`."""
    colors = np.tile(np.array(NO_TARGET_COLOR, dtype=np.float32), (len(targets), 1))
    usable = np.isfinite(targets)
    if limits is not None and usable.any():
        low, high = limits
        scaled = np.clip((targets[usable] - low) / (high - low), 0, 1)
        colors[usable] = ensure_colormap(TARGET_COLORMAP).map(scaled)
    return colors


def step_colors(steps: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the RGBA colour of each step, `(n, 4)`, from the first to the last."""
    shares = (steps - steps[0]) / max(float(steps[-1] - steps[0]), 1.0)
    colors: NDArray[np.float32] = ensure_colormap(STEP_COLORMAP).map(shares)
    return colors


def target_symbols(targets: NDArray[np.float64]) -> str | list[str]:
    """Return discs, and crosses for non-finite targets; one symbol if all are discs."""
    usable = np.isfinite(targets)
    # A single symbol is set at once, a list of thousands takes napari 10 ms.
    return "disc" if usable.all() else ["disc" if each else "x" for each in usable]


def _features(
    measurements: Sequence[Measurement], targets: NDArray[np.float64]
) -> dict[str, Any]:
    return {
        "step": np.array([m.step for m in measurements], dtype=int),
        "target": targets,
        "mean": np.array([m.proposal.mean for m in measurements], dtype=float),
        "std": np.array([m.proposal.std for m in measurements], dtype=float),
        "exposure_s": np.array([m.spectrum.exposure_s for m in measurements], float),
        "chosen_by": np.array([str(m.proposal.chosen_by) for m in measurements], str),
    }


def common(frame: FieldFrame, role: Role, **more: str) -> dict[str, Any]:
    """Return calibration and metadata of a layer as keyword arguments."""
    metadata = {METADATA_KEY: {"role": str(role), **more}}
    return {**calibration(frame), "metadata": metadata}
