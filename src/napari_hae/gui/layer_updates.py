"""In-place updates of layers that preserve the user's changes to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from napari_hae.gui.layer_data import METADATA_KEY, LayerData, Limits, Role

if TYPE_CHECKING:
    from napari.layers import Image, Layer

_PER_ROW = {
    Role.MEASURED: ("face_color", "symbol"),
    Role.TRAJECTORY: ("edge_color",),
}
"""Properties that are set with the data of a layer, one value for each row."""
_WITH_FEATURES = (Role.MEASURED, Role.NEXT, Role.TRAJECTORY)
_COLORS = ("face_color", "border_color", "edge_color")


class LayerUpdates:
    """Record of the properties set in each layer: a difference is a user's change."""

    def __init__(self) -> None:
        self._limits: WeakKeyDictionary[Layer, Limits] = WeakKeyDictionary()
        self._looks: WeakKeyDictionary[Layer, dict[str, Any]] = WeakKeyDictionary()
        self._by_hand: WeakKeyDictionary[Layer, set[str]] = WeakKeyDictionary()

    def made(self, layer: Layer) -> None:
        """Record the properties of a new layer."""
        self._remember(layer, _PER_ROW.get(_role(layer), ()))

    def update(self, layer: Layer, new: LayerData) -> None:
        """Give a layer new data, calibration, features and properties."""
        data, keywords, _ = new
        role = _role(layer)
        for name in ("scale", "translate"):
            if not np.array_equal(getattr(layer, name), keywords[name]):
                setattr(layer, name, keywords[name])
        free = [x for x in _PER_ROW.get(role, ()) if not self._is_by_hand(layer, x)]
        colored = _pause_coloring(layer)
        layer.data = data
        if role in _WITH_FEATURES:
            layer.features = keywords["features"]
        _resume_coloring(layer, colored)
        for name in free:
            setattr(layer, name, keywords[name])
        self._remember(layer, free)

    def limit(self, layer: Image, limits: Limits | None) -> None:
        """Set contrast limits, unless the user has."""
        current = tuple(layer.contrast_limits)
        # Limits set by the user differ from the last ones set here.
        by_hand = current != self._limits.get(layer, current)
        if limits is not None and not by_hand:
            if current != limits:
                layer.contrast_limits = limits
            self._limits[layer] = limits

    def _is_by_hand(self, layer: Layer, name: str) -> bool:
        by_hand = self._by_hand.setdefault(layer, set())
        before = self._looks.get(layer, {}).get(name)
        now = np.asarray(getattr(layer, name))
        # Where rows were deleted by hand, the rest still has its original properties.
        if before is not None and len(before) == len(now):
            if not np.array_equal(before, now):
                by_hand.add(name)
        if getattr(layer, f"{name}_mode", "direct") != "direct":
            by_hand.add(name)
        return name in by_hand

    def _remember(self, layer: Layer, names: tuple[str, ...] | list[str]) -> None:
        looks = self._looks.setdefault(layer, {})
        for name in names:
            looks[name] = np.array(getattr(layer, name))


def _pause_coloring(layer: Layer) -> list[tuple[str, str]]:
    """Stop colouring by a feature column; return the state for `_resume_coloring`."""
    names = [f"{name}_mode" for name in _COLORS if hasattr(layer, f"{name}_mode")]
    modes = [(name, str(getattr(layer, name))) for name in names]
    paused = [(name, mode) for name, mode in modes if mode != "direct"]
    for name, _ in paused:
        setattr(layer, name, "direct")
    return paused


def _resume_coloring(layer: Layer, paused: list[tuple[str, str]]) -> None:
    """Colour by a column again, including new rows.

    Where some of them have no category, napari cannot: the colours stay as they were.
    """
    for name, mode in paused:
        try:
            setattr(layer, name, mode)
            layer.refresh_colors()
        except KeyError:
            setattr(layer, name, "direct")


def _role(layer: Layer) -> Role:
    return Role(layer.metadata[METADATA_KEY]["role"])
