"""Agent on its own worker thread, one batch of proposals ahead of the beam.

Steps of the initial design come one by one, then in batches; each proposal of a batch
takes the others into account. With look-ahead, the computation of a batch starts when
the first position of the previous batch is being measured, on the data known then: a
fixed lag, so that the same seed gives the same path, and a resumed run continues as an
uninterrupted one would. If proposals computed ahead are withdrawn within a batch, the
rest of that batch is computed together with the next one.

The policy is used by one thread at a time: by the worker while a proposal is under way,
by the experiment's thread otherwise.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_hae.agent.policy import Exhausted, Policy
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.types import Measurement, PredictionMaps, Proposal, ScanImage

logger = logging.getLogger(__name__)

LONG_S = 0.5
"""Waiting time in s after which the reason for the wait is shown."""

Advice = tuple["Proposal", "PredictionMaps | None", "NDArray[np.float32] | None", float]
"""Proposal, its maps, the model's view of all candidates, and the computing time in
s."""


class Advisor:
    """Interface to the policy for asking and telling, on a worker thread.

    Parameters
    ----------
    survey
        Survey image whose pixels are the candidates.
    settings
        Initial settings of the policy.
    """

    def __init__(self, survey: ScanImage, settings: ExperimentSettings) -> None:
        self._policy = Policy(
            survey,
            model=settings.model,
            acquisition=settings.acquisition,
            goal=settings.goal,
            initial=settings.initial,
            moves=settings.moves,
            seed=settings.seed,
        )
        self._worker = ThreadPoolExecutor(1, "napari-hae-agent")
        self._loading = threading.Thread(target=_load_model, name="napari-hae-loading")
        self._get_ready(settings)
        self._initial, self._steps = settings.initial.points, settings.budget.steps
        self._loop = settings.loop
        self._ahead: dict[int, Future[Advice]] = {}
        self._preview: Future[None] | None = None
        self._is_copied = threading.Event()
        self._untold: list[Measurement] = []
        self._told = 0
        self._asked_s: float | None = None
        """Start of the current wait for an answer; None if there is no wait."""
        self.maps: PredictionMaps | None = None
        """Newest predicted maps."""
        self.chosen_on: PredictionMaps | None = None
        """Maps of the last choice of a place, regardless of previews since."""
        self.took_s = 0.0
        """Computing time of the last requested proposal, in s."""
        self.picture: NDArray[np.float32] | None = None
        """Model's view of all candidates in two dimensions, `(n, 2)`."""

    def ask(
        self,
        step: int,
        allowed: NDArray[np.bool_],
        attempt: int,
        preference: NDArray[np.float64] | None = None,
    ) -> Proposal:
        """Return the proposal for a step: the one computed ahead, or a new one.

        A new one is also computed if no candidate was left when computing ahead:
        regions may have been widened since, or the sample may have drifted back.

        Raises
        ------
        Exhausted
            If no allowed candidate is left.
        """
        self._end_preview()
        self._asked_s = time.monotonic()
        try:
            ahead = self._ahead.get(step)
            if ahead is None or isinstance(ahead.exception(), Exhausted):
                self._submit(step, allowed, attempt, step, preference)
            answer = self._ahead.pop(step).result()
        finally:
            self._asked_s = None
        proposal, maps, self.picture, self.took_s = answer
        if maps is not None:
            self.maps = self.chosen_on = maps
        return proposal

    def preview(
        self,
        step: int,
        allowed: NDArray[np.bool_],
        attempt: int,
        preference: NDArray[np.float64] | None = None,
    ) -> None:
        """Start computing the maps for the choice of a step, if the model is ready.

        Uses a copy of the policy, so that a preview does not change the path. No
        proposal may be computed ahead.
        """
        self._end_preview()
        if self.maps is None:
            return
        self._is_copied.clear()

        self._preview = self._worker.submit(
            self._look, step, allowed, attempt, preference
        )

    def choose(
        self,
        step: int,
        pixel: tuple[int, int],
        chosen_by: ChosenBy,
        allowed: NDArray[np.bool_] | None = None,
        preference: NDArray[np.float64] | None = None,
    ) -> Proposal:
        """Return the proposal of a pixel not chosen by the agent; none may be ahead.

        With `allowed`, the agent's assessment of the pixel is included.
        """
        self._tell_all()
        begin_s = time.perf_counter()
        chosen = self._worker.submit(
            self._policy.choose, step, *pixel, chosen_by, allowed, preference
        ).result()
        self.took_s = time.perf_counter() - begin_s
        return chosen

    @property
    def waits_for(self) -> str:
        """Return the reason for an unusually long wait, else an empty text."""
        asked_s = self._asked_s
        if asked_s is None or time.monotonic() - asked_s < LONG_S:
            return ""
        return self._policy.doing

    @property
    def is_ahead(self) -> bool:
        """Return whether a proposal was computed ahead, or is being computed."""
        return bool(self._ahead)

    def is_ready(self, step: int) -> bool:
        """Return whether a step's proposal was computed ahead, so that `ask` is quick.

        False if that computation ended without a proposal: `ask` then computes anew.
        """
        future = self._ahead.get(step)
        return future is not None and future.done() and future.exception() is None

    def look_ahead(
        self,
        step: int,
        allowed: NDArray[np.bool_],
        preference: NDArray[np.float64] | None = None,
    ) -> None:
        """Start computing the proposals after a step that is about to be measured.

        These are the next batch, and any proposals missing before it. Does nothing if
        the computation has started, if no step is left, or without look-ahead.
        """
        if not self._loop.lookahead:
            return
        end = self._end_of_batch(self._end_of_batch(step))
        for first in range(step + 1, min(end, self._steps)):
            if first not in self._ahead:
                self._submit(first, allowed, 0, step, preference)

    def drop_ahead(self) -> list[Proposal]:
        """Withdraw all proposals computed ahead and return them, in order."""
        dropped = []
        for future in self._ahead.values():
            with contextlib.suppress(Exhausted):
                dropped.append(future.result()[0])
        self._ahead.clear()
        for proposal in dropped:
            self.withdraw(proposal)
        self._tell_all()
        return dropped

    def reschedule(self, settings: ExperimentSettings) -> None:
        """Apply new values of look-ahead, batch size and number of steps."""
        self._loop, self._steps = settings.loop, settings.budget.steps

    def learn(self, measurement: Measurement) -> None:
        """Pass a measurement to the policy as soon as the worker is idle."""
        self._untold.append(measurement)

    def withdraw(self, proposal: Proposal) -> None:
        """Tell the policy that a proposal will not be measured."""
        self._end_preview()
        self._policy.withdraw(proposal.row, proposal.column)

    def configure(self, settings: ExperimentSettings) -> None:
        """Replace the policy's settings; its data stay, no proposal may be ahead."""
        self._get_ready(settings)
        self.reschedule(settings)
        self._end_preview()
        self._policy.configure(
            model=settings.model,
            acquisition=settings.acquisition,
            goal=settings.goal,
            moves=settings.moves,
        )

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Replace all targets and errors, in the order of the measurements."""
        self._tell_all()
        self._policy.retarget(targets, errors)

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Replay the computation of a stored proposal.

        `measured` are the run's measurements; the policy receives those that it knew at
        that time, and refits at the same steps, so that it ends in the same state.
        """
        for measurement in measured[self._policy.known : proposal.known]:
            self._tell(measurement)
        if proposal.chosen_by is ChosenBy.AGENT or math.isfinite(proposal.mean):
            self._worker.submit(self._policy.refresh).result()

    def catch_up(self, measured: Sequence[Measurement]) -> None:
        """Pass on all measurements that `repeat` left out."""
        for measurement in measured[self._policy.known :]:
            self._tell(measurement)

    def take_up(self, measured: Sequence[Measurement]) -> None:
        """Continue after `repeat` like an uninterrupted run with no proposal ahead."""
        self.catch_up(measured)
        self._told = self._policy.known

    def take_up_ahead(
        self,
        measured: Sequence[Measurement],
        allowed: Callable[[int], NDArray[np.bool_]],
        preference: NDArray[np.float64] | None,
    ) -> None:
        """Continue after `repeat` like an uninterrupted run that had looked ahead.

        The proposals ahead were computed without the last measurements, which are
        pending until then. `allowed` returns the allowed pixels at the proposal of a
        step.
        """
        begun = measured[-1].proposal
        ahead = self._was_ahead(begun)
        if not ahead:
            self.take_up(measured)
            return
        self.catch_up(measured[: ahead[0][1]])
        self._told = self._policy.known
        self._untold = list(measured[self._told :])
        for measurement in self._untold:
            self._policy.expect(measurement.proposal.row, measurement.proposal.column)
        for first, known in ahead:
            self._submit(first, allowed(known), 0, known, preference)

    def close(self) -> None:
        """End the worker, after a computation that is in progress."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._loading.ident is not None:
            self._loading.join()

    def _get_ready(self, settings: ExperimentSettings) -> None:
        """Load the model's libraries once, while the initial design is measured."""
        if settings.acquisition.needs_model and self._loading.ident is None:
            self._loading.start()
            self._worker.submit(_cap_threads)

    def _submit(
        self,
        first: int,
        allowed: NDArray[np.bool_],
        attempt: int,
        known: int,
        preference: NDArray[np.float64] | None,
    ) -> None:
        """Let the worker learn the known measurements, then propose a batch."""
        while self._untold and self._told < known:
            self._worker.submit(self._tell, self._untold.pop(0))
            self._told += 1

        def advise(step: int, attempt: int) -> Advice:
            begin_s = time.perf_counter()
            proposal = self._policy.ask(step, allowed, attempt, preference)
            maps, picture = self._policy.maps(allowed), self._policy.picture()
            return proposal, maps, picture, time.perf_counter() - begin_s

        for step in range(first, self._end_of_batch(first)):
            attempts = attempt if step == first else 0
            self._ahead[step] = self._worker.submit(advise, step, attempts)

    def _look(
        self,
        step: int,
        allowed: NDArray[np.bool_],
        attempt: int,
        preference: NDArray[np.float64] | None,
    ) -> None:
        """Compute the maps on a copy of the policy; runs on the worker."""
        try:
            try:
                policy = copy.deepcopy(self._policy)
            finally:
                self._is_copied.set()
            policy.ask(step, allowed, attempt, preference)
            if (maps := policy.maps(allowed)) is not None:
                self.picture, self.maps = policy.picture(), maps
        except Exhausted:
            logger.debug("nothing is left to choose: no maps of changed settings")
        # A third-party function that cannot be copied, or too little memory: these maps
        # are optional, and the next proposal brings its own.
        except Exception:
            logger.exception("no maps of what changed settings would choose")

    def _end_preview(self) -> None:
        """Cancel a preview, or wait for its copy of the policy, which is then free."""
        if self._preview is not None and not self._preview.cancel():
            self._is_copied.wait()
        self._preview = None

    def _start_of_batch(self, step: int) -> int:
        chosen = step - self._initial
        return step if chosen < 0 else step - chosen % self._loop.batch

    def _end_of_batch(self, step: int) -> int:
        """Return the first step of the next batch, or the end of the run."""
        if step < self._initial:
            return step + 1
        end = self._start_of_batch(step) + self._loop.batch
        return max(min(end, self._steps), step + 1)

    def _was_ahead(self, begun: Proposal) -> list[tuple[int, int]]:
        """Return the batches that were ahead while a proposal was being measured.

        Each batch as its first step and the number of measurements it was based on.
        """
        first, end = begun.step + 1, self._end_of_batch(begun.step)
        known, ahead = _known_to_rest(begun), []
        if first < end and (self._loop.lookahead or begun.is_of_agent):
            ahead.append((first, known))
        if self._loop.lookahead:
            ahead.append((end, max(known, self._start_of_batch(begun.step))))
        return [each for each in ahead if each[0] < self._steps]

    def _tell_all(self) -> None:
        self._end_preview()
        for measurement in self._untold:
            self._tell(measurement)
        self._told += len(self._untold)
        self._untold = []

    def _tell(self, measurement: Measurement) -> None:
        self._policy.tell(
            measurement.proposal.row,
            measurement.proposal.column,
            measurement.target,
            measurement.error,
            measurement.spectrum.exposure_s,
        )


def _known_to_rest(begun: Proposal) -> int:
    """Return the number of measurements that the rest of its batch was based on.

    After a place that the agent did not choose, the rest was computed during its
    measurement.
    """
    return begun.known if begun.is_of_agent else begun.step


def _load_model() -> None:
    import napari_hae.agent.surrogate  # noqa: F401


def _cap_threads() -> None:
    """Limit the number of threads, so that the window stays responsive."""
    import torch

    torch.set_num_threads(1)
