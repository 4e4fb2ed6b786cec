"""The secret that a client must know: where it comes from, and how it is compared."""

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
    """A new token that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_same(expected: str, given: object) -> bool:
    """Whether a token is the right one, compared in constant time."""
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(expected.encode(), given.encode())


def from_file(file: Path) -> str:
    """The token in a file.

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
    """The token in the variable `NAPARI_HAE_TOKEN`; None where it is not set.

    Raises
    ------
    ValueError
        If it is shorter than 16 characters.
    """
    text = os.environ.get(VARIABLE, "").strip()
    return checked(text, f"the variable {VARIABLE}") if text else None


def write(file: Path, token: str) -> None:
    """Keep a token in a new file that only its owner can read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(token + "\n")


def checked(text: str, where: str) -> str:
    """The token itself, if it is long enough.

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
