"""Settings of an experiment: one frozen model per concern.

The same models build the form in the window and are stored with the run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, field_validator

from napari_hae import plugins
from napari_hae.agent.acquisition import AcquisitionFunction, LogExpectedImprovement
from napari_hae.agent.goal import Goal
from napari_hae.agent.model_settings import ModelSettings
from napari_hae.agent.policy_settings import InitialDesign, MoveSettings
from napari_hae.agent.recorded import part_of
from napari_hae.agent.scalarizers import BandIntegral, Scalarizer
from napari_hae.experiment.plans import AgentPlan, Plan
from napari_hae.instruments.dose import DoseLimits
from napari_hae.settings_base import Settings
from napari_hae.types import Area

AnyScalarizer = Annotated[
    SerializeAsAny[Scalarizer],
    BeforeValidator(part_of(plugins.SCALARIZERS, "band_integral")),
]
AnyAcquisitionFunction = Annotated[
    SerializeAsAny[AcquisitionFunction],
    BeforeValidator(part_of(plugins.ACQUISITION_FUNCTIONS, "log_ei")),
]


class SurveySettings(Settings):
    """How the survey image is acquired."""

    detectors: tuple[str, ...] = Field(default=(), title="Detectors")
    """Names of the imaging detectors, separated by commas. Each becomes a layer and a
    channel of the agent's descriptors. Empty: all that the instrument has."""
    shape: tuple[int, int] | None = Field(default=None, title="Rows × columns")
    """Pixels of the survey image; each is a candidate position. Automatic: what the
    instrument suggests."""
    dwell_time_s: float = Field(default=1e-5, gt=0, title="Dwell time (s)")
    """Time the beam spends on each pixel of the survey image, in s. Longer: less noise,
    more dose. Default 10 µs."""


class DriftSettings(Settings):
    """When the survey image is taken again, and what follows from it."""

    every: int = Field(default=0, ge=0, title="Survey again every … steps")
    """Take the survey image again every so many steps, at first more often: after 1, 2,
    4, 8 … steps, and after half a minute in which nothing was measured. Costs the dose
    of an image each time. Default 0: only when you ask for it."""
    follow: bool = Field(default=True, title="Follow the drift")
    """Find the sample in the images taken again, and place the beam where it is now;
    positions, regions and maps stay those of the first image. Off: the images are kept
    and shown, and nothing follows. Default on."""
    fiducial: tuple[float, float, float, float] | None = Field(
        default=None,
        title="Fiducial region",
        json_schema_extra={"empty": "the whole image"},
    )
    """Take a small frame of this part of the sample in place of the whole image: its
    left, top, right and bottom edge in the first survey image, as fractions of the
    field of view. It spares dose, and may be scanned where regions close the rest.
    Default: the whole image."""
    dwell_time_s: float | None = Field(
        default=None,
        gt=0,
        title="Dwell time (s)",
        json_schema_extra={"empty": "as the survey image"},
    )
    """Time the beam spends on each pixel of an image taken again, in s. Default: that
    of the first survey image."""
    largest_jump_nm: float | None = Field(
        default=None,
        gt=0,
        title="Largest jump (nm)",
        json_schema_extra={"empty": "a tenth of the field"},
    )
    """The sample is looked for so far from where it is expected, along each axis; what
    is found at the edge of that, or not found, is not believed. Default: a tenth of the
    smaller side of the field of view."""
    warn_nm: float | None = Field(
        default=None,
        gt=0,
        title="Warn above (nm)",
        json_schema_extra={"empty": "a tenth of the field"},
    )
    """Warn when the sample has drifted farther than this. Default: a tenth of the
    smaller side of the field of view."""
    pause: bool = Field(default=False, title="Pause when it is lost")
    """Pause the run when the sample is not found in an image taken again. Off: warn,
    and go on from what was known. Default off."""

    @field_validator("fiducial")
    @classmethod
    def _is_an_area(
        cls, edges: tuple[float, float, float, float] | None
    ) -> tuple[float, float, float, float] | None:
        if edges is not None:
            Area(*edges)
        return edges


_IF_REPEATED: dict[str, Any] = {"shown_if": {"relative_error": "set"}}


class MeasurementSettings(Settings):
    """How a spectrum is acquired."""

    detector: str = Field(default="", title="Detector")
    """Name of the spectrum detector. Empty: the instrument's usual one."""
    exposure_s: float = Field(default=0.1, gt=0, title="Exposure (s)")
    """Exposure of each spectrum in s. Longer: less noise, more dose. Default 0.1 s."""
    relative_error: float | None = Field(
        default=None,
        gt=0,
        le=1,
        title="Relative error to reach",
        json_schema_extra={"empty": "fixed exposure"},
    )
    """Repeat the exposure at a place, and add up, until the target's standard deviation
    is this share of it. It follows from counting statistics, or, where counts are no
    whole numbers, from three exposures on. Default: one exposure."""
    longest_exposure_s: float = Field(
        default=1.0, gt=0, title="Longest in all (s)", json_schema_extra=_IF_REPEATED
    )
    """The exposures at one place end here, whatever the error. Only with a relative
    error to reach. Default 1 s."""
    only_promising: bool = Field(
        default=True, title="Only where promising", json_schema_extra=_IF_REPEATED
    )
    """With a relative error to reach: end also where the target is surely worse than
    the best one, by two standard deviations. Off: the same error everywhere, for a map.
    Default on."""


class Budget(Settings):
    """When the experiment is complete: at whichever limit comes first."""

    steps: int = Field(default=100, ge=1, title="Steps")
    """Number of spectra in all, the initial design included. Default 100."""
    dose_e: float | None = Field(
        default=None, gt=0, title="Dose (e⁻)", json_schema_extra={"empty": "no limit"}
    )
    """Electrons that the survey images and the spectra may use together. The dose is
    booked before the beam is on. Default: no limit."""
    point_dose_e: float | None = Field(
        default=None,
        gt=0,
        title="Dose at one point (e⁻)",
        json_schema_extra={"empty": "no limit"},
    )
    """Electrons that any one point may take, survey images included. Where it would be
    exceeded is not measured. Default: no limit."""
    local_dose_e_per_nm2: float | None = Field(
        default=None,
        gt=0,
        title="Local dose (e⁻/nm²)",
        json_schema_extra={"empty": "no limit"},
    )
    """Electrons per nm² that the disc around any measured place may take, survey images
    included. Where it would be exceeded is not measured. Default: no limit."""
    dose_radius_nm: float = Field(
        default=2.0, gt=0, le=1e4, title="… counted within (nm)"
    )
    """Radius of that disc in nm: all that is measured within it counts together.
    Default 2 nm."""
    current_pa: float | None = Field(
        default=None,
        gt=0,
        title="Beam current (pA)",
        json_schema_extra={"empty": "as the instrument says"},
    )
    """Beam current in pA, as you read it, for instruments that do not know it: dose
    limits need it. Where the instrument knows its own, that one counts. Default: as the
    instrument says."""
    time_s: float | None = Field(
        default=None, gt=0, title="Time (s)", json_schema_extra={"empty": "no limit"}
    )
    """Wall time in s, pauses included; the step that is running is finished. Default:
    no limit."""

    @property
    def dose_limits(self) -> DoseLimits:
        """Return the dose limits for the gate."""
        return DoseLimits(
            run_e=self.dose_e,
            point_e=self.point_dose_e,
            local_e_per_nm2=self.local_dose_e_per_nm2,
            radius_nm=self.dose_radius_nm,
            current_pa=self.current_pa,
        )


class LoopSettings(Settings):
    """How the loop runs."""

    lookahead: Literal[0, 1] = Field(default=1, title="Look-ahead")
    """1: the agent computes the next position while the instrument measures, one
    measurement behind; the beam waits less. 0: strictly one after the other, as in the
    papers. Default 1."""
    batch: int = Field(default=1, ge=1, le=64, title="Positions at once")
    """How many positions the agent chooses at once, different ones, counting on what it
    expects of each. More: the beam waits less at short exposures, and the agent knows
    less. Default 1."""
    approve: bool = Field(default=False, title="Ask before each step")
    """Wait for your yes or veto before each position that the agent chose. Default
    off."""
    maps_every: int = Field(default=10, ge=1, title="Keep maps every … steps")
    """The predicted maps are stored in the record every so many steps. Default 10."""


class ExperimentSettings(Settings):
    """Everything that decides an experiment's path, with the seed."""

    goal: Goal = Goal()
    scalarizer: AnyScalarizer = BandIntegral()
    acquisition: AnyAcquisitionFunction = LogExpectedImprovement()
    model: ModelSettings = ModelSettings()
    initial: InitialDesign = InitialDesign()
    moves: MoveSettings = MoveSettings()
    plan: Plan = AgentPlan()
    loop: LoopSettings = LoopSettings()
    survey: SurveySettings = SurveySettings()
    drift: DriftSettings = DriftSettings()
    measurement: MeasurementSettings = MeasurementSettings()
    budget: Budget = Budget()
    seed: int = Field(default=0, ge=0, title="Seed")
    """Same seed, same data, same settings: same path. Default 0."""

    def replaced(self, **sections: Any) -> ExperimentSettings:
        """Return the settings with some sections replaced, validated."""
        return self.model_copy(update=sections)
