"""Finds the plugin's layers in a viewer, and puts new ones into their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_hae.gui.layer_data import METADATA_KEY, RECORD_KEY, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari.layers import Layer
    from napari.viewer import Viewer


def role_of(layer: Layer) -> Role | None:
    """What a layer shows for the plugin; None for all other layers.

    Those of a stored run that napari's reader made belong to no session.
    """
    own = layer.metadata.get(METADATA_KEY)
    is_own = isinstance(own, dict) and RECORD_KEY not in own
    value = own.get("role") if is_own else None
    return Role(value) if value in list(Role) else None


def find_layer(
    viewer: Viewer, role: Role, kind: str, detector: str | None = None
) -> Layer | None:
    """The plugin's lowest layer of a role and a type ("image", "labels", …), if any."""
    return next(layers_of(viewer, role, kind, detector), None)


def layers_of(
    viewer: Viewer, role: Role, kind: str, detector: str | None = None
) -> Iterator[Layer]:
    """All layers of the plugin of a role and a type, from the lowest up."""
    for layer in viewer.layers:
        # napari copies metadata when a person converts or duplicates a layer.
        if role_of(layer) is not role or type(layer).__name__.lower() != kind:
            continue
        if layer.metadata[METADATA_KEY].get("detector") == detector:
            yield layer


def stored_layers_of(viewer: Viewer) -> dict[Path, list[Layer]]:
    """The layers that napari's reader made of records, by record, the last one last."""
    found: dict[Path, list[Layer]] = {}
    for layer in viewer.layers:
        own = layer.metadata.get(METADATA_KEY)
        if isinstance(own, dict) and RECORD_KEY in own:
            found.setdefault(Path(own[RECORD_KEY]), []).append(layer)
    return found


def hide_stored_layers(viewer: Viewer) -> None:
    """Hide the layers that napari's reader made of records."""
    for layers in stored_layers_of(viewer).values():
        for layer in layers:
            layer.visible = False


def insert_layer(viewer: Viewer, layer: Layer) -> None:
    """Add a layer of the plugin: at its place among those that show an experiment.

    Layers of other people that lie above all of these stay above. What shows nothing
    of an experiment, as a layer to draw in, comes to the top. The selection stays as
    it is: a person may be painting.
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
    """The place of a layer of the plugin in their order, -1 for all other layers."""
    role = role_of(layer)
    return -1 if role is None else list(Role).index(role)
