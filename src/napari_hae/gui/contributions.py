"""Entry points that napari calls by name: cockpit, reader of records, sample data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.gui.layer_data import LayerData


def open_cockpit() -> None:
    """Open and arrange all docks of the plugin in the current viewer.

    They appear once their dependencies are loaded.
    """
    import napari

    from napari_hae.gui.cockpit import Cockpit
    from napari_hae.gui.loading import when_loaded

    viewer = napari.current_viewer()

    def open_docks() -> None:
        # The window may have been closed meanwhile.
        if viewer is not None and hasattr(viewer.window, "_qt_window"):
            Cockpit(viewer)

    if viewer is not None:
        when_loaded("Opening the cockpit", open_docks)


def activate(_: object) -> None:
    """Let napari open records with this plugin; npe2 calls it before all else."""
    from napari_hae.gui.reader_preference import prefer_record_reader

    prefer_record_reader()


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return the reader of records if a path is a record, else None."""
    from napari_hae.gui.record_reader import get_reader

    return get_reader(path)


def sample_data() -> list[LayerData]:
    """Return a simulated survey image with its spectrum image, as `(energy, y, x)`."""
    from napari_hae.gui.samples import simulated_layers

    return simulated_layers()
