"""Ends a command that holds a beam when the system says so."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from napari_hae.cli.output import say
from napari_hae.signal_listener import BY_SIGNAL, SignalListener

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """A signal came before there was a run that it could have ended."""


class Stopping(SignalListener):
    """Listens for signals while a command goes on, and gives its exit code."""

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.received is not None:
            raise Interrupted(f"interrupted by {self.received.name}")

    def run(self, command: Callable[[], int]) -> int:
        """Run a command to its end; returns its exit code, or that of the signal."""
        try:
            code = command()
        except Exception as error:
            if self.received is None:
                raise
            logger.debug("interrupted", exc_info=True)
            say(f"napari-hae: {error}", sys.stderr)
            code = 0
        if self.received is None:
            return code
        return BY_SIGNAL + self.received
