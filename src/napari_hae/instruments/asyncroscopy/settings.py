"""The settings of a microscope that is run by asyncroscopy."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from napari_hae.settings_base import Settings

SMALLEST_IMAGE, LARGEST_IMAGE = 16, 4096

Address = Annotated[str, Field(min_length=1)]


class AsyncroscopySettings(Settings):
    """Where the microscope's devices and data are, and what they do not say."""

    tango_host: str = Field(
        default="",
        title="Tango host",
        json_schema_extra={"empty": "TANGO_HOST"},
    )
    """The Tango database as host:port, for example microscope:9094. Empty: the
    environment variable TANGO_HOST."""
    without_database: bool = Field(default=False, title="No Tango database")
    """Whether the host above is the device server itself, which runs without a
    database. Default: it is a database."""
    microscope: Address = Field(
        default="asyncroscopy/instrument/default", title="Microscope device"
    )
    """The microscope's device: a name, or a full address tango://host:port/name."""
    scan: Address = Field(default="asyncroscopy/scan/default", title="Scan device")
    """The device with image size and dwell time: a name or a full address."""
    spectrum_device: Address = Field(
        default="asyncroscopy/{detector}/default", title="Spectrum devices"
    )
    """The devices with the exposure time; {detector} stands for the detector's name in
    small letters. A name or a full address."""
    blanker: str = Field(
        default="",
        title="Blanking device",
        json_schema_extra={"empty": "the microscope"},
    )
    """A device with the commands blank_beam and unblank_beam that is not the
    microscope, so that a running acquisition does not hold up blanking. Empty: the
    microscope."""
    survey_detectors: tuple[str, ...] = Field(
        default=(),
        title="Imaging detectors",
        json_schema_extra={"empty": "ask the microscope"},
    )
    """Names of the imaging detectors, separated by commas. Empty: those that the
    microscope names, else haadf."""
    spectrum_detectors: tuple[str, ...] = Field(
        default=(),
        title="Spectrum detectors",
        json_schema_extra={"empty": "ask the microscope"},
    )
    """Names of the spectroscopy detectors, the usual one first. Empty: those that the
    microscope names, else eds."""
    tiled_uri: str = Field(
        default="",
        title="Tiled address",
        json_schema_extra={"empty": "ASYNCROSCOPY_TILED_URI"},
    )
    """The Tiled server with the data, for example http://microscope:9091. Empty: the
    environment variable ASYNCROSCOPY_TILED_URI; needed only where the microscope
    answers with keys of Tiled instead of paths."""
    tiled_api_key: SecretStr = Field(
        default=SecretStr(""),
        title="Tiled API key",
        exclude=True,
        json_schema_extra={"empty": "TILED_API_KEY"},
    )
    """Never written into a record. Empty: the environment variable TILED_API_KEY."""
    data_folder: str = Field(
        default="",
        title="Data folder",
        json_schema_extra={"empty": "as the microscope says"},
    )
    """Where this computer sees the folder that the microscope writes its HDF5 files to.
    Empty: under the path that the microscope says."""
    image_size: int | None = Field(
        default=None,
        ge=SMALLEST_IMAGE,
        le=LARGEST_IMAGE,
        title="Image size (px)",
        json_schema_extra={"empty": "as the scan is set"},
    )
    """Rows and columns of the usual survey image; images are square. Each pixel is a
    candidate position. Default: what the scan device is set to."""
    fov_nm: float | None = Field(
        default=None,
        gt=0,
        title="Field of view (nm)",
        json_schema_extra={"empty": "ask the microscope"},
    )
    """Side of the field of view in nm, for microscopes that do not say it."""
    channels: int = Field(default=2048, ge=1, le=2**20, title="Channels")
    """How many channels a spectrum is taken to have until the first one has come.
    Default 2048."""
    energy_offset_ev: float = Field(default=0.0, title="Energy offset (eV)")
    """Energy of the first channel in eV, for spectra that come without an energy axis.
    Default 0."""
    energy_dispersion_ev: float | None = Field(
        default=None,
        gt=0,
        title="Dispersion (eV per channel)",
        json_schema_extra={"empty": "channels are the axis"},
    )
    """Width of a channel in eV, for spectra that come without an energy axis. Default:
    the axis counts channels, wherever eV is written."""
    current_pa: float | None = Field(
        default=None,
        gt=0,
        title="Beam current (pA)",
        json_schema_extra={"empty": "unknown"},
    )
    """Beam current in pA, for the dose. It is not asked of the microscope, which would
    put the screen into the beam. Default: unknown."""
    margin_s: float = Field(default=10.0, gt=0, le=600, title="Time-out margin (s)")
    """How much longer than its exposure an acquisition may take, in s, and how long any
    other command may take. Default 10 s."""

    @field_validator("tango_host")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        host, _, port = value.strip().removeprefix("tango://").rpartition(":")
        if value and not (host and port.isdecimal()):
            raise ValueError("a Tango host is written host:port, as microscope:9094")
        return f"{host}:{port}" if value else ""

    def address(self, name: str) -> str:
        """Return a device's full address, or its name if TANGO_HOST has the rest."""
        if "://" in name or not self.tango_host:
            return name
        suffix = "#dbase=no" if self.without_database else ""
        return f"tango://{self.tango_host}/{name}{suffix}"

    def spectrum_address(self, detector: str) -> str:
        """Return the address of a spectroscopy detector's device."""
        name = self.spectrum_device.replace("{detector}", detector.strip().lower())
        return self.address(name)
