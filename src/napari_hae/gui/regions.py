"""Watcher of the layers used as regions, which converts them to regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hae.gui.label_color import label_color
from napari_hae.gui.layer_data import METADATA_KEY, Role, calibration
from napari_hae.gui.layer_list import insert_layer, layers_of, role_of
from napari_hae.gui.region_layers import region_from_layer
from napari_hae.regions.regions import (
    AdjustedRegion,
    DrawnRegion,
    MaskRegion,
    PolygonRegion,
    Region,
    RegionKind,
    Regions,
    SoftRegion,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame

REGION_COLORS = {
    RegionKind.ROI: "#1b9e77",
    RegionKind.FORBIDDEN: "#d95f02",
    RegionKind.SOFT: "#7570b3",
}

_EVENTS = (
    # During a stroke only `labels_update` is emitted; `paint` ends a stroke, `set_data`
    # follows undo, redo, refresh, and shapes that are being moved or drawn.
    *("labels_update", "paint", "set_data", "data", "edge_width"),
    *("scale", "translate", "rotate", "shear", "affine", "units", "name"),
)


@dataclass(frozen=True)
class Terms:
    """Terms under which the user turns a layer into a region.

    Attributes
    ----------
    is_on
        True if the region has any effect.
    grow_nm, edges_nm
        As for an `AdjustedRegion`.
    weight
        As for a `SoftRegion`; other kinds have none.
    """

    kind: RegionKind
    is_on: bool = True
    grow_nm: float = 0.0
    edges_nm: float | None = None
    weight: float = 1.0

    def applied_to(self, drawn: DrawnRegion) -> Regions:
        """Return the regions that result from a drawn one alone.

        Raises
        ------
        ValueError
            If the terms are invalid for a region of this kind; the text says why.
        """
        as_drawn = self.is_on and not self.grow_nm and self.edges_nm is None
        region: Region = (
            drawn
            if as_drawn
            else AdjustedRegion(drawn, self.grow_nm, self.edges_nm, self.is_on)
        )
        if self.kind is RegionKind.ROI:
            return Regions(interest=(region,))
        if self.kind is RegionKind.FORBIDDEN:
            return Regions(forbidden=(region,))
        return Regions(soft=(SoftRegion(region, self.weight),))


def paint_layer(viewer: Viewer, kind: RegionKind, frame: FieldFrame) -> Labels:
    """Return a Labels layer ready to paint a region in: selected, and in paint mode.

    An existing one is reused if it is still in the viewer, and covers this field.
    """
    made = layers_of(viewer, Role(str(kind)), "labels")
    layer = next((each for each in made if covers(each, frame)), None)
    if layer is None:
        nothing = np.zeros(frame.shape, dtype=np.uint8)
        layer = region_layer(kind, nothing, frame, str(kind).capitalize())
        insert_layer(viewer, layer)
    begin_painting(viewer, layer)
    return layer


def covers(layer: Labels, frame: FieldFrame) -> bool:
    """Return whether a layer has the pixels of a field, and lies on it."""
    wanted = calibration(frame)
    return (
        layer.data.shape == frame.shape
        and np.allclose(layer.scale, wanted["scale"])
        and np.allclose(layer.translate, wanted["translate"])
    )


def region_layer(
    kind: RegionKind, data: NDArray[np.uint8], frame: FieldFrame, name: str
) -> Labels:
    """Return a Labels layer with the appearance of a region, in no viewer yet."""
    layer = Labels(
        data,
        name=name,
        metadata={METADATA_KEY: {"role": str(kind)}},
        **calibration(frame),
    )
    _dress(layer, kind)
    return layer


def begin_painting(viewer: Viewer, layer: Labels) -> None:
    """Select a layer of the field of view, with a brush that fits it."""
    layer.visible = True
    layer.brush_size = max(1, round(layer.data.shape[0] / 12))
    layer.selected_label = 1
    viewer.layers.selection = {layer}
    layer.mode = "paint"


def change_kind(layer: Layer, kind: RegionKind) -> None:
    """Give a layer made by the plugin the appearance of another kind of region."""
    old = role_of(layer)
    kinds = {Role(str(kind)): kind for kind in RegionKind}
    if old not in kinds or not isinstance(layer, Labels):
        return
    layer.metadata[METADATA_KEY]["role"] = str(kind)
    if layer.name == str(old).capitalize():
        layer.name = str(kind).capitalize()
    _dress(layer, kind)


def _dress(layer: Labels, kind: RegionKind) -> None:
    """Draw a region of interest as an outline, the others filled."""
    color = REGION_COLORS[kind]
    layer.colormap = label_color(color)
    is_outline = kind is RegionKind.ROI
    layer.opacity = 0.9 if is_outline else 0.5
    layer.contour = max(1, round(max(layer.data.shape) / 128)) if is_outline else 0


class RegionWatcher(QObject):
    """Watch layers and report their regions at once, also during strokes.

    Several events before the next pass of the event loop are merged into one signal. A
    layer removed from the viewer is no region any more.
    """

    changed = Signal(object)
    """Emit `(regions: Regions)` when a region has changed."""
    refused = Signal(str)
    """Emit `(reason: str)` when a chosen layer cannot be a region."""

    def __init__(self, viewer: Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._terms: dict[Layer, Terms] = {}
        self._drawn: dict[Layer, DrawnRegion] = {}
        self._made: dict[Layer, Regions] = {}
        self._stale: set[Layer] = set()
        self._emitted = Regions()
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self.flush)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def regions(self) -> Regions:
        """Current regions."""
        self.flush()
        return self._emitted

    @property
    def layers(self) -> dict[Layer, RegionKind]:
        """Watched layers, in the order they were chosen."""
        return {layer: terms.kind for layer, terms in self._terms.items()}

    @property
    def terms(self) -> dict[Layer, Terms]:
        """Terms of each of these layers."""
        return dict(self._terms)

    def set_layers(self, interest: Sequence[Layer], forbidden: Sequence[Layer]) -> None:
        """Watch these layers, soft regions, and no others.

        A layer in both is a forbidden zone. Layers that already have that kind keep
        their terms.
        """
        kinds = dict.fromkeys(interest, RegionKind.ROI)
        kinds.update(dict.fromkeys(forbidden, RegionKind.FORBIDDEN))
        for layer, terms in self.terms.items():
            if terms.kind is not kinds.get(layer, RegionKind.SOFT):
                self._forget(layer)
        for layer, kind in kinds.items():
            if layer not in self._terms:
                self._take(layer, Terms(kind))
        self.flush()

    def set_terms(self, layer: Layer, terms: Terms) -> None:
        """Set the terms of a layer, which is watched from now on.

        Raises
        ------
        ValueError
            If the terms are invalid; the text says why, and nothing is changed.
        """
        terms.applied_to(PolygonRegion(layer.name, ()))
        self._take(layer, terms)
        self.flush()

    def flush(self) -> None:
        """Process the changes since the last call, and emit them."""
        self._timer.stop()
        stale, self._stale = self._stale, set()
        for layer in stale:
            self._look_at(layer)
        made = [self._made[layer] for layer in self._terms if layer in self._made]
        regions = Regions(
            interest=tuple(region for each in made for region in each.interest),
            forbidden=tuple(region for each in made for region in each.forbidden),
            soft=tuple(region for each in made for region in each.soft),
        )
        # An unchanged region is the same object.
        if regions != self._emitted:
            self._emitted = regions
            self.changed.emit(regions)

    def detach(self) -> None:
        """Release all layers and the viewer; nothing is emitted any more."""
        self._timer.stop()
        for layer in list(self._terms):
            self._forget(layer)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _take(self, layer: Layer, terms: Terms) -> None:
        before = self._terms.get(layer)
        self._terms[layer] = terms
        if before is None:
            for event in _events(layer):
                event.connect(self._on_event)
        if before != terms:
            # The layer is evaluated again: round shapes depend on the kind.
            self._made.pop(layer, None)
            self._stale.add(layer)

    def _look_at(self, layer: Layer) -> None:
        terms, drawn = self._terms[layer], self._drawn.get(layer)
        try:
            new = region_from_layer(layer, terms.kind)
        except (TypeError, ValueError) as error:
            self.refused.emit(str(error))
        else:
            if drawn is None or not _same(new, drawn):
                drawn = self._drawn[layer] = new
                self._made.pop(layer, None)
        if drawn is not None and layer not in self._made:
            self._made[layer] = terms.applied_to(drawn)

    def _on_event(self, event: Any) -> None:
        if event.source in self._terms:
            self._stale.add(event.source)
            self._timer.start()

    def _on_removed(self, event: Any) -> None:
        if event.value in self._terms:
            self._forget(event.value)
            # Deferred: a viewer that closes removes its layers first, and a run that is
            # about to end must not lose its forbidden zones before.
            self._timer.start()

    def _forget(self, layer: Layer) -> None:
        for event in _events(layer):
            event.disconnect(self._on_event)
        del self._terms[layer]
        self._drawn.pop(layer, None)
        self._made.pop(layer, None)
        self._stale.discard(layer)


def _events(layer: Layer) -> list[Any]:
    return [layer.events[name] for name in _EVENTS if name in layer.events]


def _same(one: DrawnRegion, other: DrawnRegion) -> bool:
    if isinstance(one, MaskRegion) and isinstance(other, MaskRegion):
        if (one.labels is None) != (other.labels is None):
            return False
        parts = [(each.labels, each.mask, each.nm_to_pixel) for each in (one, other)]
        pairs = list(zip(*parts, strict=True))
    elif isinstance(one, PolygonRegion) and isinstance(other, PolygonRegion):
        if len(one.polygons) != len(other.polygons):
            return False
        pairs = list(zip(one.polygons, other.polygons, strict=True))
    else:
        return False
    return one.name == other.name and all(np.array_equal(a, b) for a, b in pairs)
