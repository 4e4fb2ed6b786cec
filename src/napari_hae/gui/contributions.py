"""What napari calls by name: the cockpit, the reader of records, the sample data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.gui.layer_data import LayerData


def open_cockpit() -> None:
    """Open and arrange all docks of the plugin in the current viewer."""
    import napari

    from napari_hae.gui.cockpit import Cockpit

    viewer = napari.current_viewer()
    if viewer is not None:
        Cockpit(viewer)


def activate(_: object) -> None:
    """Let napari open records with this plugin; npe2 calls it before anything else."""
    from napari_hae.gui.reader_preference import prefer_record_reader

    prefer_record_reader()


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return the reader of records, if a path is one."""
    from napari_hae.gui.record_reader import get_reader

    return get_reader(path)


def sample_data() -> list[LayerData]:
    """A simulated survey image with its spectrum image, as `(energy, y, x)`."""
    from napari_hae.gui.samples import simulated_layers

    return simulated_layers()
