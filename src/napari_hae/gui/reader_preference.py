"""Preference of napari for opening records with this plugin, without a dialog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.settings import get_settings
from npe2 import PluginManager

from napari_hae.experiment.record_files import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLUGIN = "napari-hae"
RECORD_READER = "napari-hae.read_record"
BUILTIN_READER = "napari.get_reader"
FOLDER_PATTERN = f"*{SUFFIX}/"
"""Pattern for records, as napari ends the paths of folders with a slash."""


def prefer_record_reader() -> None:
    """Make this plugin the preferred reader of records.

    napari treats all plugins that read folders alike: it asks for one of them, unless
    there is a preference. A reader that the user has chosen for records is kept.
    """
    plugins = get_settings().plugins
    if FOLDER_PATTERN not in plugins.extension2reader:
        plugins.extension2reader = {**plugins.extension2reader, FOLDER_PATTERN: PLUGIN}
    _hand_records_over()


def _hand_records_over() -> None:
    """Let napari's own reader leave records to this plugin.

    `viewer.open(path)` uses that reader where the caller names none; it treats every
    folder as one of images, and fails.
    """
    commands = PluginManager.instance().commands
    try:
        builtin = commands.get(BUILTIN_READER)
    except KeyError:
        return
    if not isinstance(builtin, _RecordsFirst):
        commands.unregister(BUILTIN_READER)
        commands.register(BUILTIN_READER, _RecordsFirst(builtin))


class _RecordsFirst:
    """Reader for all paths that passes records to this plugin, while it is active."""

    def __init__(self, other: Callable[..., Any]) -> None:
        self._other = other

    def __call__(self, path: str | Sequence[str]) -> Callable[..., Any] | None:
        commands = PluginManager.instance().commands
        read = None
        if RECORD_READER in commands:
            read = commands.execute(RECORD_READER, kwargs={"path": path})
        return read or self._other(path)
