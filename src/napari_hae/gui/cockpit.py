"""Layout of all docks of the plugin in a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt

from napari_hae.gui.within_screen import keep_within_screen

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_hae.gui.experiment import ExperimentDock
    from napari_hae.gui.forensics import ForensicsDock
    from napari_hae.gui.microscope import MicroscopeDock
    from napari_hae.gui.monitor import MonitorDock

PLUGIN = "napari-hae"
MONITOR_HEIGHT_PX = 260
SIDE_WIDTH_PX = 360


class Cockpit:
    """Docks of one viewer: *Monitor* below, the others as tabs at the side.

    Docks that are already open are moved to their places.
    """

    def __init__(self, viewer: Viewer) -> None:
        open_dock = viewer.window.add_plugin_dock_widget
        self.microscope: MicroscopeDock
        self.experiment: ExperimentDock
        self.forensics: ForensicsDock
        self.monitor: MonitorDock
        monitor_dock, self.monitor = open_dock(PLUGIN, "Monitor")
        microscope_dock, self.microscope = open_dock(PLUGIN, "Microscope")
        experiment_dock, self.experiment = open_dock(PLUGIN, "Experiment")
        forensics_dock, self.forensics = open_dock(PLUGIN, "Forensics")
        window = microscope_dock.parent()
        window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, monitor_dock)
        window.tabifyDockWidget(microscope_dock, experiment_dock)
        window.tabifyDockWidget(experiment_dock, forensics_dock)
        window.resizeDocks([monitor_dock], [MONITOR_HEIGHT_PX], Qt.Orientation.Vertical)
        window.resizeDocks(
            [experiment_dock], [SIDE_WIDTH_PX], Qt.Orientation.Horizontal
        )
        self._microscope_dock, self._experiment_dock = microscope_dock, experiment_dock
        self._forensics_dock = forensics_dock
        self.show_microscope()
        keep_within_screen(window)

    def show_microscope(self) -> None:
        """Bring the dock *Microscope* to the front."""
        self._microscope_dock.raise_()

    def show_experiment(self) -> None:
        """Bring the dock *Experiment* to the front."""
        self._experiment_dock.raise_()

    def show_forensics(self) -> None:
        """Bring the dock *Forensics* to the front."""
        self._forensics_dock.raise_()
