"""The agent on a worker of its own, one proposal ahead of the beam.

The policy is used by one thread at a time: by the worker while a proposal is under way,
by the experiment's thread otherwise.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from napari_hae.agent.policy import Policy
from napari_hae.types import ChosenBy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.types import Measurement, PredictionMaps, Proposal, ScanImage

Advice = tuple["Proposal", "PredictionMaps | None"]


class Advisor:
    """Asks and tells the policy.

    Parameters
    ----------
    survey
        The survey image whose pixels are the candidates.
    settings
        What the policy starts with.
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
        # The libraries of the model load while the initial design is measured.
        self._loading = threading.Thread(target=_load_model, name="napari-hae-loading")
        if settings.acquisition.needs_model:
            self._loading.start()
            self._worker.submit(_cap_threads)
        self._ahead: Future[Advice] | None = None
        self._untold: list[Measurement] = []
        self._held_back: list[Measurement] = []
        self.maps: PredictionMaps | None = None
        """The newest predicted maps."""

    def ask(self, step: int, allowed: NDArray[np.bool_], attempt: int) -> Proposal:
        """The proposal for a step: the one computed ahead, or a new one.

        Raises
        ------
        Exhausted
            If no allowed candidate is left.
        """
        if self._ahead is None:
            self._tell_all()
            self.look_ahead(step, allowed, attempt)
        ahead, self._ahead = self._ahead, None
        assert ahead is not None
        proposal, maps = ahead.result()
        self.maps = maps or self.maps
        self._release_held_back()
        self._tell_all()
        return proposal

    def look_ahead(
        self, step: int, allowed: NDArray[np.bool_], attempt: int = 0
    ) -> None:
        """Begin to compute the proposal for a step on what has been told so far."""

        def advise() -> Advice:
            return self._policy.ask(step, allowed, attempt), self._policy.maps(allowed)

        self._ahead = self._worker.submit(advise)

    def drop_ahead(self) -> Proposal | None:
        """Take back the proposal computed ahead; None if there is none.

        Raises
        ------
        Exhausted
            If there was no candidate to compute.
        """
        ahead, self._ahead = self._ahead, None
        proposal = None if ahead is None else ahead.result()[0]
        if proposal is not None:
            self.withdraw(proposal)
        self._tell_all()
        return proposal

    def learn(self, measurement: Measurement) -> None:
        """Tell the policy of a measurement as soon as the worker is done."""
        self._untold.append(measurement)

    def withdraw(self, proposal: Proposal) -> None:
        """Tell the policy that a proposal will not be measured."""
        self._policy.withdraw(proposal.row, proposal.column)

    def configure(self, settings: ExperimentSettings) -> None:
        """Replace the policy's settings; what it learned stays, nothing is ahead."""
        self._policy.configure(
            model=settings.model,
            acquisition=settings.acquisition,
            goal=settings.goal,
            moves=settings.moves,
        )

    def retarget(self, targets: Sequence[float]) -> None:
        """Replace all targets, in the order of the measurements."""
        self._release_held_back()
        self._tell_all()
        self._policy.retarget(targets)

    def repeat(self, proposal: Proposal, measured: Sequence[Measurement]) -> None:
        """Go again through what led to a stored proposal.

        `measured` are the run's measurements; the policy is told of as many as it
        knew then, and fits as it did, so that it ends in the same state.
        """
        for measurement in measured[self._policy.known : proposal.known]:
            self._tell(measurement)
        if proposal.chosen_by is ChosenBy.AGENT:
            self._worker.submit(self._policy.refresh).result()

    def catch_up(self, measured: Sequence[Measurement]) -> None:
        """Tell all that `repeat` left."""
        for measurement in measured[self._policy.known :]:
            self._tell(measurement)

    def take_up(self, measured: Sequence[Measurement], lookahead: int) -> None:
        """Tell all that `repeat` left, as an uninterrupted run would have.

        With look-ahead its next proposal did not know of the last measurement: that is
        held back until the proposal is there.
        """
        self.catch_up(measured[: max(len(measured) - lookahead, 0)])
        self._held_back = list(measured[self._policy.known :])
        for measurement in self._held_back:
            proposal = measurement.proposal
            self._policy.expect(proposal.row, proposal.column)

    def close(self) -> None:
        """End the worker; waits for a computation that is under way."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._loading.ident is not None:
            self._loading.join()

    def _release_held_back(self) -> None:
        self._untold = self._held_back + self._untold
        self._held_back = []

    def _tell_all(self) -> None:
        for measurement in self._untold:
            self._tell(measurement)
        self._untold = []

    def _tell(self, measurement: Measurement) -> None:
        proposal = measurement.proposal
        self._policy.tell(proposal.row, proposal.column, measurement.target)


def _load_model() -> None:
    import napari_hae.agent.surrogate  # noqa: F401


def _cap_threads() -> None:
    """Leave the window its share of the processor."""
    import torch

    torch.set_num_threads(1)
