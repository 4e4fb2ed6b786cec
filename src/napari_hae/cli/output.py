"""Output of a command, also when its reader may be gone."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from napari_hae.printable import printable

logger = logging.getLogger(__name__)


def show(text: str) -> None:
    """Print the requested text. Raises `OSError` if it cannot be written."""
    print(printable(text))


def log_to_stderr(form: str, *, is_new: bool = False) -> None:
    """Show the program's warnings; with `is_new`, replace all log handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter(form))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=is_new)


class _PrintableFormatter(logging.Formatter):
    """Formatter that escapes control characters: names and texts may be foreign."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def say(text: str, file: TextIO | None = None) -> None:
    """Print to stdout or another stream; ignore failures to write.

    A closed pipe, a full disk or a closed terminal must neither interrupt the work on
    an instrument or a record nor change the exit code.
    """
    stream = file or sys.stdout
    try:
        print(printable(text), file=stream, flush=True)
    except OSError:
        logger.debug("the output cannot be written", exc_info=True)
        # Otherwise the buffered rest would fail again when the program exits.
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
