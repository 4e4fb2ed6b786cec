"""Text for whoever reads the command's output, if somebody still does."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

from napari_hae.printable import printable

logger = logging.getLogger(__name__)


def show(text: str) -> None:
    """Print what was asked for. Raises `OSError` where it cannot be written."""
    print(printable(text))


def log_to_stderr(form: str, *, is_new: bool = False) -> None:
    """Let warnings of the program be seen, in place of all logs so far if `is_new`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter(form))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=is_new)


class _PrintableFormatter(logging.Formatter):
    """Writes control characters as codes: others choose names, files and texts."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def say(text: str, file: TextIO | None = None) -> None:
    """Print to stdout, or another stream; what cannot be written keeps nothing back.

    A reader that has gone, a full disk or a closed terminal is no reason to leave an
    instrument or a record, nor to end with another exit code.
    """
    stream = file or sys.stdout
    try:
        print(printable(text), file=stream, flush=True)
    except OSError:
        logger.debug("the output cannot be written", exc_info=True)
        # What is left in the buffer would fail once more when the program ends.
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
