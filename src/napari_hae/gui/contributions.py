"""What napari calls by name: the cockpit, the reader of records, the sample data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.gui.layer_data import LayerData


def open_cockpit() -> None:
    """Open and arrange all docks of the plugin in the current viewer."""
    import napari

    from napari_hae.gui.cockpit import Cockpit

    viewer = napari.current_viewer()
    if viewer is not None:
        Cockpit(viewer)


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """The reader of records, if a path is one."""
    paths = [path] if isinstance(path, str) else path
    if not paths or not all(_is_record(Path(each)) for each in paths):
        return None
    return read_records


def read_records(path: str | list[str]) -> list[LayerData]:
    """The layers of one or several stored runs, as they were at their ends.

    Raises
    ------
    NotARecord
        If a run has no survey image.
    BrokenJournal
        If a journal is damaged before its last line.
    """
    from napari_hae.experiment.stored import NotARecord, open_run
    from napari_hae.gui.stored_layers import layer_data

    layers: list[LayerData] = []
    for each in [path] if isinstance(path, str) else path:
        run = open_run(Path(each))
        if run.survey is None:
            raise NotARecord(f"{each} ended before it had a survey image")
        layers += layer_data(run.survey, run.measurements, run.latest_maps())
    return layers


def sample_data() -> list[LayerData]:
    """A simulated survey image with its spectrum image, as `(energy, y, x)`."""
    from napari_hae.gui.samples import simulated_layers

    return simulated_layers()


def _is_record(path: Path) -> bool:
    from napari_hae.experiment.record import JOURNAL

    return (path / JOURNAL).is_file()
