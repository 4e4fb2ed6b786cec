"""The settings of the simulated microscope."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from napari_hae.settings_base import Settings

Pixels = Annotated[int, Field(ge=32, le=1024)]


class SimulatedSettings(Settings):
    """The simulated microscope and its sample."""

    shape: tuple[Pixels, Pixels] = Field(default=(64, 64), title="Rows × columns")
    """Pixels of the usual survey image, 32 to 1024 each; they are square, so that this
    also sets the field's aspect ratio. Default 64 × 64."""
    fov_nm: float = Field(default=200, ge=1, le=1e5, title="Field of view (nm)")
    """Long side of the field of view in nm, outer edge to outer edge of the pixels. The
    particles grow with it. Default 200 nm."""
    seed: int = Field(default=0, ge=0, title="Sample seed")
    """Which sample: shapes, sizes and places of the particles follow from it.
    Default 0."""
    noise_seed: int = Field(default=0, ge=0, title="Noise seed")
    """The same seed and the same sequence of calls give the same noise and the same
    random walk of the drift. Default 0."""
    particles: int = Field(default=12, ge=1, le=60, title="Particles")
    """How many nanoparticles lie in the field of view. More are smaller. Default 12."""
    particles_touch: bool = Field(default=True, title="Particles touch")
    """Whether every fourth particle lies against another; else all are apart."""
    current_pa: float = Field(default=20, gt=0, le=1e4, title="Beam current (pA)")
    """Beam current in pA. More: less noise, more dose. Default 20 pA."""
    counting_noise: bool = Field(default=True, title="Counting noise")
    """Whether spectra and images are Poisson-distributed; else they are the expected
    counts."""
    line_jitter_nm: float = Field(default=0.3, ge=0, le=100, title="Line jitter (nm)")
    """Standard deviation, in nm, of the shift of each line of a survey image.
    Default 0.3 nm."""
    drift_x_nm_per_s: float = Field(
        default=0, ge=-100, le=100, title="Drift to the right (nm/s)"
    )
    """Steady drift of the sample, in nm per s of exposure and dead time. Default 0."""
    drift_y_nm_per_s: float = Field(
        default=0, ge=-100, le=100, title="Drift downwards (nm/s)"
    )
    """Steady drift of the sample, in nm per s of exposure and dead time. Default 0."""
    random_walk_nm: float = Field(
        default=0, ge=0, le=100, title="Random drift (nm after 1 s)"
    )
    """Standard deviation, in nm along each axis, of the random part of the drift after
    1 s; it grows with the square root of time. Default 0."""
    damage_dose_e_per_nm2: float | None = Field(
        default=None,
        gt=0,
        title="Damage dose (e⁻/nm²)",
        json_schema_extra={"empty": "no damage"},
    )
    """Local dose after which the particles' modes have fallen to 1/e, in e⁻/nm². An
    exposure of 0.1 s at 20 pA gives about 5e5. Default: no damage."""
    contamination_dose_e_per_nm2: float | None = Field(
        default=None,
        gt=0,
        title="Contamination dose (e⁻/nm²)",
        json_schema_extra={"empty": "none"},
    )
    """Local dose after which the support's background has doubled, in e⁻/nm².
    Default: no contamination."""
    dead_time_s: float = Field(default=0, ge=0, le=60, title="Dead time (s)")
    """Time that each acquisition waits besides its exposure, in s, as a real
    microscope's software does. Default 0."""
    realtime: bool = Field(default=False, title="Real time")
    """Whether an exposure and a scan take as long as they would on a real microscope.
    Default: they are over at once."""

    @property
    def keeps_dose(self) -> bool:
        """Return whether the sample changes with the electrons that it has received."""
        doses = (self.damage_dose_e_per_nm2, self.contamination_dose_e_per_nm2)
        return any(dose is not None for dose in doses)

    @property
    def field_nm(self) -> tuple[float, float]:
        """Field of view `(height, width)` in nm."""
        rows, columns = self.shape
        pixel_nm = self.fov_nm / max(rows, columns)
        return rows * pixel_nm, columns * pixel_nm
