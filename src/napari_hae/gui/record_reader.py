"""Reader of records for napari: by drop, by menu, and by `viewer.open`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.notifications import show_error, show_warning

from napari_hae.experiment.damage import in_words
from napari_hae.experiment.journal import BrokenJournal
from napari_hae.experiment.record import JOURNAL
from napari_hae.experiment.record_files import SUFFIX, NotARecord
from napari_hae.experiment.stored import open_run
from napari_hae.gui.layer_list import hide_stored_layers
from napari_hae.gui.sessions import session_if_any
from napari_hae.gui.stored_layers import layer_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.gui.layer_data import LayerData

NO_LAYERS: list[Any] = [(None,)]
"""napari's marker for a path that was read, but not into layers."""


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[Any]] | None:
    """Return the reader if all paths hold a record or are named like one, else None."""
    paths = _paths(path)
    if not paths or not all(_is_record(each) for each in paths):
        return None
    return read_records


def read_records(path: str | Sequence[str]) -> list[Any]:
    """Open one or several records.

    In a window with docks of the plugin they are opened by its session, and no layers
    are returned; otherwise the layers at the end of the run are returned.

    Raises
    ------
    NotARecord, BrokenJournal, OSError
        If a record cannot be read and there is no window that could show the message.
    """
    viewer = napari.current_viewer()
    session = None if viewer is None else session_if_any(viewer)
    layers: list[LayerData] = []
    for each in _paths(path):
        if session is not None:
            session.open_record(each)
            continue
        try:
            layers += _stored_layers(each)
        except (NotARecord, BrokenJournal, OSError) as error:
            if viewer is None:
                raise
            show_error(f"Opening {each.name} failed: {error}")
    if viewer is not None and layers:
        hide_stored_layers(viewer)
    return layers or NO_LAYERS


def _stored_layers(path: Path) -> list[LayerData]:
    run = open_run(path)
    if run.survey is None:
        raise NotARecord(f"{path} has no survey image")
    if run.damage:
        show_warning(f"{path.name} is damaged: {in_words(run.damage)}")
    maps = run.latest_maps()
    return layer_data(run.survey, run.measurements, maps, record=path)


def _paths(path: str | Sequence[str]) -> list[Path]:
    paths = [path] if isinstance(path, str | os.PathLike) else path
    return [Path(os.path.abspath(each)) for each in paths]


def _is_record(path: Path) -> bool:
    return path.suffix == SUFFIX or (path / JOURNAL).is_file()
