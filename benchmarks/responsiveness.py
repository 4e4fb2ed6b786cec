"""How long the window's event loop is held while a run goes with all views open.

A timer of the loop is due every 5 ms; how much later it comes is the time that the loop
was held. The same is measured before the run, with the same docks: idle, and after it,
with the same layers, while napari alone draws its canvas ten times a second: what a
window costs that shows anything new. Needs a display with OpenGL.

    python benchmarks/responsiveness.py [--steps 500] [--all-layers]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QTabWidget

from napari_hae.experiment.settings import Budget, MeasurementSettings
from napari_hae.gui.cockpit import Cockpit
from napari_hae.instruments.simulated_settings import SimulatedSettings
from report import table, versions, write_section

SIDE = 128
DUE_MS = 5
IDLE_S = 10
START_UP_STEPS = 30
EXPOSURE_S = 0.1


class Stopwatch:
    """Notes how much later than due a timer of the event loop comes."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self._last_s = time.perf_counter()
        self._timer = QTimer(interval=DUE_MS)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_due)
        self._timer.start()

    def _on_due(self) -> None:
        now_s = time.perf_counter()
        self.late_ms.append(max(1e3 * (now_s - self._last_s) - DUE_MS, 0.0))
        self._last_s = now_s

    def taken(self) -> np.ndarray:
        """The delays since the last call, in ms."""
        taken, self.late_ms = np.array(self.late_ms), []
        return taken


def spin(seconds: float) -> None:
    """Let the event loop run."""
    loop = QEventLoop()
    QTimer.singleShot(round(1e3 * seconds), loop.quit)
    loop.exec()


def wait_for(signal: object) -> None:
    """Let the event loop run until a signal comes."""
    loop = QEventLoop()
    signal.connect(loop.quit)  # type: ignore[attr-defined]
    loop.exec()


def measure(steps: int, folder: Path, *, all_layers: bool) -> dict[str, np.ndarray]:
    """The delays by what went on, in ms."""
    viewer = napari.Viewer()
    viewer.window.resize(1366, 900)
    cockpit = Cockpit(viewer)
    session = cockpit.experiment.session
    session.record_folder = folder
    for tabs in cockpit.monitor.findChildren(QTabWidget):
        # All at once: each panel in a window of its own.
        while tabs.count():
            panel, title = tabs.widget(0), tabs.tabText(0)
            panel.setParent(None)
            panel.setWindowTitle(title)
            panel.show()
    settings = SimulatedSettings(shape=(SIDE, SIDE), realtime=True)
    session.connection.open("simulated", settings)
    wait_for(session.connection.changed)
    spin(2)
    watch = Stopwatch()
    spin(IDLE_S)
    delays = {"idle": watch.taken()}
    session.configure(
        budget=Budget(steps=steps),
        measurement=MeasurementSettings(exposure_s=EXPOSURE_S),
    )
    session.start()
    started = False

    def note_start(_: object) -> None:
        nonlocal started
        if started:
            return
        # All have been made by now, and are drawn once before it counts.
        for layer in viewer.layers:
            layer.visible |= all_layers
        if len(session.live.measurements) >= START_UP_STEPS:
            started = True
            delays["start-up"] = watch.taken()

    session.live.measured.connect(note_start)
    wait_for(session.finished)
    delays["running"] = watch.taken()
    canvas = cockpit.experiment.window().findChild(QOpenGLWidget)
    redraw = QTimer(interval=100)
    redraw.timeout.connect(canvas.update)
    redraw.start()
    spin(1)
    watch.taken()
    spin(IDLE_S)
    delays["canvas alone"] = watch.taken()
    redraw.stop()
    viewer.close()
    return delays


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--all-layers", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        delays = measure(given.steps, Path(folder), all_layers=given.all_layers)
    rows = []
    for name, late_ms in delays.items():
        held = [f"{np.percentile(late_ms, p):.0f} ms" for p in (50, 99)]
        over = f"{int((late_ms > 100).sum())}"
        rows.append([name, *held, f"{late_ms.max():.0f} ms", over])
        print(rows[-1], flush=True)
    header = ["", "median", "99 %", "longest", "over 100 ms"]
    text = (
        f"{versions()}, napari {napari.__version__}, software OpenGL\n\n"
        f"{given.steps} steps of {1e3 * EXPOSURE_S:g} ms on {SIDE}² candidates, all "
        f"panels and {'all' if given.all_layers else 'the usual'} layers visible; "
        f"start-up are the first {START_UP_STEPS} steps:\n\n"
    )
    section = "responsiveness, all layers" if given.all_layers else "responsiveness"
    write_section(section, text + table(header, rows))


if __name__ == "__main__":
    main()
