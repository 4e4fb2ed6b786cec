"""The policy: ask for the next position, tell its result."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.acquisition import MaximumUncertainty
from napari_hae.agent.exposure_cost import expected_exposure_s
from napari_hae.agent.feature_space import ModelSpace
from napari_hae.agent.initial import design_point
from napari_hae.agent.insight import Choice, insight_of
from napari_hae.agent.learned import Learned
from napari_hae.agent.policy_settings import MoveSettings
from napari_hae.agent.posterior import Posterior
from napari_hae.agent.preference import with_preference
from napari_hae.agent.threads import one_thread
from napari_hae.agent.traps import is_trapped
from napari_hae.agent.travel import with_travel_cost
from napari_hae.coordinates import FieldFrame
from napari_hae.diagnostics import Insight
from napari_hae.types import ChosenBy, PredictionMaps, Proposal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.agent.acquisition import AcquisitionFunction
    from napari_hae.agent.goal import Goal
    from napari_hae.agent.model_settings import ModelSettings
    from napari_hae.agent.policy_settings import InitialDesign
    from napari_hae.agent.surrogate import Surrogate
    from napari_hae.types import ScanImage

    Array = NDArray[np.float64]

logger = logging.getLogger(__name__)

NAN = float("nan")


class Exhausted(Exception):
    """Error: no allowed candidate is left to measure."""


LOADING = "loading the model (PyTorch)"
DESCRIBING = "describing the survey image for the model"
FITTING = "fitting the model"
CHOOSING = "choosing the next place"


class Policy:
    """Owner of the data, the seed and the pending points of one experiment.

    Candidates are the pixels of the survey image. The same seed and the same calls give
    the same proposals. Not thread-safe: use from one thread at a time.

    Parameters
    ----------
    image
        The survey image.
    """

    def __init__(
        self,
        image: ScanImage,
        *,
        model: ModelSettings,
        acquisition: AcquisitionFunction,
        goal: Goal,
        initial: InitialDesign,
        seed: int,
        moves: MoveSettings | None = None,
    ) -> None:
        self._image = image
        self._frame = FieldFrame.of(image)
        self._model, self._acquisition = model, acquisition
        self._goal, self._initial, self._seed = goal, initial, seed
        self._moves = moves or MoveSettings()
        self._data = Learned(self._frame.shape)
        self._surrogate: Surrogate | None = None
        self._space = ModelSpace()
        self._is_stale = True
        self._reachable = np.ones(self._frame.shape, dtype=bool)
        self._posterior: Posterior | None = None
        self._values: Array = np.empty(0)
        self.doing = CHOOSING
        """Description of its current activity, for display; may be read from any
        thread."""

    @property
    def known(self) -> int:
        """Number of measurements in its data."""
        return self._data.known

    @property
    def best(self) -> float:
        """Best known target; NaN if there is none."""
        return self._goal.best(self._data.targets)

    @property
    def noise_std(self) -> float:
        """Standard deviation of one measurement's noise, as fitted; NaN before."""
        return NAN if self._surrogate is None else self._surrogate.noise_std

    @property
    def is_trapped(self) -> bool:
        """Return whether recent measurements in similar places found no improvement.

        Similar in comparison with the candidates in reach when it was last asked.
        """
        if self._surrogate is None or not self._surrogate.is_fitted:
            return False
        measured, targets, *_ = self._data.of_training()
        recent = measured[-self._moves.patience :]
        seen, spread = self._surrogate.likeness(recent, self._within_reach(recent))
        utilities = self._goal.utility_of(targets)
        return is_trapped(utilities, seen, spread, self.noise_std)

    @one_thread
    def prepare(self) -> None:
        """Prepare the model's inputs from the survey image, before the first `ask`."""
        if self._surrogate is None and self._acquisition.needs_model:
            self._surrogate = self._new_surrogate()

    def configure(
        self,
        *,
        model: ModelSettings | None = None,
        acquisition: AcquisitionFunction | None = None,
        goal: Goal | None = None,
        initial: InitialDesign | None = None,
        moves: MoveSettings | None = None,
    ) -> None:
        """Replace settings; measurements are kept, a changed model is fitted again."""
        if model is not None and model != self._model:
            self._model, self._surrogate, self._is_stale = model, None, True
        self._acquisition = acquisition or self._acquisition
        self._goal, self._initial = goal or self._goal, initial or self._initial
        self._moves = moves or self._moves
        self._posterior = None

    @one_thread
    def ask(
        self,
        step: int,
        allowed: NDArray[np.bool_],
        attempt: int = 0,
        preference: Array | None = None,
        reachable: NDArray[np.bool_] | None = None,
    ) -> Proposal:
        """Return the next position to measure; its candidate becomes pending.

        Parameters
        ----------
        step
            Number of the step, from 0.
        allowed
            Shape `(rows, columns)`, True where a measurement is allowed.
        attempt
            Number of earlier calls for this step.
        preference
            Shape `(rows, columns)`: preference for each place, in standard deviations
            of the acquisition function; ignored by the initial design.
        reachable
            Shape `(rows, columns)`: candidates for detecting a trap and for scaling
            preferences and costs, where `allowed` is only a part of those that the
            experiment could measure.

        Raises
        ------
        Exhausted
            If every allowed candidate is measured or pending.
        ValueError
            If `allowed` or `preference` has another shape than the survey image.
        """
        open_ = self._data.open(allowed)
        self._reachable = np.array(allowed if reachable is None else reachable)
        if not open_.any():
            raise Exhausted("every allowed position is measured")
        too_few = step < self._initial.points or self._data.usable.sum() < 2
        if self._acquisition.needs_model and too_few:
            row, column = design_point(self._initial, step, open_, self._seed)
            return self._proposal(step, row, column, ChosenBy.INITIAL)
        wanted = self._data.by_candidate(preference)
        return self._best_candidate(step, open_, attempt, wanted)

    def tell(
        self,
        row: int,
        column: int,
        target: float,
        error: float = math.nan,
        exposure_s: float = 1.0,
    ) -> None:
        """Add the measurement of a pixel to the data.

        A target of NaN is excluded from training; its pixel is not proposed again. The
        error is the standard deviation of the target from counting statistics, NaN
        where it is not known.
        """
        self._data.add(row, column, target, error, exposure_s)
        self._posterior = None
        self._is_stale |= bool(np.isfinite(target))

    @one_thread
    def choose(
        self,
        step: int,
        row: int,
        column: int,
        chosen_by: ChosenBy,
        allowed: NDArray[np.bool_] | None = None,
        preference: Array | None = None,
    ) -> Proposal:
        """Return the proposal of a pixel chosen by others; it becomes pending.

        With `allowed` the proposal includes the agent's assessment of it among all open
        candidates, for which the model is fitted; see `ask`. Without, it is returned at
        once, and does not depend on the last measurement, which may still be running.
        """
        predicted = None
        if allowed is not None and self._data.usable.sum() >= 2:
            predicted = self._predicted()
        if allowed is None or predicted is None:
            known = min(self.known, max(step - 1, 0))
            made = self._proposal(step, row, column, chosen_by)
            best = self._goal.best(self._data.targets[:known])
            return replace(made, known=known, best=best)
        open_ = self._data.open(allowed)
        open_[row, column] = True
        self._reachable = np.array(allowed)
        rng = np.random.default_rng([self._seed, step, 0, 1])
        wanted = self._data.by_candidate(preference)
        choice = self._choice(step, predicted, open_, rng, wanted, leaving=False)
        choice = replace(choice, chosen=row * self._frame.shape[1] + column)
        return self._explained(step, choice, chosen_by, trapped=self.is_trapped)

    def expect(self, row: int, column: int) -> None:
        """Mark a pixel as pending without a proposal."""
        self._data.expect(row, column)
        self._posterior = None

    def withdraw(self, row: int, column: int) -> None:
        """Make a pixel that is pending open again; others are not affected."""
        self._data.withdraw(row, column)
        self._posterior = None

    def retarget(self, targets: Sequence[float], errors: Sequence[float]) -> None:
        """Replace targets and errors of all measurements, in the order of `tell`."""
        self._data.retarget(targets, errors)
        self._is_stale, self._posterior = True, None

    @one_thread
    def refresh(self) -> None:
        """Fit the model if there are new data; `ask` does so itself."""
        measured, targets, errors, _ = self._data.of_training()
        if not (self._is_stale and self._acquisition.needs_model and len(measured)):
            return
        self.prepare()
        assert self._surrogate is not None
        self.doing = FITTING
        self._surrogate.fit(measured, targets, errors)
        self.doing = CHOOSING
        self._is_stale, self._posterior = False, None

    def maps(self, allowed: NDArray[np.bool_]) -> PredictionMaps | None:
        """Return predictions and acquisition values of the last `ask`, per candidate.

        None before the model was fitted, or if none is used.
        """
        if self._posterior is None:
            return None
        shown = np.where(self._data.open(allowed).ravel(), self._values, NAN)
        mean, std = self._posterior.mean, self._posterior.std
        planes = (
            plane.reshape(self._frame.shape).astype(np.float32)
            for plane in (mean, std, shown)
        )
        return PredictionMaps(self.known, *planes)

    @one_thread
    def picture(self) -> NDArray[np.float32] | None:
        """Embedding of all candidates, `(n, 2)`; None before the model was fitted.

        It rotates as little as possible from one fit to the next.
        """
        self._space.update(self._surrogate)
        return self._space.picture

    def _within_reach(self, recent: NDArray[np.intp]) -> NDArray[np.intp] | None:
        """Return recent measurements and open candidates; None for the whole field."""
        if self._reachable.all():
            # Hardly any are measured, and the variance over all of them is known
            # already.
            return None
        # Candidates that cannot be measured are no way out of a trap, however
        # different.
        within_reach = self._data.open(self._reachable)
        within_reach.flat[recent] = True
        return np.flatnonzero(within_reach)

    def _best_candidate(
        self,
        step: int,
        open_: NDArray[np.bool_],
        attempt: int,
        preference: Array | None,
    ) -> Proposal:
        rng = np.random.default_rng([self._seed, step, attempt, 1])
        predicted = self._predicted()
        trapped = predicted is not None and self.is_trapped
        leaving = trapped and self._moves.leave_traps
        choice = self._choice(step, predicted, open_, rng, preference, leaving=leaving)
        if predicted is not None:
            proposal = self._explained(step, choice, ChosenBy.AGENT, trapped=trapped)
        else:
            failed = Insight(fit_failed=True) if self._acquisition.needs_model else None
            proposal = self._described(step, choice, ChosenBy.AGENT, failed)
        # The maps belong to this proposal, although its pixel is pending by now.
        self._posterior, self._values = predicted, choice.values
        return proposal

    def _explained(
        self, step: int, choice: Choice, chosen_by: ChosenBy, *, trapped: bool
    ) -> Proposal:
        """Return the proposal of a place, with the model's diagnostics."""
        assert self._surrogate is not None
        places = self._moves.places
        insight = insight_of(choice, self._surrogate, trapped=trapped, places=places)
        return self._described(step, choice, chosen_by, insight)

    def _described(
        self, step: int, choice: Choice, chosen_by: ChosenBy, insight: Insight | None
    ) -> Proposal:
        row, column = divmod(choice.chosen, self._frame.shape[1])
        planes = (choice.predicted.mean, choice.predicted.std, choice.values)
        mean, std, value = (float(plane[choice.chosen]) for plane in planes)
        return self._proposal(
            *(step, row, column, chosen_by),
            mean=mean,
            std=std,
            value=value,
            insight=insight,
        )

    def _choice(
        self,
        step: int,
        predicted: Posterior | None,
        open_: NDArray[np.bool_],
        rng: np.random.Generator,
        preference: Array | None,
        *,
        leaving: bool,
    ) -> Choice:
        """Choose one of the open candidates."""
        acquisition = MaximumUncertainty() if leaving else self._acquisition.at(step)
        nothing = np.full(open_.size, NAN)
        posterior = predicted or Posterior(nothing, nothing, sample=lambda rng: nothing)
        utility, best, values = posterior, NAN, nothing
        # Used also where fewer may be chosen; measured or closed candidates carry no
        # information on the differences among those in reach.
        in_reach = (open_ | self._data.open(self._reachable)).ravel()
        if predicted is not None and not leaving:
            utility = self._goal.utility(predicted)
            best = self._best_utility(utility)
        if predicted is not None or not acquisition.needs_model:
            values = _valued(acquisition, utility, best, rng)
            values = self._with_costs(values, acquisition, posterior, in_reach)
        if preference is not None:
            unit = acquisition.unit(values[in_reach])
            values = with_preference(values, preference, unit)
        chosen = _largest(np.where(open_.ravel(), values, NAN), open_.ravel(), rng)
        return Choice(chosen, open_, posterior, utility, best, values, acquisition)

    def _predicted(self) -> Posterior | None:
        """Return the newest prediction; None if none is used, or none can be made."""
        if not self._acquisition.needs_model:
            return None
        try:
            self.refresh()
            assert self._surrogate is not None
            return self._surrogate.posterior(self._data.pending)
        except (np.linalg.LinAlgError, RuntimeError):
            # Whatever the libraries raise: the experiment continues.
            logger.exception("the model gives no prediction")
            return None

    def _best_utility(self, utility: Posterior) -> float:
        # The model's mean at the best measurement, not the largest noisy value: a lucky
        # one would make everything else look hopeless.
        return float(utility.mean[self._data.of_training()[0]].max())

    def _with_costs(
        self,
        values: Array,
        acquisition: AcquisitionFunction,
        posterior: Posterior,
        in_reach: NDArray[np.bool_],
    ) -> Array:
        """Return values less the costs of the measurement and of the travel, `(n,)`."""
        if self._moves.per_exposure and acquisition.needs_model:
            _, targets, _, exposures_s = self._data.of_training()
            cost = expected_exposure_s(posterior.mean, targets, exposures_s)
            values = acquisition.per_cost(values, cost)
        beam, across = self._data.newest, self._moves.travel_cost
        if beam is None or not across:
            return values
        weight = across * acquisition.unit(values[in_reach])
        return with_travel_cost(values, self._frame.shape, beam, weight)

    def _proposal(
        self,
        step: int,
        row: int,
        column: int,
        chosen_by: ChosenBy,
        *,
        mean: float = NAN,
        std: float = NAN,
        value: float = NAN,
        insight: Insight | None = None,
    ) -> Proposal:
        self.expect(row, column)
        return Proposal(
            step=step,
            row=row,
            column=column,
            position=self._frame.position(row, column),
            mean=mean,
            std=std,
            value=value,
            best=self.best,
            chosen_by=chosen_by,
            known=self.known,
            insight=insight,
        )

    def _new_surrogate(self) -> Surrogate:
        self.doing = LOADING
        # torch is imported when a model is first needed, not before.
        from napari_hae.agent.surrogate import Surrogate

        self.doing = DESCRIBING
        return Surrogate(self._image.data, self._model, seed=self._seed)


def _valued(
    acquisition: AcquisitionFunction,
    posterior: Posterior,
    best: float,
    rng: np.random.Generator,
) -> Array:
    """Return the values of an acquisition function, which may be third-party code.

    Raises
    ------
    ValueError
        If it fails, or does not give one number for each candidate.
    """
    count, title = len(posterior.mean), acquisition.title
    try:
        values = np.asarray(acquisition(posterior, best, rng), dtype=np.float64)
    except Exception as error:
        raise ValueError(
            f"the acquisition function {title!r} failed: {type(error).__name__}: "
            f"{error}"
        ) from error
    if values.shape != (count,):
        raise ValueError(
            f"the acquisition function {title!r} gave values of shape {values.shape}: "
            f"one for each of {count} candidates is needed, ({count},)"
        )
    return values


def _largest(values: Array, open_: NDArray[np.bool_], rng: np.random.Generator) -> int:
    """Return the index of the largest finite value, with ties broken at random.

    Where fewer candidates are open, it is the same one as long as that is among them.
    """
    usable = np.isfinite(values)
    if usable.any():
        top = np.flatnonzero(usable & (values == values[usable].max()))
    else:
        logger.warning("the acquisition function gives no value: chosen at random")
        top = np.flatnonzero(open_)
    if len(top) == 1:
        return int(top[0])
    return int(top[rng.random(len(values))[top].argmax()])
