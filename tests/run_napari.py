"""napari as a user starts it, with the plugin's docks open and a run going.

`python run_napari.py WINDOWS FOLDER [SECTION.NAME=VALUE …]`, with the instrument
`beam_log`; each window has a run, and the records are `0.hae`, `1.hae` … in the folder.
Each line on stdin keeps Qt's main thread from everything else until the next one.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal


class Holder(QObject):
    """Holds the main thread up, and lets it go."""

    wanted = Signal()

    def __init__(self):
        super().__init__()
        self._free = threading.Event()
        self.wanted.connect(self._hold)
        threading.Thread(target=self._obey, daemon=True).start()

    def _obey(self):
        for number, _ in enumerate(sys.stdin):
            if number % 2:
                self._free.set()
            else:
                self.wanted.emit()

    def _hold(self):
        print("HELD UP", flush=True)
        self._free.wait()


def begin(windows, folder, assignments):
    """Open the docks, connect, and press Start, once napari's event loop goes."""
    from napari import Viewer, current_viewer

    from napari_hae.experiment.configuration import assign, configure
    from napari_hae.gui.demo import start_demo

    sections = {}
    assign(sections, assignments)
    configuration = configure("beam_log", sections)
    viewers = [current_viewer(), *(Viewer() for _ in range(windows - 1))]
    for number, viewer in enumerate(viewers):
        start_demo(viewer, configuration, folder / f"{number}.hae")


if __name__ == "__main__":
    from napari.__main__ import main
    from napari.qt import get_qapp

    _, windows, folder, *assignments = sys.argv
    sys.argv[1:] = []
    application, holder = get_qapp(), Holder()
    QTimer.singleShot(0, lambda: begin(int(windows), Path(folder), assignments))
    main()
