"""Lookup of the plugin's layers in a viewer, and insertion of new ones in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_hae.gui.layer_data import METADATA_KEY, RECORD_KEY, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Layer
    from napari.viewer import Viewer


def role_of(layer: Layer) -> Role | None:
    """Return the role of a layer of the plugin; None for all other layers.

    Layers of a stored run made by napari's reader belong to no session.
    """
    own = layer.metadata.get(METADATA_KEY)
    is_own = isinstance(own, dict) and RECORD_KEY not in own
    value = own.get("role") if is_own else None
    return Role(value) if value in list(Role) else None


def find_layer(
    viewer: Viewer, role: Role, kind: str, detector: str | None = None
) -> Layer | None:
    """Return the plugin's lowest layer of a role and a type, such as "image"."""
    return next(layers_of(viewer, role, kind, detector), None)


def layers_of(
    viewer: Viewer, role: Role, kind: str, detector: str | None = None
) -> Iterator[Layer]:
    """Yield all layers of the plugin of a role and a type, from the lowest up."""
    for layer in viewer.layers:
        # napari copies metadata when the user converts or duplicates a layer.
        if role_of(layer) is not role or type(layer).__name__.lower() != kind:
            continue
        if layer.metadata[METADATA_KEY].get("detector") == detector:
            yield layer


def stored_layers_of(viewer: Viewer) -> dict[Path, list[Layer]]:
    """Return the layers that napari's reader made of records, by record, in order."""
    found: dict[Path, list[Layer]] = {}
    for layer in viewer.layers:
        own = layer.metadata.get(METADATA_KEY)
        if isinstance(own, dict) and RECORD_KEY in own:
            found.setdefault(Path(own[RECORD_KEY]), []).append(layer)
    return found


def hide_stored_layers(viewer: Viewer) -> None:
    """Hide the layers of records made by napari's reader."""
    for layers in stored_layers_of(viewer).values():
        for layer in layers:
            layer.visible = False


def insert_layer(viewer: Viewer, layer: Layer) -> None:
    """Insert a layer of the plugin at its place among those of the experiment.

    Foreign layers above all of these stay above. Layers that do not show the
    experiment, such as one to draw in, are put on top. The selection is unchanged: the
    user may be painting.
    """
    selected = set(viewer.layers.selection)
    viewer.layers.insert(_place(viewer, _rank(layer)), layer)
    if selected:
        viewer.layers.selection = selected


def _place(viewer: Viewer, rank: int) -> int:
    ranks = [_rank(layer) for layer in viewer.layers]
    above = [i for i, other in enumerate(ranks) if other > rank]
    below = [i for i, other in enumerate(ranks) if 0 <= other <= rank]
    if rank >= 0 and above:
        return above[0]
    return below[-1] + 1 if rank >= 0 and below else len(ranks)


def _rank(layer: Layer) -> int:
    """Return the rank of a layer of the plugin in the order, -1 for all others."""
    role = role_of(layer)
    return -1 if role is None else list(Role).index(role)
