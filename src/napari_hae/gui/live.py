"""Shows a run while it goes: fetches what is new, and updates the layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.runner import Runner
    from napari_hae.gui.layers import FieldLayers
    from napari_hae.types import Measurement, PredictionMaps, Proposal

POLL_MS = 40
"""How often new measurements and maps are fetched: about 25 times a second."""


class LiveView(QObject):
    """The measurements, maps and proposals of the newest run, as they come.

    They are fetched at a steady rate and never queued, so that a fast instrument cannot
    flood the window.
    """

    measured = Signal(object)
    """Emits the new measurements, a list in order."""
    proposed = Signal(object)
    """Emits the newest `Proposal`."""
    queue_changed = Signal(object)
    """Emits the pixels that a person wants measured next, a tuple."""
    judged = Signal()
    """What was voted or discarded changed."""
    retargeted = Signal(object)
    """Emits all measurements with their new targets."""
    noted = Signal(object)
    """Emits the journal's new entries, a list in order, but for those of each step."""

    def __init__(self, layers: FieldLayers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._runner: Runner | None = None
        self._shown = self._told = 0
        self._maps: PredictionMaps | None = None
        self._proposal: Proposal | None = None
        self._queue: tuple[tuple[int, int], ...] = ()
        self._judged: object = None
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self.refresh)

    @property
    def proposal(self) -> Proposal | None:
        """The newest proposal of the run that is shown."""
        return self._proposal

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements of the run that is shown."""
        return self._runner.measurements if self._runner else ()

    @property
    def maps(self) -> PredictionMaps | None:
        """The newest maps of the run that is shown."""
        return self._maps

    @property
    def picture(self) -> NDArray[np.float32] | None:
        """All candidates as the model of that run sees them, `(n, 2)`."""
        return self._runner.latest_picture if self._runner else None

    def begin(self, runner: Runner) -> None:
        """Show a run from now on, in place of an earlier one."""
        self._layers.clear_run()
        self._runner = runner
        self._shown, self._maps, self._proposal = 0, None, None
        self._told = 0
        self._poll.start()

    def end(self) -> None:
        """Show the last of it; the run has ended."""
        self.refresh()
        self.stop()
        if self._runner is not None and self._layers.frame is not None:
            self._layers.show_next(None)

    def stop(self) -> None:
        """Fetch nothing more."""
        self._poll.stop()

    def close(self) -> None:
        """Show nothing more: the layers' viewer is closing."""
        self.stop()
        self._runner = None

    def refresh(self) -> None:
        """Show what is new since the last time."""
        runner = self._runner
        if runner is None or self._layers.frame is None:
            return
        measurements = runner.measurements
        new = list(measurements[self._shown :])
        if new:
            self._shown = len(measurements)
            self._layers.add_measurements(new)
            self.measured.emit(new)
        if (maps := runner.latest_maps) is not None and maps is not self._maps:
            self._maps = maps
            self._layers.show_maps(maps)
        if (queue := runner.queue.pixels) != self._queue:
            self._queue = queue
            self.queue_changed.emit(queue)
        if (judged := (dict(runner.votes), runner.discarded)) != self._judged:
            self._judged = judged
            self.judged.emit()
        proposal = runner.latest_proposal
        if proposal is not None and proposal is not self._proposal:
            self._proposal = proposal
            self._layers.show_next(proposal)
            self.proposed.emit(proposal)
        if entries := runner.record.noted[self._told :]:
            self._told += len(entries)
            self.noted.emit(entries)

    def show_targets(self, targets: tuple[float, ...]) -> None:
        """Show other targets for the measurements so far."""
        if self._runner is None:
            return
        self.refresh()
        self._layers.show_targets(dict(enumerate(targets)))
        self.retargeted.emit(self.measurements)
