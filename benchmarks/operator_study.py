"""Does steering help? A scripted operator, the agent alone, and random sampling.

Each is a run of the product, with a record. A run ends when a pixel of the goal was
measured, which the operator is not told.

python benchmarks/operator_study.py [--seeds 20] [--steps 150]
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_hae.agent.acquisition import RandomChoice
from napari_hae.agent.policy_settings import MoveSettings
from napari_hae.agent.scalarizers import BandIntegral
from napari_hae.experiment.events import FinishReason
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings, LoopSettings
from napari_hae.instruments.gate import GuardedInstrument
from operator_samples import BAND_EV, SAMPLES, Microscope, Sample
from report import table, versions, write_section
from scripted_operator import EXPLORES, HABITS, Operator

if TYPE_CHECKING:
    from napari_hae.types import Measurement

STAYING = MoveSettings(leave_traps=False)
CASES = {
    **{name: (name, {}) for name in SAMPLES},
    "trap, agent set to stay": ("trap", {"moves": STAYING}),
}
RANDOM, ALONE, OPERATOR = "random", "agent alone", "with operator"
TEAMS: dict[str, tuple[str, ...]] = {RANDOM: (), ALONE: (), OPERATOR: HABITS}
METHODS = TEAMS | {habit: (habit,) for habit in HABITS}


@dataclass(frozen=True)
class Ending:
    """How a run went.

    Attributes
    ----------
    spectra
        Until the goal was measured; all of them if it never was.
    found
        Whether it was.
    acts
        What the operator did, with the number of spectra that it had seen.
    """

    spectra: int
    found: bool
    acts: list[tuple[int, str]]


def settings_of(seed: int, steps: int, **sections: object) -> ExperimentSettings:
    """What a run begins with: the default agent."""
    low_ev, high_ev = BAND_EV
    return ExperimentSettings(
        scalarizer=BandIntegral(low_ev=low_ev, high_ev=high_ev),
        loop=LoopSettings(lookahead=0, maps_every=steps),
        budget=Budget(steps=steps),
        seed=seed,
    ).replaced(**sections)


def run(
    sample: Sample,
    settings: ExperimentSettings,
    habits: tuple[str, ...],
    record_path: Path,
) -> Ending:
    """One run, with an operator of these habits."""
    bare = Microscope(sample, settings.seed)
    instrument = GuardedInstrument(bare)
    instrument.connect()
    record = Record.create(
        record_path,
        instrument=bare.title,
        instrument_settings=bare.settings_type(),
        settings=settings,
    )
    runner = Runner(instrument, record, settings)
    found: list[int] = []

    def check(measurement: Measurement) -> None:
        if sample.is_goal[measurement.proposal.row, measurement.proposal.column]:
            found.append(measurement.step)
            runner.stop()

    runner.events.measured.connect(check)
    operator = Operator(runner, BAND_EV, habits)
    runner.start()
    runner.wait()
    instrument.disconnect()
    if runner.finish_reason is FinishReason.FAILED:
        raise SystemExit(runner.finish_text)
    return Ending(len(runner.measurements), bool(found), operator.acts)


def endings(case: str, method: str, seeds: int, steps: int) -> list[Ending]:
    """One run for each seed, each on a sample of its own."""
    name, sections = CASES[case]
    if method == RANDOM:
        sections = sections | {"acquisition": RandomChoice()}
    ended = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            settings = settings_of(seed, steps, **sections)
            path = Path(folder) / "run"
            ended.append(run(SAMPLES[name](seed), settings, METHODS[method], path))
    quartiles = np.percentile([each.spectra for each in ended], [25, 50, 75])
    print(f"{case}: {method}: {quartiles}", flush=True)
    return ended


Endings = dict[tuple[str, str], list[Ending]]


def main_table(ended: Endings) -> str:
    """Steps to the goal, and how often it was not reached."""
    rows = []
    for case in CASES:
        for method in TEAMS:
            of = ended[case, method]
            low, middle, high = np.percentile([e.spectra for e in of], [25, 50, 75])
            row = [case, method, f"{middle:.3g}", f"{low:.3g}–{high:.3g}"]
            never = sum(not each.found for each in of)
            rows.append([*row, f"{never}/{len(of)}", _factor(ended, case, method)])
    header = ["sample", "method", "median steps", "quartiles", "never", "times faster"]
    return table(header, rows)


def habits_table(ended: Endings) -> str:
    """What an operator with one habit alone needs."""
    rows = []
    for case in CASES:
        medians = (
            f"{_median(ended[case, method]):.3g}" if (case, method) in ended else "–"
            for method in (ALONE, *HABITS)
        )
        rows.append([case, *medians])
    return table(["sample", ALONE, *HABITS], rows)


def acts_table(ended: Endings) -> str:
    """How many of the operator's runs had an intervention, and when it came."""
    rows = []
    for case in CASES:
        acts = [act for each in ended[case, OPERATOR] for act in each.acts]
        cells = []
        for habit in HABITS:
            when = [known for known, done in acts if done == habit]
            cells.append(f"{len(when)} ({np.median(when):.3g})" if when else "0")
        rows.append([case, *cells])
    return table(["sample", *HABITS], rows)


def _median(of: list[Ending]) -> float:
    return float(np.median([each.spectra for each in of]))


def _factor(ended: Endings, case: str, method: str) -> str:
    if method != OPERATOR:
        return ""
    alone, steered = ended[case, ALONE], ended[case, OPERATOR]
    # A median that is cut off at the last step is larger than it looks.
    at_least = "≥ " if np.median([each.found for each in alone]) < 1 else ""
    return f"{at_least}{_median(alone) / _median(steered):.1f}"


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150)
    given = parser.parse_args()
    size = given.seeds, given.steps
    ended = {(c, method): endings(c, method, *size) for c in CASES for method in TEAMS}
    for case in CASES:
        used = {what for each in ended[case, OPERATOR] for _, what in each.acts}
        # An operator who does nothing else is stuck where the whole one is not.
        used.add(EXPLORES)
        for habit in (habit for habit in HABITS if habit in used):
            ended[case, habit] = endings(case, habit, *size)
    write_section(
        "operator",
        f"{versions()}\n\n{given.seeds} seeds, EI. Steps to the goal; "
        f"{given.steps} at most, which count for runs that never reached it:\n\n"
        f"{main_table(ended)}\n\nThe operator's interventions: in how many of "
        f"its runs, and after how many spectra (median):\n\n{acts_table(ended)}\n\n"
        f"Median steps of an operator who does nothing but one of these (–: not done "
        f"there):\n\n"
        f"{habits_table(ended)}",
    )


if __name__ == "__main__":
    main()
