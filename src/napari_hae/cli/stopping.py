"""Orderly end of a command that holds a beam, on a signal of the system."""

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
    """Signal that arrived before there was a run to end."""


class Stopping(SignalListener):
    """Listener for signals while a command runs; provides the exit code."""

    def check(self) -> None:
        """Raise `Interrupted` if a signal has arrived."""
        if self.received is not None:
            raise Interrupted(f"interrupted by {self.received.name}")

    def run(self, command: Callable[[], int]) -> int:
        """Run a command to its end; return its exit code, or that of the signal."""
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
