"""The agent as an ask-and-tell library, for callers with their own measurement loop."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.acquisition import LogExpectedImprovement
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Policy
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.types import ScanImage, Spectrum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_hae.agent.acquisition import AcquisitionFunction
    from napari_hae.agent.scalarizers import Scalarizer
    from napari_hae.types import PredictionMaps, Proposal


class Agent:
    """Proposes pixels of an image to measure at.

    Several positions may be requested before any result is reported: pending ones are
    taken into account. The same seed and the same calls give the same positions.

    Parameters
    ----------
    image
        A survey image, or an array `(rows, columns)` or `(detectors, rows, columns)`.
    target
        Scalarizer; only needed if spectra are reported instead of target values.
    acquire
        Acquisition function.
    fov_nm
        Height and width of an array's field in nm. None: 1 nm for each pixel.

    Raises
    ------
    ValueError
        If the array has another number of axes, or the target is an automatic one,
        which is found from the spectra of a run.
    """

    def __init__(
        self,
        image: ScanImage | ArrayLike,
        *,
        target: Scalarizer | None = None,
        acquire: AcquisitionFunction | None = None,
        model: ModelSettings | None = None,
        goal: Goal | None = None,
        initial: InitialDesign | None = None,
        seed: int = 0,
        fov_nm: tuple[float, float] | None = None,
    ) -> None:
        if target is not None and target.is_automatic:
            raise ValueError(
                f"the target {target.kind!r} finds its band from a run's spectra: give "
                "an agent that is asked by hand a target with its band"
            )
        self._image = _scan_image(image, fov_nm)
        self._target = target
        self._policy = Policy(
            self._image,
            model=model or ModelSettings(),
            acquisition=acquire or LogExpectedImprovement(),
            goal=goal or Goal(),
            initial=initial or InitialDesign(),
            seed=seed,
        )
        self._asked = 0
        self._maps: PredictionMaps | None = None

    def ask(self, allowed: NDArray[np.bool_] | None = None) -> Proposal:
        """Return the next position to measure, which is pending until it is reported.

        `allowed` is True where a measurement is allowed, `(rows, columns)`.

        Raises `Exhausted` if every allowed pixel is measured or pending.
        """
        if allowed is None:
            allowed = np.ones(self._image.shape, dtype=np.bool_)
        proposal = self._policy.ask(self._asked, allowed)
        self._asked += 1
        self._maps = self._policy.maps(allowed) or self._maps
        return proposal

    def tell(
        self, place: Proposal, found: Spectrum | float, error: float = math.nan
    ) -> float:
        """Add the measurement at a position to the data, and return its target.

        `found` is a spectrum or the target itself, with its standard deviation `error`
        where it is known.

        Raises `ValueError` for a spectrum where the agent has no target.
        """
        exposure_s = 1.0
        if isinstance(found, Spectrum):
            if self._target is None:
                raise ValueError(
                    "this agent has no target to value a spectrum by: give Agent(…, "
                    "target=…), or tell it a number"
                )
            exposure_s = found.exposure_s
            value, error = self._target(found), self._target.error(found)
        else:
            value = float(found)
        self._policy.tell(place.row, place.column, value, error, exposure_s)
        return value

    @property
    def maps(self) -> PredictionMaps | None:
        """Predicted maps from which the latest position was chosen; None before."""
        return self._maps


def _scan_image(
    image: ScanImage | ArrayLike, fov_nm: tuple[float, float] | None
) -> ScanImage:
    if isinstance(image, ScanImage):
        return image
    data = np.asarray(image, dtype=np.float32)
    if data.ndim == 2:
        data = data[np.newaxis]
    if data.ndim != 3:
        raise ValueError(
            "an image has the shape (rows, columns) or (detectors, rows, columns); "
            f"got {data.shape}"
        )
    names = tuple(f"detector {number + 1}" for number in range(len(data)))
    rows, columns = data.shape[1:]
    return ScanImage(data, names, fov_nm or (float(rows), float(columns)), 1e-6)
