"""Monitoring of a run, for conditions that the user might remedy."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from scipy.special import ndtr
from scipy.stats import binomtest

from napari_hae.experiment.insight import half_width, inside
from napari_hae.experiment.journal_events import RegionsEvent, SettingsEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_hae.diagnostics import Insight
    from napari_hae.experiment.journal_events import JournalEvent
    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.types import Measurement

    Sign = Callable[[Sequence[Measurement], ExperimentSettings], str]

RECENT = 50
"""Number of most recent measurements that are examined."""
REST = 20
"""Number of measurements without its condition after which a warning is over."""
ENOUGH = 20
"""Smallest number of predictions to judge calibration."""
CHANCE, FACTOR = 1e-4, 2.0
"""Intervals are miscalibrated if the number of measurements inside is less probable
than `CHANCE`, and would fit intervals wider or narrower by `FACTOR`. They are tested at
every step, which is why the probability is small."""
NOTHING = 0.01
"""Fraction of a measurement's noise that is no gain worth a measurement."""
IN_A_ROW = 30
"""Number of consecutive proposals without expected gain before the warning. Models do
not know places that resemble no measured one: of 30 simulated runs of 300 steps, 21
found something better, by more than the noise, after 5 such proposals in a row, but 1
of the 21 that come to 30 in a row, at half of them after 190 steps."""
SEARCH = frozenset({"goal", "scalarizer", "acquisition", "moves"})
"""Sections of the settings that define the goal and the method of the search."""
STEPS_TIMED = 10


class Watch:
    """Monitor that issues each warning once, until it is over and comes again."""

    def __init__(self) -> None:
        self._seen: dict[Sign, int] = {}
        self._told: dict[Sign, str] = {}
        self._first = 0
        self.over: list[tuple[str, int]] = []
        """Warnings that ended at the last look: the warning, and the step since which
        it does not apply."""

    def look(
        self, measurements: Sequence[Measurement], settings: ExperimentSettings
    ) -> list[str]:
        """Return warnings that are newly due; called after each measurement."""
        count, texts = len(measurements), []
        sought = measurements[self._first :]
        for sign in SIGNS:
            looked_at = sought if sign in OF_SEARCH else measurements
            if text := sign(looked_at[-RECENT:], settings):
                if count - self._seen.get(sign, -REST - 1) > REST:
                    texts.append(text)
                    self._told[sign] = text
                self._seen[sign] = count
        ended = [sign for sign in self._told if count - self._seen[sign] >= REST]
        self.over = [(self._told.pop(sign), self._seen[sign]) for sign in ended]
        return texts

    def search_anew(self, count: int) -> list[str]:
        """Forget the findings on the previous search; return the texts of its warnings.

        Called after a change of goal, method or area of the search, with the number of
        measurements so far.
        """
        # One place may have been chosen ahead.
        self._first = count + 1
        for sign in OF_SEARCH:
            self._seen.pop(sign, None)
        return [self._told.pop(sign) for sign in OF_SEARCH if sign in self._told]

    def catch_up(
        self,
        measurements: Sequence[Measurement],
        settings: ExperimentSettings,
        journal: Sequence[JournalEvent] = (),
    ) -> None:
        """Remember the warnings of an earlier session."""
        changed = set(_new_searches(journal))
        for count in range(len(measurements) + 1):
            if count:
                self.look(measurements[:count], settings)
            if count in changed:
                self.search_anew(count)


def stuck(measurements: Sequence[Measurement], settings: ExperimentSettings) -> str:
    """Return a warning if the search is stuck, by `napari_hae.agent.traps`."""
    insights = _insights(measurements)
    if not (insights and insights[-1].trapped):
        return ""
    moves = settings.moves
    what = (
        f"The last {moves.patience} measurements found nothing better, all in places "
        "that look alike. "
    )
    if moves.leave_traps:
        return what + (
            "The agent measures where it is least certain until it is elsewhere. If it "
            "comes back, explore more or paint a forbidden zone there."
        )
    return what + (
        'Switch on "Leave traps", explore more, or paint a forbidden zone there.'
    )


def badly_calibrated(
    measurements: Sequence[Measurement], settings: ExperimentSettings
) -> str:
    """Return a warning if binomial tests of the intervals show miscalibration."""
    hits, count = inside(measurements, 0.9)
    if hits < count * _share(0.9, 1 / FACTOR) and _is_no_chance(hits, count, 0.9):
        return (
            f"Only {hits} of the last {count} measurements lay inside their 90 % "
            "intervals: the model is too sure of itself. Explore more, measure some "
            "places of your own choice, or change the model's kernel."
        )
    hits, count = inside(measurements, 0.5)
    if hits > count * _share(0.5, FACTOR) and _is_no_chance(hits, count, 0.5):
        return (
            f"{hits} of the last {count} measurements lay inside their 50 % intervals: "
            "the model is less sure than it could be, and explores more than it needs "
            "to. Explore less, or change the model's kernel."
        )
    return ""


def nothing_to_gain(
    measurements: Sequence[Measurement], settings: ExperimentSettings
) -> str:
    """Return a warning if expected improvements are far below the noise."""
    insights = _insights(measurements)[-IN_A_ROW:]
    if len(insights) < IN_A_ROW or not all(
        each.gain < NOTHING * each.noise_std for each in insights
    ):
        return ""
    percent = 100 * insights[-1].gain / insights[-1].noise_std
    return (
        "Nothing is left to gain, by the model: the best place promises an improvement "
        f"of {percent:.1g} % of the noise of a measurement, and for {IN_A_ROW} "
        "proposals none promised more. Stop, widen the regions, expose longer, measure "
        "where it looks different, or look for something else."
    )


def fit_failing(
    measurements: Sequence[Measurement], settings: ExperimentSettings
) -> str:
    """Return a warning if the model fell back to a simpler one."""
    insights = _insights(measurements)
    if not (insights and insights[-1].fit_failed):
        return ""
    return (
        "The model could not be fitted; the agent goes on with a simpler one. Look for "
        "outliers among the targets, check the band, or choose another model."
    )


def agent_slow(
    measurements: Sequence[Measurement], settings: ExperimentSettings
) -> str:
    """Return a warning if the agent takes longer for a step than the exposure."""
    timed = [m for m in measurements if m.times and m.proposal.insight][-STEPS_TIMED:]
    if len(timed) < STEPS_TIMED:
        return ""
    agent_s = statistics.median(m.times.agent_s for m in timed if m.times)
    exposure_s = statistics.median(m.spectrum.exposure_s for m in timed)
    if agent_s <= exposure_s:
        return ""
    return (
        f"The agent takes {1e3 * agent_s:.0f} ms for a step, longer than the exposure "
        f"of {1e3 * exposure_s:.3g} ms: the beam waits. Choose more positions at once, "
        "a coarser survey image or a region of interest, or expose longer."
    )


SIGNS: tuple[Sign, ...] = (
    stuck,
    badly_calibrated,
    nothing_to_gain,
    fit_failing,
    agent_slow,
)


OF_SEARCH: tuple[Sign, ...] = (stuck, nothing_to_gain)
"""Warnings that concern one search only."""


def _new_searches(journal: Sequence[JournalEvent]) -> Iterator[int]:
    """Return the steps at which goal, method or area of the search was changed."""
    for event in journal:
        match event:
            case RegionsEvent(step=step):
                yield step
            case SettingsEvent(step=step, changes=changes) if SEARCH & changes.keys():
                yield step


def _insights(measurements: Sequence[Measurement]) -> list[Insight]:
    return [m.proposal.insight for m in measurements if m.proposal.insight]


def _share(share: float, factor: float) -> float:
    """Return the probability of an interval after widening it by a factor."""
    return float(2 * ndtr(factor * half_width(share)) - 1)


def _is_no_chance(hits: int, count: int, share: float) -> bool:
    return count >= ENOUGH and bool(binomtest(hits, count, share).pvalue < CHANCE)
