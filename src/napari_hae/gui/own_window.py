"""Separate window for a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication

from napari_hae.gui.cockpit import Cockpit

if TYPE_CHECKING:
    from napari_hae.gui.opened_run import OpenedRun


def show_in_own_window(run: OpenedRun) -> None:
    """Show a stored run in a new napari window with the plugin's docks."""
    from napari.viewer import Viewer

    viewer = Viewer(title=f"{run.path.name} – napari")
    cockpit = Cockpit(viewer)
    # The docks are laid out first, so that the whole field is visible.
    QApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    cockpit.experiment.session.show_record(run)
