"""A fake microscope, a folder for records, and short runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fakes import FakeInstrument
from napari_hae.agent.acquisition import RandomChoice
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import Budget, ExperimentSettings
from napari_hae.experiment.stored import open_run
from napari_hae.experiment.survey import acquire_survey
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.regions.regions import MaskRegion

TIMEOUT_S = 60


def experiment(**sections) -> ExperimentSettings:
    return ExperimentSettings(
        **{
            "acquisition": RandomChoice(),
            "initial": InitialDesign(points=4),
            "budget": Budget(steps=12),
            **sections,
        }
    )


@dataclass
class Lab:
    """A fake microscope and a folder for records."""

    folder: object
    bare: FakeInstrument = field(default_factory=FakeInstrument)
    runs: int = 0

    def __post_init__(self) -> None:
        self.gate = GuardedInstrument(self.bare)
        self.gate.connect()

    def runner(self, settings: ExperimentSettings, **more) -> Runner:
        self.runs += 1
        if "regions" in more and "survey" not in more:
            # What regions close is not scanned again.
            more["survey"] = acquire_survey(self.gate, settings.survey)
        record = Record.create(
            self.folder / f"run{self.runs}",
            instrument="fake",
            instrument_settings=self.bare.settings,
            settings=settings,
        )
        return Runner(self.gate, record, settings, **more)

    def resumed(self, runner: Runner, steps: int, **more) -> Runner:
        past = open_run(runner.record.path, trust=True)
        budget = past.settings.budget.model_copy(update={"steps": steps})
        new = past.settings.model_copy(update={"budget": budget})
        record = Record.reopen(past)
        return Runner(self.gate, record, new, past=past, **more)


def run(runner: Runner) -> Runner:
    runner.start()
    assert runner.wait(TIMEOUT_S)
    return runner


def path_of(measurements) -> list[tuple[int, int]]:
    return [(m.proposal.row, m.proposal.column) for m in measurements]


def column_region(name: str, *columns: int, size: int = 8) -> MaskRegion:
    """Columns of a field of 80 nm."""
    mask = np.zeros((size, size), bool)
    mask[:, list(columns)] = True
    pixel_nm = 80.0 / size
    nm_to_pixel = np.array([[1 / pixel_nm, 0, -0.5], [0, 1 / pixel_nm, -0.5]])
    return MaskRegion(name, mask, nm_to_pixel)
