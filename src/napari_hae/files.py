"""Check files named by a user or a setting before they are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def check_file(path: Path) -> None:
    """Refuse anything but a regular file: reading a pipe could wait for ever.

    Raises
    ------
    ValueError
        In one sentence, if there is none.
    """
    try:
        is_there, is_file = path.exists(), path.is_file()
    # A name that no file can have.
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if not is_there:
        raise ValueError(f"there is no file {path}")
    if not is_file:
        kind = "a folder" if path.is_dir() else "a pipe, socket or device"
        raise ValueError(f"{path} is {kind}; a file is needed")
