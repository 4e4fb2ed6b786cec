"""The settings of a remote microscope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator

from napari_hae.instruments.bridge import PORT, token
from napari_hae.settings_base import SECRET, Settings


class RemoteSettings(Settings):
    """Where the microscope is served, and the token for it."""

    @property
    def outside(self) -> tuple[str, ...]:
        """The host, and the file with the token."""
        return (f"the host {self.host}:{self.port}", *super().outside)

    host: str = Field(default="127.0.0.1", min_length=1, title="Host")
    """The PC on which napari-hae serve runs. Default 127.0.0.1: this PC, or the other
    end of an SSH tunnel."""
    port: int = Field(default=PORT, ge=1, le=65535, title="Port")
    """The port that napari-hae serve, or the SSH tunnel, listens at. Default 6532."""
    token: SecretStr | None = Field(
        default=None,
        title="Token",
        exclude=True,
        json_schema_extra={"empty": f"from {token.VARIABLE}"},
    )
    """The token that napari-hae serve prints or reads. It is not kept in the record.
    Default: from the token file, else from the variable NAPARI_HAE_TOKEN."""
    token_file: Path | None = Field(
        default=None,
        title="Token file",
        exclude=True,
        json_schema_extra={"empty": "none", SECRET: True},
    )
    """A file that holds the token and nothing else. It is neither kept in the record
    nor taken from one. Default: none."""
    connect_timeout_s: float = Field(
        default=5, ge=0.1, le=300, title="Connecting may take (s)"
    )
    """How long to wait for the server to let this side in, in s. Default 5 s."""
    reply_timeout_s: float = Field(
        default=30, ge=0.1, le=3600, title="Acquiring may take more (s)"
    )
    """How much longer than its exposure or scan an acquisition may take before it is
    aborted, in s; also how long the microscope itself may take to connect.
    Default 30 s."""
    line_timeout_s: float = Field(
        default=5, ge=0.1, le=300, title="Line counts as cut after (s)"
    )
    """How long abort, blank and sign of life may go unanswered before the line counts
    as cut, in s. Default 5 s."""

    @field_validator("token", mode="before")
    @classmethod
    def _unknown_is_none(cls, value: Any) -> Any:
        """Read an empty field, or the asterisks in a record, as no token."""
        return None if isinstance(value, str) and not value.strip(" *") else value

    @field_validator("token_file", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """Read empty text as no file; pathlib would make it the current folder."""
        return None if value in ("", Path()) else value

    def secret(self) -> str:
        """Return the token.

        Raises
        ------
        ValueError
            If there is none, or the file cannot be read; the text says what to do.
        """
        if self.token is not None:
            return self.token.get_secret_value().strip()
        if self.token_file is not None:
            return token.from_file(self.token_file)
        found = token.from_environment()
        if found is None:
            raise ValueError(
                "a remote microscope needs the token that napari-hae serve prints: "
                f"enter it, name its file, or set the variable {token.VARIABLE}"
            )
        return found
