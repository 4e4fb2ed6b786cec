"""A simulated microscope whose true drift is known, and runs on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_hae.agent.acquisition import RandomChoice
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.experiment.record import Record
from napari_hae.experiment.runner import Runner
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    ExperimentSettings,
    MeasurementSettings,
    SurveySettings,
)
from napari_hae.instruments.gate import GuardedInstrument
from napari_hae.instruments.simulated import SimulatedMicroscope
from napari_hae.instruments.simulated_settings import SimulatedSettings

FOV_NM = 200.0
EXPOSURE_S = 0.1


class DriftingMicroscope(SimulatedMicroscope):
    """Writes down where on the sample each exposure went.

    Sample coordinates are those of the first survey image, of the middle of its scan.
    """

    def __init__(self, settings: SimulatedSettings) -> None:
        super().__init__(settings)
        self.exposed_nm: list[np.ndarray] = []
        self.scans = 0
        self._in_survey_nm: np.ndarray | None = None

    def jump(self, y_nm: float, x_nm: float) -> None:
        """Let the sample jump."""
        self._drift.offset_nm = self._drift.offset_nm + np.array([y_nm, x_nm])

    def _spectrum_at(self, position, detector, exposure_s, *, lit):
        beam_nm = np.array([position.y, position.x]) * self._settings.field_nm
        self.exposed_nm.append(beam_nm - self._drift.offset_nm + self._in_survey_nm)
        return super()._spectrum_at(position, detector, exposure_s, lit=lit)

    def _scan(self, *arguments):
        self.scans += 1
        before_nm = self._drift.offset_nm.copy()
        image = super()._scan(*arguments)
        if self._in_survey_nm is None:
            self._in_survey_nm = (before_nm + self._drift.offset_nm) / 2
        return image


def drifting(
    seed: int, px_per_step: float, *, side: int = 128, walk_px: float = 0.0, **more
) -> DriftingMicroscope:
    """A microscope that drifts by so many pixels an exposure, in a random direction.

    `walk_px` is the standard deviation of the random part, for each exposure.
    """
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    pixel_nm = FOV_NM / side
    speed = px_per_step * pixel_nm / EXPOSURE_S
    return DriftingMicroscope(
        SimulatedSettings(
            shape=(side, side),
            fov_nm=FOV_NM,
            seed=seed,
            noise_seed=seed,
            drift_y_nm_per_s=speed * np.sin(angle),
            drift_x_nm_per_s=speed * np.cos(angle),
            random_walk_nm=walk_px * pixel_nm / np.sqrt(EXPOSURE_S),
            **more,
        )
    )


def drift_experiment(steps: int, seed: int = 0, **drift) -> ExperimentSettings:
    """Random positions: what is chosen does not depend on what is measured."""
    return ExperimentSettings(
        acquisition=RandomChoice(),
        initial=InitialDesign(points=4),
        budget=Budget(steps=steps),
        measurement=MeasurementSettings(exposure_s=EXPOSURE_S),
        survey=SurveySettings(dwell_time_s=1e-5),
        drift=DriftSettings(**drift),
        seed=seed,
    )


@dataclass
class DriftLab:
    """A drifting microscope behind its gate, and a folder for records."""

    folder: object
    bare: DriftingMicroscope
    runs: int = 0
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate = GuardedInstrument(self.bare)
        self.gate.connect()

    def runner(self, settings: ExperimentSettings, **more) -> Runner:
        self.runs += 1
        record = Record.create(
            self.folder / f"drift{self.runs}",
            instrument="simulated",
            instrument_settings=self.bare._settings,
            settings=settings,
        )
        runner = Runner(self.gate, record, settings, **more)
        runner.events.warned.connect(self.warnings.append)
        return runner


def placing_errors_px(runner: Runner, bare: DriftingMicroscope) -> np.ndarray:
    """How far each exposure was from where it should have been, `(steps, 2)`."""
    wanted_nm = [(m.y_nm, m.x_nm) for m in runner.measurements]
    pixel_nm = FOV_NM / runner.survey.shape[0]
    return np.subtract(wanted_nm, bare.exposed_nm) / pixel_nm


def rms(errors: np.ndarray) -> float:
    """The root mean square of the errors' lengths."""
    return float(np.sqrt((errors**2).sum(axis=1).mean()))
