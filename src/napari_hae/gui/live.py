"""Live view of a run: fetches new data, and updates the layers."""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_hae.gui.drawing import Drawing
from napari_hae.gui.history import History, ModelView

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame
    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.votes import Vote
    from napari_hae.gui.layers import FieldLayers
    from napari_hae.gui.opened_run import OpenedRun
    from napari_hae.types import Measurement, PredictionMaps, Proposal

POLL_MS = 40
"""Polling interval for new data: 25 times a second."""
TURN_MS = 4
"""Time after which a turn ends with the current piece of work; the event loop has the
same time before the next turn."""


class LiveView(QObject):
    """Measurements, maps and proposal of the newest run that are shown.

    They are fetched at a constant rate and never queued, so that a fast instrument
    cannot flood the window. The state shown is the newest, or that after an earlier
    step: this is the only place that decides it. The run is unaffected.
    """

    measured = Signal(object)
    """Emit `(measurements: list)`, new ones in order, unless an earlier step is
    shown."""
    proposed = Signal(object)
    """Emit `(proposal: Proposal)`, the newest, unless an earlier step is shown."""
    mapped = Signal()
    """Emit when other maps are shown, of a new proposal or under changed settings."""
    rewound = Signal()
    """Emit when another step of the run is shown: everything shown has changed."""
    counted = Signal(int)
    """Emit `(count: int)` when the run's number of measurements changes, shown or
    not."""
    queue_changed = Signal(object)
    """Emit `(pixels: tuple)` when the user's queue of next pixels changes."""
    judged = Signal()
    """Emit when votes or discarded steps have changed."""
    waits_for_changed = Signal(str)
    """Emit `(action: str)`, needed before the run continues; empty if none."""
    retargeted = Signal(object)
    """Emit `(measurements)`, all shown ones, when their targets have changed."""
    noted = Signal(object)
    """Emit `(events: list)`, the journal's new ones in order, except those of each
    step."""

    def __init__(self, layers: FieldLayers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._runner: Runner | OpenedRun | None = None
        self._history = History()
        self._frame: FieldFrame | None = None
        self._shown_step: int | None = None
        self._taken = self._told = 0
        self._newest: ModelView | None = None
        self._proposal: Proposal | None = None
        self._queue: tuple[tuple[int, int], ...] = ()
        self._waits_for = ""
        self._judged: object = None
        self._jobs: deque[Callable[[], object]] = deque()
        self._poll = QTimer(self, interval=POLL_MS)
        self._poll.timeout.connect(self._take_turn)
        self._drawing = Drawing(layers.viewer, self)
        self._began_s = 0.0

    @property
    def taken(self) -> int:
        """Number of measurements of the run, shown or not."""
        return self._taken

    @property
    def waits_for(self) -> str:
        """Action needed before the run continues, as text; empty if none."""
        return self._waits_for

    @property
    def steps(self) -> int | None:
        """Maximum number of steps of the run that is shown; None without one.

        Not the number set for the next run.
        """
        return self._runner.settings.budget.steps if self._runner else None

    @property
    def shown_step(self) -> int | None:
        """Number of steps after which the run is shown; None: its current state."""
        return self._shown_step

    @property
    def can_rewind(self) -> bool:
        """Return whether there are earlier steps, of the shown field of view."""
        return self.taken > 1 and self._is_of_field

    @property
    def proposal(self) -> Proposal | None:
        """Newest proposal, or the one that led to the shown step."""
        if self._shown_step is None:
            return self._proposal
        return self._history.measurements[self._shown_step].proposal

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements that are shown."""
        if self._shown_step is None:
            return self._runner.measurements if self._runner else ()
        return self._history.after(self._shown_step)

    @property
    def maps(self) -> PredictionMaps | None:
        """Maps that are shown."""
        view = self._view
        return None if view is None else view.maps

    @property
    def picture(self) -> NDArray[np.float32] | None:
        """Embedding of all candidates, `(n, 2)`, at the time of these maps."""
        view = self._view
        return None if view is None else view.picture

    @property
    def frame(self) -> FieldFrame | None:
        """Field of the shown run, which may differ from that of the layers."""
        return self._frame

    @property
    def queue(self) -> tuple[tuple[int, int], ...]:
        """Pixels that the user wants measured next, as last reported."""
        return self._queue

    @property
    def votes(self) -> Mapping[int, Vote]:
        """Votes in the shown run, by step."""
        return self._runner.votes if self._runner else {}

    @property
    def discarded(self) -> frozenset[int]:
        """Steps of the shown run that are excluded from training."""
        return self._runner.discarded if self._runner else frozenset()

    @property
    def events(self) -> list[JournalEvent]:
        """Journal events so far, as emitted by `noted`."""
        return self._runner.record.noted[: self._told] if self._runner else []

    def begin(self, runner: Runner) -> None:
        """Show a run from now on, in place of an earlier one."""
        history = History()
        history.watch(runner)
        self._begin(runner, history)
        self._poll.start()

    def open(self, run: OpenedRun) -> None:
        """Show a stored run from now on, in place of an earlier one; `end` draws it."""
        self.stop()
        self._begin(run, run.history)

    def forget(self) -> None:
        """Show no run, and nothing of the one before."""
        self.stop()
        self._begin(None, History())
        self._queue, self._judged = (), None
        self.queue_changed.emit(())
        self.judged.emit()
        self.counted.emit(0)

    def end(self) -> None:
        """Show the final state; the run has ended."""
        self.refresh()
        self.stop()
        if self._shown_step is None and self._layers.frame is not None:
            self._layers.show_next(None)

    def stop(self) -> None:
        """Stop fetching."""
        self._poll.stop()
        self._drawing.hold(False)

    def close(self) -> None:
        """Stop showing: the viewer of the layers is closing."""
        self.stop()
        self._jobs.clear()
        self._runner = None
        self._drawing.close()

    def show_step(self, step: int | None) -> None:
        """Show the run as it was after a number of steps; None: its current state."""
        if step is not None:
            is_earlier = self.can_rewind and step < self.taken
            step = max(step, 1) if is_earlier else None
        if step == self._shown_step:
            return
        self._do_jobs()
        self._shown_step = step
        if self._is_of_field:
            goes_on = step is not None or self._poll.isActive()
            ring = self.proposal if goes_on else None
            self._layers.show_run(self.measurements, self.maps, ring)
        self.rewound.emit()

    def refresh(self) -> None:
        """Show all new data at once."""
        self._do_jobs()
        self._look_for_news()
        self._do_jobs()

    def _take_turn(self) -> None:
        """Do part of the pending work, so that the event loop is not blocked."""
        now_s = time.perf_counter()
        if not self._jobs:
            self._began_s = now_s
            self._look_for_news()
        self._drawing.hold(bool(self._jobs))
        while self._jobs:
            self._jobs.popleft()()
            if time.perf_counter() >= now_s + 1e-3 * TURN_MS:
                break
        if self._jobs:
            self._poll.setInterval(TURN_MS)
            return
        self._drawing.hold(False)
        # The event loop gets as much time as the run's work has just taken.
        busy_ms = 1e3 * (time.perf_counter() - self._began_s)
        self._poll.setInterval(max(POLL_MS, round(busy_ms)))

    def _do_jobs(self) -> None:
        while self._jobs:
            self._jobs.popleft()()
        self._drawing.hold(False)

    def _look_for_news(self) -> None:
        runner = self._runner
        if runner is None:
            return
        if (waits_for := runner.waits_for) != self._waits_for:
            self._waits_for = waits_for
            self.waits_for_changed.emit(waits_for)
        if self._layers.frame is None:
            return
        self._take_measurements(runner.measurements)
        self._take_maps(runner)
        if (queue := runner.queue.pixels) != self._queue:
            self._queue = queue
            self.queue_changed.emit(queue)
        if (judged := (dict(runner.votes), runner.discarded)) != self._judged:
            self._judged = judged
            self.judged.emit()
        self._take_proposal(runner.latest_proposal)
        if events := runner.record.noted[self._told :]:
            self._told += len(events)
            self._jobs.append(partial(self.noted.emit, events))

    def show_targets(self, targets: tuple[float, ...]) -> None:
        """Show other targets for the measurements so far."""
        if self._runner is None:
            return
        self.refresh()
        if self._shown_step is None:
            self._layers.show_targets(dict(enumerate(targets)))
            self.retargeted.emit(self.measurements)

    def _begin(self, runner: Runner | OpenedRun | None, history: History) -> None:
        self._jobs.clear()
        self._layers.clear_run()
        self._runner, self._history = runner, history
        self._frame = self._shown_step = self._newest = self._proposal = None
        self._taken = self._told = 0
        self._waits_for = ""

    @property
    def _is_of_field(self) -> bool:
        return self._frame is not None and self._frame == self._layers.frame

    @property
    def _view(self) -> ModelView | None:
        proposal = self.proposal
        if self._shown_step is None or proposal is None:
            return self._newest
        return self._history.view(proposal.known)

    def _take_measurements(self, measurements: tuple[Measurement, ...]) -> None:
        new = list(measurements[self._taken :])
        if new and not self._taken:
            self._frame = self._layers.frame
        self._history.take(measurements)
        self._taken = len(measurements)
        if not new:
            return
        if self._shown_step is None:
            self._jobs.extend(self._layers.measurement_updates(new))
            self._jobs.append(partial(self.measured.emit, new))
        self._jobs.append(partial(self.counted.emit, self._taken))

    def _take_maps(self, runner: Runner | OpenedRun) -> None:
        maps = runner.latest_maps
        if maps is None or (self._newest and maps is self._newest.maps):
            return
        self._newest = ModelView(maps, runner.latest_picture)
        if self._shown_step is None:
            self._jobs.extend(self._layers.map_updates(maps))
            self._jobs.append(self.mapped.emit)

    def _take_proposal(self, proposal: Proposal | None) -> None:
        if proposal is None or proposal is self._proposal:
            return
        self._proposal = proposal
        if self._shown_step is None:
            self._jobs.append(partial(self._layers.show_next, proposal))
            self._jobs.append(partial(self.proposed.emit, proposal))
