"""Text for whoever reads the command's output, if somebody still does."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

logger = logging.getLogger(__name__)


def say(text: str, file: TextIO | None = None) -> None:
    """Print to stdout, or another stream; what cannot be written keeps nothing back.

    A reader that has gone, a full disk or a closed terminal is no reason to leave an
    instrument or a record, nor to end with another exit code.
    """
    stream = file or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except OSError:
        logger.debug("the output cannot be written", exc_info=True)
        # What is left in the buffer would fail once more when the program ends.
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
