"""The public names: what scripts, notebooks and other packages may rely on.

Only what is listed here keeps its name and meaning from version to version; everything
else may move. `docs/api.md` explains it.
"""

from __future__ import annotations

from napari_hae import instruments
from napari_hae.agent.acquisition import AcquisitionFunction
from napari_hae.agent.acquisition import ExpectedImprovement as EI
from napari_hae.agent.acquisition import LogExpectedImprovement as LogEI
from napari_hae.agent.acquisition import MaximumUncertainty as MaxUncertainty
from napari_hae.agent.acquisition import ProbabilityOfImprovement as PI
from napari_hae.agent.acquisition import RandomChoice as Random
from napari_hae.agent.acquisition import ThompsonSampling as Thompson
from napari_hae.agent.acquisition import UpperConfidenceBound as UCB
from napari_hae.agent.ask_tell import Agent
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy import Exhausted
from napari_hae.agent.policy_settings import InitialDesign
from napari_hae.agent.posterior import Posterior
from napari_hae.agent.scalarizers import BandIntegral as Band
from napari_hae.agent.scalarizers import (
    BandMaximum,
    BandRatio,
    BandScalarizer,
    CentreOfMass,
    PeakEnergy,
    Scalarizer,
    ScalarizerError,
)
from napari_hae.agent.schedule import Schedule
from napari_hae.agent.similarity import SimilarityToTarget
from napari_hae.experiment.export import to_hyperspy
from napari_hae.experiment.scripted import Experiment, RunFailed
from napari_hae.experiment.settings import (
    Budget,
    DriftSettings,
    ExperimentSettings,
    LoopSettings,
    MeasurementSettings,
    SurveySettings,
)
from napari_hae.experiment.stored import StoredRun as RunRecord
from napari_hae.experiment.stored import open_run as open
from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    BlankingFailed,
    Busy,
    Capabilities,
    DoseExceeded,
    FieldChanged,
    ForbiddenPosition,
    Instrument,
    InstrumentError,
    Interval,
    LocalDoseExceeded,
    NotConnected,
    OutOfRange,
    SpectrumDetector,
    Status,
    Unsupported,
)
from napari_hae.instruments.conformance import ConformanceError, check_instrument
from napari_hae.instruments.dose import DoseLimits
from napari_hae.regions.disc import Disc
from napari_hae.regions.drawn import MaskRegion as Mask
from napari_hae.regions.drawn import PolygonRegion as Polygon
from napari_hae.regions.regions import Regions, SoftRegion
from napari_hae.settings_base import Settings
from napari_hae.types import (
    Area,
    BeamState,
    ChosenBy,
    EnergyAxis,
    Measurement,
    PredictionMaps,
    ProbePosition,
    Proposal,
    ScanImage,
    Spectrum,
)

__all__ = [
    "EI",
    "PI",
    "UCB",
    "Aborted",
    "AcquisitionFunction",
    "AcquisitionTimeout",
    "Agent",
    "Area",
    "Band",
    "BandMaximum",
    "BandRatio",
    "BandScalarizer",
    "BeamState",
    "BlankingFailed",
    "Budget",
    "Busy",
    "Capabilities",
    "CentreOfMass",
    "ChosenBy",
    "ConformanceError",
    "Disc",
    "DoseExceeded",
    "DoseLimits",
    "DriftSettings",
    "EnergyAxis",
    "Exhausted",
    "Experiment",
    "ExperimentSettings",
    "FieldChanged",
    "ForbiddenPosition",
    "Goal",
    "InitialDesign",
    "Instrument",
    "InstrumentError",
    "Interval",
    "LocalDoseExceeded",
    "LogEI",
    "LoopSettings",
    "Mask",
    "MaxUncertainty",
    "Measurement",
    "MeasurementSettings",
    "ModelSettings",
    "NotConnected",
    "OutOfRange",
    "PeakEnergy",
    "Polygon",
    "Posterior",
    "PredictionMaps",
    "ProbePosition",
    "Proposal",
    "Random",
    "Regions",
    "RunFailed",
    "RunRecord",
    "Scalarizer",
    "ScalarizerError",
    "ScanImage",
    "Schedule",
    "Settings",
    "SimilarityToTarget",
    "SoftRegion",
    "Spectrum",
    "SpectrumDetector",
    "Status",
    "SurveySettings",
    "Thompson",
    "Unsupported",
    "check_instrument",
    "instruments",
    "open",
    "to_hyperspy",
]
