"""Makes regions of the Shapes and Labels layers of any plugin, and watches them.

World coordinates of a layer are converted to nm by its units; those of a layer without
a unit of length are taken to be nm, as napari itself draws them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hae.experiment.regions import (
    MaskRegion,
    PolygonRegion,
    Region,
    RegionKind,
    Regions,
)
from napari_hae.gui.layer_data import METADATA_KEY, Role, calibration
from napari_hae.gui.layers import find_layer, insert_layer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame

REGION_COLORS = {RegionKind.ROI: "#1b9e77", RegionKind.FORBIDDEN: "#d95f02"}
SEGMENTS = 64
"""Sides of the polygon that stands for an ellipse."""

_EVENTS = (
    # Mid-stroke, `labels_update` is the only one; `paint` ends a stroke, `set_data`
    # follows undo, redo, refresh, and shapes that are being moved or drawn.
    *("labels_update", "paint", "set_data", "data", "edge_width"),
    *("scale", "translate", "rotate", "shear", "affine", "units", "name"),
)


def region_from_layer(layer: Layer, kind: RegionKind = RegionKind.FORBIDDEN) -> Region:
    """The region that a Labels or Shapes layer covers, in nm.

    All labels above 0 count. A layer with more than two dimensions covers what is
    marked anywhere along the others. Round outlines become polygons of 64 sides:
    around them for a forbidden zone, inside them for a region of interest.

    Raises
    ------
    TypeError
        If the layer is neither Labels nor Shapes.
    ValueError
        If it has fewer than two dimensions or its scale is not invertible.
    """
    if isinstance(layer, Labels):
        data = layer.data[0] if layer.multiscale else layer.data
        mask = np.asarray(data) > 0
        nm_to_pixel = _inverse(layer, pixel_to_nm(layer))
        flat = np.asarray(mask.any(axis=tuple(range(mask.ndim - 2))))
        return MaskRegion(layer.name, flat, nm_to_pixel)
    if isinstance(layer, Shapes):
        return PolygonRegion(layer.name, _polygons(layer, kind))
    raise TypeError(
        f"a {kind} is made of a Labels or Shapes layer; "
        f"{layer.name!r} is a {type(layer).__name__} layer"
    )


def pixel_to_nm(layer: Layer) -> NDArray[np.float64]:
    """The map of a layer's last two data axes to nm, `(2, 3)`.

    It holds all of scale, rotation, shear, translation, affine and units.
    """
    if layer.ndim < 2:
        raise ValueError(f"{layer.name!r} has one dimension; a region needs two")
    corners = np.zeros((3, layer.ndim))
    corners[0, -2] = corners[1, -1] = 1.0
    along_y, along_x, origin = (
        np.asarray(layer.data_to_world(corner))[-2:] for corner in corners
    )
    matrix = np.stack([along_y - origin, along_x - origin, origin], axis=1)
    nm: NDArray[np.float64] = matrix * np.array(_nm_per_unit(layer))[:, None]
    return nm


def paint_layer(viewer: Viewer, kind: RegionKind, frame: FieldFrame) -> Labels:
    """A Labels layer ready to paint a region in: selected, and in paint mode.

    The one that was made before is taken again if it is still there. A region of
    interest is drawn as an outline, a forbidden zone is filled.
    """
    layer = find_layer(viewer, Role(str(kind)), "labels")
    if layer is None:
        nothing = np.zeros(frame.shape, dtype=np.uint8)
        layer = region_layer(kind, nothing, frame, str(kind).capitalize())
        insert_layer(viewer, layer)
    begin_painting(viewer, layer)
    return layer


def region_layer(
    kind: RegionKind, data: NDArray[np.uint8], frame: FieldFrame, name: str
) -> Labels:
    """A Labels layer that looks like a region, in no viewer yet."""
    color = REGION_COLORS[kind]
    layer = Labels(
        data,
        name=name,
        colormap=DirectLabelColormap(color_dict={1: color, None: color}),
        opacity=0.9 if kind is RegionKind.ROI else 0.5,
        metadata={METADATA_KEY: {"role": str(kind)}},
        **calibration(frame),
    )
    if kind is RegionKind.ROI:
        layer.contour = max(1, round(max(frame.shape) / 128))
    return layer


def begin_painting(viewer: Viewer, layer: Labels) -> None:
    """Select a layer of the field of view, with a brush that fits it."""
    layer.visible = True
    layer.brush_size = max(1, round(layer.data.shape[0] / 12))
    layer.selected_label = 1
    viewer.layers.selection = {layer}
    layer.mode = "paint"


class RegionWatcher(QObject):
    """Watches layers and tells at once what their regions are, during strokes too.

    Several events before the next pass of the event loop become one signal. A layer
    that is removed from the viewer is no region any more.
    """

    changed = Signal(object)
    """Emits a `Regions` whenever a region is another than before."""
    refused = Signal(str)
    """Emits why a chosen layer can be no region, in words."""

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._kinds: dict[Layer, RegionKind] = {}
        self._known: dict[Layer, Region] = {}
        self._stale: set[Layer] = set()
        self._emitted = Regions()
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self.flush)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def regions(self) -> Regions:
        """The regions as they are at this moment."""
        self.flush()
        return self._emitted

    @property
    def layers(self) -> dict[Layer, RegionKind]:
        """The layers that are watched, in the order they were chosen."""
        return dict(self._kinds)

    def set_layers(self, interest: Sequence[Layer], forbidden: Sequence[Layer]) -> None:
        """Watch these layers and no others; a layer in both is a forbidden zone."""
        kinds = dict.fromkeys(interest, RegionKind.ROI)
        kinds.update(dict.fromkeys(forbidden, RegionKind.FORBIDDEN))
        for layer in [x for x in self._kinds if kinds.get(x) is not self._kinds[x]]:
            self._forget(layer)
        for layer in [x for x in kinds if x not in self._kinds]:
            for event in _events(layer):
                event.connect(self._on_event)
            self._stale.add(layer)
        self._kinds = kinds
        self.flush()

    def flush(self) -> None:
        """Look at what has changed since the last time, and emit it."""
        self._timer.stop()
        stale, self._stale = self._stale, set()
        for layer in stale:
            self._look_at(layer)
        regions = Regions(
            interest=self._of(RegionKind.ROI), forbidden=self._of(RegionKind.FORBIDDEN)
        )
        # A region that is the same as before is the same object.
        if regions != self._emitted:
            self._emitted = regions
            self.changed.emit(regions)

    def detach(self) -> None:
        """Let go of all layers and of the viewer; emits nothing any more."""
        self._timer.stop()
        for layer in list(self._kinds):
            self._forget(layer)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _of(self, kind: RegionKind) -> tuple[Region, ...]:
        chosen = (layer for layer, its in self._kinds.items() if its is kind)
        return tuple(self._known[layer] for layer in chosen if layer in self._known)

    def _look_at(self, layer: Layer) -> None:
        try:
            region = region_from_layer(layer, self._kinds[layer])
        except (TypeError, ValueError) as error:
            self.refused.emit(str(error))
            return
        if layer not in self._known or not _same(region, self._known[layer]):
            self._known[layer] = region

    def _on_event(self, event: Any) -> None:
        if event.source in self._kinds:
            self._stale.add(event.source)
            self._timer.start()

    def _on_removed(self, event: Any) -> None:
        if event.value in self._kinds:
            self._forget(event.value)
            # Not at once: a viewer that closes removes its layers first, and a run
            # that is about to end must not lose its forbidden zones before.
            self._timer.start()

    def _forget(self, layer: Layer) -> None:
        for event in _events(layer):
            event.disconnect(self._on_event)
        del self._kinds[layer]
        self._known.pop(layer, None)
        self._stale.discard(layer)


def _events(layer: Layer) -> list[Any]:
    return [layer.events[name] for name in _EVENTS if name in layer.events]


def _same(one: Region, other: Region) -> bool:
    if isinstance(one, MaskRegion) and isinstance(other, MaskRegion):
        pairs = [(one.mask, other.mask), (one.nm_to_pixel, other.nm_to_pixel)]
    elif isinstance(one, PolygonRegion) and isinstance(other, PolygonRegion):
        if len(one.polygons) != len(other.polygons):
            return False
        pairs = list(zip(one.polygons, other.polygons, strict=True))
    else:
        return False
    return one.name == other.name and all(np.array_equal(a, b) for a, b in pairs)


def _nm_per_unit(layer: Layer) -> list[float]:
    return [
        float((1 * unit).to("nm").magnitude) if unit.is_compatible_with("nm") else 1.0
        for unit in layer.units[-2:]
    ]


def _inverse(layer: Layer, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    try:
        linear = np.linalg.inv(matrix[:, :2])
    except np.linalg.LinAlgError:
        raise ValueError(
            f"{layer.name!r} is squeezed to a line by its scale or affine transform"
        ) from None
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _polygons(layer: Shapes, kind: RegionKind) -> tuple[NDArray[np.float64], ...]:
    matrix = pixel_to_nm(layer)
    # A polygon inside a circle reaches it with its corners, one around it with its
    # sides: neither ever allows more than was drawn.
    reach = 1.0 if kind is RegionKind.ROI else 1.0 / np.cos(np.pi / SEGMENTS)
    polygons: list[NDArray[np.float64]] = []
    for data, shape, width in zip(
        layer.data, layer.shape_type, layer.edge_width, strict=True
    ):
        vertices = np.asarray(data, dtype=float)[:, -2:]
        if shape == "ellipse":
            polygons.append(_ellipse(vertices, reach))
        elif shape in ("path", "line"):
            ends = list(pairwise(vertices)) or [(vertices[0], vertices[0])]
            polygons += [_capsule(a, b, reach * width / 2) for a, b in ends]
        else:
            polygons.append(vertices)
    return tuple(p @ matrix[:, :2].T + matrix[:, 2] for p in polygons)


def _ellipse(corners: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """The ellipse in a parallelogram `(4, 2)`, as a polygon."""
    centre = corners.mean(axis=0)
    axes = np.stack([corners[1] - corners[0], corners[2] - corners[1]]) / 2
    angles = 2 * np.pi * np.arange(SEGMENTS) / SEGMENTS
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ axes
    ellipse: NDArray[np.float64] = centre + reach * points
    return ellipse


def _capsule(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> NDArray[np.float64]:
    """A line of half width `radius` with round ends, as a polygon."""
    half_turn = np.linspace(-np.pi / 2, np.pi / 2, SEGMENTS // 2 + 1)
    down, right = end - start
    angles = np.arctan2(down, right) + half_turn
    cap = radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return np.concatenate([end + cap, start - cap])
