"""The demo: the cockpit with the simulated microscope and a running experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_hae.experiment.configuration import configure
from napari_hae.gui.cockpit import Cockpit
from napari_hae.gui.loading import when_loaded
from napari_hae.gui.sessions import session_of
from napari_hae.gui.system_signals import system_signals

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_hae.cli.stopping import Stopping
    from napari_hae.experiment.configuration import Configuration

REALTIME = {"instrument": {"realtime": True}}
"""In the window, exposures take real time, so that the run can be watched."""


class _Closer(QObject):
    """Object that closes a window from any thread."""

    wanted = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.wanted.connect(self._close, Qt.ConnectionType.QueuedConnection)

    def _close(self) -> None:
        self._viewer.close()
        application = QApplication.instance()
        assert application is not None
        application.quit()


def show_demo(sections: dict[str, Any], out: Path | None, stopping: Stopping) -> None:
    """Open napari with the demo; return when its window is closed."""
    import napari

    configuration = configure("simulated", {**REALTIME, **sections})
    stopping.check()
    viewer = napari.Viewer()
    closer, signals = _Closer(viewer), system_signals()

    def open_demo() -> None:
        # The window may have been closed meanwhile.
        if hasattr(viewer.window, "_qt_window"):
            start_demo(viewer, configuration, out)

    when_loaded("Opening the demo", open_demo)

    def end(signal_name: str) -> None:
        try:
            signals.interrupt(signal_name)
        finally:
            closer.wanted.emit()

    stopping.reach(end, signals.blank)
    # napari takes over signals while its window is open, and ignores all but Ctrl+C.
    QTimer.singleShot(0, stopping.listen)
    napari.run()


def start_demo(
    viewer: Viewer, configuration: Configuration, out: Path | None
) -> Cockpit:
    """Open the cockpit in a viewer, connect the instrument and start a run."""
    cockpit, session = Cockpit(viewer), session_of(viewer)
    session.configure(**dict(configuration.settings))

    def start() -> None:
        session.connection.changed.disconnect(start)
        cockpit.show_experiment()
        session.start(path=out)

    session.connection.changed.connect(start)
    session.connection.open(configuration.instrument, configuration.instrument_settings)
    return cockpit
