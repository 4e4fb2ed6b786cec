"""The secret that a client must know: its sources, and its comparison."""

from __future__ import annotations

import hmac
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE = "NAPARI_HAE_TOKEN"
SHORTEST = 16


def made_up() -> str:
    """Return a new token that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_same(expected: str, given: object) -> bool:
    """Return whether a token is the right one, compared in constant time."""
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(expected.encode(), given.encode())


def from_file(file: Path) -> str:
    """Return the token in a file.

    Raises
    ------
    ValueError
        If the file cannot be read or holds no token of at least 16 characters.
    """
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the token file {file} cannot be read: {error}") from error
    return checked(text, f"the token file {file}")


def from_environment() -> str | None:
    """Return the token in the variable `NAPARI_HAE_TOKEN`; None if it is not set.

    Raises
    ------
    ValueError
        If it is shorter than 16 characters.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return checked(text, f"the variable {VARIABLE}") if text else None


def write(file: Path, token: str) -> None:
    """Write a token to a new file that only its owner can read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(token + "\n")


def checked(text: str, where: str) -> str:
    """Return the token itself, if it is long enough.

    Raises
    ------
    ValueError
        If it is shorter than 16 characters.
    """
    if len(text) < SHORTEST:
        raise ValueError(
            f"{where} holds {len(text)} characters; a token needs at least {SHORTEST}"
        )
    return text
