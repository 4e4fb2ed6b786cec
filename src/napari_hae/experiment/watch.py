"""Watches over a run, and says in words what a human might do something about."""

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
"""So many of the last measurements are looked at."""
REST = 20
"""A warning is over when it was not due for so many measurements."""
ENOUGH = 20
"""So many predictions are needed to judge calibration by."""
CHANCE, FACTOR = 1e-4, 2.0
"""Intervals are off if as many measurements inside are less probable than that, and
would fit ones so many times wider or narrower. They are tested at every step, which is
why the probability is small."""
NOTHING = 0.01
"""So much of a measurement's noise is no gain worth a measurement."""
IN_A_ROW = 30
"""So many proposals in a row promise nothing before that is told. Models do not know of
what looks like nothing that was measured: of 30 simulated runs of 300 steps, 21 found
something better, by more than the noise, after 5 such proposals in a row, but 1 of the
21 that come to 30 in a row, at half of them after 190 steps."""
SEARCH = frozenset({"goal", "scalarizer", "acquisition", "moves"})
"""Sections of the settings that say what is looked for, and how."""
STEPS_TIMED = 10


class Watch:
    """Finds what to warn of: each thing once, until it is over and comes again."""

    def __init__(self) -> None:
        self._seen: dict[Sign, int] = {}
        self._told: dict[Sign, str] = {}
        self._first = 0
        self.over: list[tuple[str, int]] = []
        """What was warned of and ended with the last look: the warning, and the step
        since which it does not hold."""

    def look(
        self, measurements: Sequence[Measurement], settings: ExperimentSettings
    ) -> list[str]:
        """What to warn of that was not due before; called after each measurement."""
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
        """Forget what was found of a search that is another one now; returns its texts.

        Called where what is looked for, how or where was changed, after so many
        measurements.
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
        """Remember what was warned of in an earlier session."""
        changed = set(_new_searches(journal))
        for count in range(len(measurements) + 1):
            if count:
                self.look(measurements[:count], settings)
            if count in changed:
                self.search_anew(count)


def stuck(measurements: Sequence[Measurement], settings: ExperimentSettings) -> str:
    """The criterion of `napari_hae.agent.traps`."""
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
    """Binomial tests of how many measurements lay inside their intervals."""
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
    """The best expected improvement is far below the noise of a measurement."""
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
    """The model stepped down."""
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
    """The agent takes longer for a step than the exposure."""
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
"""Those that are about one search only."""


def _new_searches(journal: Sequence[JournalEvent]) -> Iterator[int]:
    """Steps at which it was changed what is looked for, how or where."""
    for event in journal:
        match event:
            case RegionsEvent(step=step):
                yield step
            case SettingsEvent(step=step, changes=changes) if SEARCH & changes.keys():
                yield step


def _insights(measurements: Sequence[Measurement]) -> list[Insight]:
    return [m.proposal.insight for m in measurements if m.proposal.insight]


def _share(share: float, factor: float) -> float:
    """What an interval for a share holds when it is wider by a factor."""
    return float(2 * ndtr(factor * half_width(share)) - 1)


def _is_no_chance(hits: int, count: int, share: float) -> bool:
    return count >= ENOUGH and bool(binomtest(hits, count, share).pvalue < CHANCE)
