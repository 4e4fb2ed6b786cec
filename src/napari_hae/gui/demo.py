"""The demo: the cockpit on the simulated microscope, with an experiment running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hae.experiment.configuration import configure
from napari_hae.gui.cockpit import Cockpit
from napari_hae.gui.sessions import session_of

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_hae.experiment.configuration import Configuration

REALTIME = {"instrument": {"realtime": True}}
"""In the window, exposures take their time: there is something to watch."""


def show_demo(sections: dict[str, Any], out: Path | None) -> None:
    """Open napari with the demo; returns when its window is closed."""
    import napari

    configuration = configure("simulated", {**REALTIME, **sections})
    viewer = napari.Viewer()
    start_demo(viewer, configuration, out)
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
