"""The agent in the interface of comparisons on the same measurements.

The harness gives a survey image and all candidates, then at each step the measured
ones with their values, and asks for the next candidate and a prediction everywhere.
This class only translates: policy, model and acquisition functions are the product's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_hae.agent.acquisition import (
    AcquisitionFunction,
    LogExpectedImprovement,
    MaximumUncertainty,
    UpperConfidenceBound,
)
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Policy
from napari_hae.agent.policy_settings import InitialDesign, MoveSettings
from napari_hae.types import ScanImage

if TYPE_CHECKING:
    from numpy.typing import NDArray

ACQUISITION_FUNCTIONS: dict[str, AcquisitionFunction] = {
    "EI": LogExpectedImprovement(),
    "UCB": UpperConfidenceBound(),
    "MU": MaximumUncertainty(),
}


class Agent:
    """The default agent.

    Parameters
    ----------
    seed
        Of the policy.
    moves, settings
        Fields of `MoveSettings` and `ModelSettings` other than the defaults.
    """

    name = "napari-hae"

    def __init__(
        self, seed: int = 0, moves: dict[str, Any] | None = None, **settings: Any
    ) -> None:
        self._seed = seed
        self._model = ModelSettings.model_validate(settings)
        self._moves = MoveSettings.model_validate(moves or {})

    def setup(
        self,
        image: NDArray[np.float32],
        coords: NDArray[np.intp],
        patches: NDArray[np.float32],
    ) -> None:
        """Take the survey image `(rows, columns)` and the candidates `(n, 2)`."""
        # Another agent of the comparison may have set it since this file was imported.
        torch.set_num_threads(1)
        self._image = ScanImage(
            np.asarray(image[None], np.float32), ("survey",), image.shape, 1e-5
        )
        self._coords = np.asarray(coords)
        self._allowed = np.zeros(image.shape, dtype=bool)
        self._allowed[tuple(self._coords.T)] = True
        self._index = np.full(image.shape, -1)
        self._index[tuple(self._coords.T)] = np.arange(len(self._coords))
        # What is made once for the whole run: descriptors, not data.
        self._begin()
        self._policy.prepare()

    def step(
        self,
        idx: NDArray[np.intp],
        y: NDArray[np.float64],
        acq: str,
        best: float | None = None,
    ) -> dict[str, Any]:
        """The next candidate, and mean and standard deviation of all."""
        known = list(map(int, idx))
        if known[: len(self._known)] != self._known:
            self._begin()
        for index, value in zip(
            known[len(self._known) :], y[len(self._known) :], strict=True
        ):
            row, column = self._coords[index]
            error = self.error_of(float(value))
            self._policy.tell(int(row), int(column), float(value), error)
        self._known = known
        self._policy.configure(acquisition=ACQUISITION_FUNCTIONS[acq])
        proposal = self._policy.ask(len(known), self._allowed)
        maps = self._policy.maps(self._allowed)
        # The harness decides what is measured.
        self._policy.withdraw(proposal.row, proposal.column)
        chosen = int(self._index[proposal.row, proposal.column])
        if maps is None:
            return {"next": chosen, **self._without_model(np.asarray(y, float))}
        places = tuple(self._coords.T)
        return {
            "next": chosen,
            "mean": maps.mean[places],
            "std": maps.std[places],
            "noise": self._policy.noise_std,
        }

    def error_of(self, value: float) -> float:
        """What is known of a target's standard deviation: nothing, in the harness."""
        return math.nan

    def _without_model(self, y: NDArray[np.float64]) -> dict[str, Any]:
        """The same prediction everywhere: fewer than two targets make no model."""
        known = y[np.isfinite(y)]
        mean, std = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
        everywhere = np.ones(len(self._coords))
        # The harness scales targets to a range of 1; of one alone no more is known.
        return {
            "mean": mean * everywhere,
            "std": (std or 1.0) * everywhere,
            "noise": 0.0,
        }

    def _begin(self) -> None:
        self._known: list[int] = []
        self._policy = Policy(
            self._image,
            model=self._model,
            acquisition=ACQUISITION_FUNCTIONS["EI"],
            goal=Goal(),
            initial=InitialDesign(points=1),
            seed=self._seed,
            moves=self._moves,
        )
