"""Settings given by `--config`, `--set` and `--file`, before validation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def given_sections(options: argparse.Namespace) -> dict[str, Any]:
    """Return nested values; those of `--set` and `--file` override those of the file.

    Raises
    ------
    BadConfiguration
        If the file cannot be read, or an assignment is malformed.
    """
    from napari_hae.experiment.configuration import assign, read_toml

    sections: dict[str, Any] = read_toml(options.config) if options.config else {}
    assign(sections, options.set)
    if options.file is not None:
        assign(sections, [f"instrument.file={json.dumps(options.file)}"])
    return sections
