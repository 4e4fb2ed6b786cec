"""Time spent per activity, step by step."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hae.diagnostics import StepTimes

if TYPE_CHECKING:
    from collections.abc import Iterator


class StepClock:
    """Clock for the beam since its last exposure; for the experiment's thread."""

    def __init__(self) -> None:
        now_s = time.perf_counter()
        self._exposed_s = self._stopped_s = now_s
        self._human_s = self._disk_s = 0.0

    @contextmanager
    def going(self) -> Iterator[None]:
        """Mark that the loop takes steps; the time between counts as the user's."""
        self._human_s += time.perf_counter() - self._stopped_s
        try:
            yield
        finally:
            self._stopped_s = time.perf_counter()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Measure the time that the beam waits for an answer of the user."""
        begin_s = time.perf_counter()
        try:
            yield
        finally:
            self._human_s += time.perf_counter() - begin_s

    def times(
        self, exposed: tuple[float, float], agent_s: float, disk_s: float
    ) -> StepTimes:
        """Return the times of a step, at the end of its exposure.

        Parameters
        ----------
        exposed
            Start and end of the exposure at the instrument, in s.
        agent_s
            Computing time of its proposal.
        disk_s
            Total time spent writing since the run began.
        """
        begin_s, end_s = exposed
        idle_s = max(begin_s - self._exposed_s, 0.0)
        human_s = min(self._human_s, idle_s)
        times = StepTimes(
            instrument_s=end_s - begin_s,
            waiting_s=idle_s - human_s,
            human_s=human_s,
            agent_s=agent_s,
            disk_s=disk_s - self._disk_s,
        )
        self._exposed_s, self._human_s, self._disk_s = end_s, 0.0, disk_s
        return times
