"""References for the live model: the mature model, the full model, and the truth.

The *live* model is the one that the run refitted at each step. The *mature* one is
trained on the final data. The *full* one is trained on the ground truth, and so shows
the error that remains with sufficient data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.bands import choose_band
from napari_hae.agent.scalarizers import BandScalarizer, Scalarizer
from napari_hae.experiment.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_hae.experiment.forensics.truth import Truth
    from napari_hae.experiment.stored import StoredRun
    from napari_hae.types import Measurement

    Array = NDArray[np.float64]

FULL_POINTS = 500
"""Number of training pixels of the full model, spread evenly over the field: training
on all pixels would take hours and add little."""


@dataclass(frozen=True, eq=False)
class References:
    """Maps of one target for every pixel, `(rows, columns)`.

    Attributes
    ----------
    mature
        Prediction of the model from the final data.
    truth
        True target; None if there is no ground truth.
    full
        Prediction of the model from the truth; None if there is no ground truth.
    """

    mature: Array
    truth: Array | None = None
    full: Array | None = None

    @property
    def best_known(self) -> Array:
        """Return the truth if there is one, else the mature model's map."""
        return self.mature if self.truth is None else self.truth

    def named(self) -> dict[str, Array]:
        """Return the available maps, by name."""
        maps = {"mature": self.mature, "full": self.full, "truth": self.truth}
        return {name: map_ for name, map_ in maps.items() if map_ is not None}


class ReferenceMaker:
    """Builder of references, once for each scalarizer that was in force.

    Parameters
    ----------
    truth
        The ground truth, if there is one.
    on_part
        Called before each part of the work; may raise to cancel it.
    """

    def __init__(
        self,
        run: StoredRun,
        truth: Truth | None,
        on_part: Callable[[], None] = lambda: None,
    ) -> None:
        self._run, self._truth, self._on_part = run, truth, on_part
        self._made: dict[str, References] = {}

    def of(self, scalarizer: Scalarizer) -> References:
        """Return the references for the targets of a scalarizer."""
        key = scalarizer.model_dump_json()
        if key not in self._made:
            self._made[key] = self._make(scalarizer)
        return self._made[key]

    def _make(self, scalarizer: Scalarizer) -> References:
        run = self._run
        columns = run.frame.shape[1]
        places = np.array(
            [m.proposal.row * columns + m.proposal.column for m in run.measurements]
        )
        values, errors = scored(run.measurements, scalarizer)
        # Discarded spectra are excluded from the final data.
        values[[not m.usable for m in run.measurements]] = np.nan
        self._on_part()
        mature = predicted(run, places, values, errors)
        if self._truth is None:
            return References(mature)
        truth = self._truth.targets(scalarizer, self._on_part)
        self._on_part()
        spread = evenly_spread(run.frame.shape, FULL_POINTS)
        full = predicted(run, spread, truth.ravel()[spread])
        return References(mature, truth, full)


def scored(
    measurements: Sequence[Measurement], scalarizer: Scalarizer
) -> tuple[Array, Array]:
    """Return the targets of a scalarizer and their errors, in order."""
    targets = Targets(scalarizer)
    for measurement in measurements:
        targets.add(targets.score(measurement))
    return np.array(targets.values), np.array(targets.errors)


def predicted(
    run: StoredRun,
    places: NDArray[np.intp],
    targets: Array,
    errors: Array | None = None,
) -> Array:
    """Return the map that the run's model predicts from targets, `(rows, columns)`.

    Raises
    ------
    ValueError
        If none of the targets is a number.
    """
    from napari_hae.agent.surrogate import Surrogate

    assert run.survey is not None
    usable = np.isfinite(targets)
    surrogate = Surrogate(run.survey.data, run.settings.model, seed=run.settings.seed)
    known = None if errors is None else np.nan_to_num(errors)[usable]
    surrogate.fit(places[usable], targets[usable], known)
    return surrogate.posterior().mean.reshape(run.frame.shape)


def evenly_spread(shape: tuple[int, int], points: int) -> NDArray[np.intp]:
    """Return indices of about this many pixels on a square grid, or all of a few."""
    rows, columns = shape
    step = max(1.0, float(np.sqrt(rows * columns / points)))
    down, across = (
        np.arange(step / 2, size, step).astype(np.intp) for size in (rows, columns)
    )
    return (down[:, None] * columns + across).ravel()


def decided(run: StoredRun) -> StoredRun:
    """Return the run, with a band if it ended before choosing one."""
    scalarizer = run.settings.scalarizer
    if not (isinstance(scalarizer, BandScalarizer) and scalarizer.is_automatic):
        return run
    if not run.measurements:
        return run
    band = choose_band([m.spectrum for m in run.measurements])
    banded = scalarizer.with_band(*band)
    targets = Targets(banded)
    for measurement in run.measurements:
        targets.add(targets.score(measurement))
    settings = run.settings.model_copy(update={"scalarizer": banded})
    return replace(run, settings=settings, measurements=targets.measurements)
