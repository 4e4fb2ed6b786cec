"""States of a run after each step, as far as memory allows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.runner import Runner
    from napari_hae.types import Measurement, PredictionMaps

MOST_BYTES = 256 * 2**20
"""Memory limit for the maps of a run: 1300 steps of a field of 128 x 128."""


class ModelView(NamedTuple):
    """Maps of the model, and the embedding of all candidates, `(n, 2)`."""

    maps: PredictionMaps
    picture: NDArray[np.float32] | None

    @property
    def size_bytes(self) -> int:
        """Memory of all its arrays."""
        maps = self.maps
        arrays = (maps.mean, maps.std, maps.acquisition, self.picture)
        return sum(array.nbytes for array in arrays if array is not None)


class History:
    """Measurements with the targets of each step, and maps of one run.

    Parameters
    ----------
    most_bytes
        Memory limit for maps. At the limit, every second one is dropped.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._measurements: tuple[Measurement, ...] = ()
        self._earlier: list[tuple[Measurement, ...]] = []
        self._views: dict[int, ModelView] = {}
        self._every = 1
        self._lock = threading.Lock()
        self._runner: Runner | None = None

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements, with the targets in force now."""
        return self._measurements

    def take(self, measurements: tuple[Measurement, ...]) -> None:
        """Add all measurements so far; earlier targets are kept, too."""
        before, now = self._measurements, measurements
        if now is before:
            return
        if any(old is not new for old, new in zip(before, now, strict=False)):
            self._earlier.append(before)
        self._measurements = now

    def after(self, step: int) -> tuple[Measurement, ...]:
        """Return the measurements after `step` steps, with the targets of that time."""
        # Where targets changed at this step, the older ones were shown first.
        epochs = (*self._earlier, self._measurements)
        return next(each for each in epochs if len(each) >= step)[:step]

    def watch(self, runner: Runner) -> None:
        """Store the model's view with each proposal of a run from now on.

        On the run's thread: a busy window would miss some.
        """
        self._runner = runner
        runner.events.proposed.connect(self._on_proposed)

    def keep(self, view: ModelView) -> None:
        """Store the model's view, if it is due; from any thread."""
        with self._lock:
            if view.maps.known % self._every == 0:
                self._views[view.maps.known] = view
            while self._size_bytes() > self._most_bytes and len(self._views) > 1:
                self._thin_out()

    def view(self, known: int) -> ModelView | None:
        """Return the view with `known` measurements, or the last one before."""
        with self._lock:
            held = [number for number in self._views if number <= known]
            return self._views[max(held)] if held else None

    def _on_proposed(self) -> None:
        assert self._runner is not None
        if (maps := self._runner.latest_maps) is not None:
            self.keep(ModelView(maps, self._runner.latest_picture))

    def _thin_out(self) -> None:
        self._every *= 2
        views = self._views.items()
        self._views = {n: view for n, view in views if n % self._every == 0}

    def _size_bytes(self) -> int:
        return sum(each.size_bytes for each in self._views.values())
