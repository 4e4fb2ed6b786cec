"""Makes the screenshots of the documentation in a real napari window.

Run it by `nox -s screenshots`. The window shows a run on the simulated microscope, with
a forbidden zone and a region of interest painted while it goes, then the panels of the
Monitor, and the run's forensics.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_hae.experiment.configuration import configure
from napari_hae.gui.demo import REALTIME, start_demo
from napari_hae.gui.layers import Role, find_layer

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SETTINGS = {**REALTIME, "budget": {"steps": 70}, "seed": 7}


class Photographer:
    """Waits for the moments that are worth a picture."""

    def __init__(self, viewer: napari.Viewer, folder: Path) -> None:
        self._viewer = viewer
        viewer.window.resize(1366, 900)
        configuration = configure("simulated", SETTINGS)
        self._cockpit = start_demo(viewer, configuration, folder / "screenshots.hae")
        self._session = self._cockpit.experiment.session
        self._session.survey_changed.connect(self._on_connected)
        self._session.live.measured.connect(self._on_measured)
        self._session.finished.connect(self._on_finished)

    def _on_connected(self) -> None:
        # The run starts next, and brings its own dock to the front.
        QTimer.singleShot(300, self._shoot_microscope)

    def _shoot_microscope(self) -> None:
        self._cockpit.show_microscope()
        self._shoot("microscope")
        self._cockpit.show_experiment()

    def _on_measured(self) -> None:
        done = len(self._session.live.measurements)
        if done >= 30 and find_layer(self._viewer, Role.FORBIDDEN, "labels") is None:
            self._paint_regions()
        elif done >= 60 and not (IMAGES / "running.png").exists():
            self._shoot("running")

    def _paint_regions(self) -> None:
        regions = self._cockpit.experiment.regions
        regions.paint_interest.click()
        self._fill(Role.ROI, slice(4, 63), slice(3, 60))
        regions.paint_forbidden.click()
        self._fill(Role.FORBIDDEN, slice(14, 30), slice(40, 58))

    def _fill(self, role: Role, rows: slice, columns: slice) -> None:
        layer = find_layer(self._viewer, role, "labels")
        layer.data_setitem(tuple(a.ravel() for a in np.mgrid[rows, columns]), 1)

    def _on_finished(self) -> None:
        # The last of the run is shown next.
        QTimer.singleShot(500, self._shoot_feature_space)

    def _shoot_feature_space(self) -> None:
        monitor = self._cockpit.monitor
        monitor.tabs.setCurrentWidget(monitor.feature_space)
        QTimer.singleShot(1500, self._analyse)

    def _analyse(self) -> None:
        self._shoot("feature_space")
        monitor, forensics = self._cockpit.monitor, self._cockpit.forensics
        monitor.tabs.setCurrentWidget(monitor.story)
        self._cockpit.show_forensics()
        forensics.analyse.click()
        self._waiting = QTimer(interval=200)
        self._waiting.timeout.connect(self._look_for_analysis)
        self._waiting.start()

    def _look_for_analysis(self) -> None:
        if self._cockpit.forensics.analysis is not None:
            self._waiting.stop()
            QTimer.singleShot(1000, self._shoot_forensics)

    def _shoot_forensics(self) -> None:
        self._shoot("forensics")
        self._viewer.close()

    def _shoot(self, name: str) -> None:
        path = str(IMAGES / f"{name}.png")
        self._viewer.screenshot(path, canvas_only=False, flash=False)


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.png"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        photographer = Photographer(napari.Viewer(), Path(folder))
        napari.run()
        del photographer


if __name__ == "__main__":
    main()
