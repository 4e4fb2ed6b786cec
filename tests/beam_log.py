"""An instrument that tells each change of its beam on stderr, and can be slow.

Its exposures and scans take as long as they are told to, and end with an abort; so a
test can act in the middle of one.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import ClassVar

from pydantic import Field

from fakes import FakeInstrument, FakeSettings

FOREVER_S = 100.0


class BeamLogSettings(FakeSettings):
    """What is slow, and from which exposure on."""

    slow: str = Field(default="exposure", title="What is slow")
    slow_from: int = Field(default=3, title="The first slow one")
    deaf: bool = Field(default=False, title="Does not end what is aborted")


class BeamLog(FakeInstrument):
    """The fake microscope with a log."""

    title: ClassVar[str] = "Beam log"
    settings_type: ClassVar[type[BeamLogSettings]] = BeamLogSettings

    def __init__(self, settings: BeamLogSettings | None = None) -> None:
        super().__init__(settings or BeamLogSettings())
        self._freed = threading.Event()

    def connect(self):
        self._take_time("connecting")
        super().connect()
        tell("connected")

    def disconnect(self):
        super().disconnect()
        tell("disconnected")

    def acquire_survey(self, *arguments):
        self.beam.on = True
        self._take_time("scanning")
        self.beam.on = False
        return super().acquire_survey(*arguments)

    def acquire_spectrum(self, detector, exposure_s):
        if len(self.beam.exposed) >= self.settings.slow_from:
            self._take_time("exposure")
        return super().acquire_spectrum(detector, exposure_s)

    def blank(self):
        super().blank()
        tell("blanked")

    def unblank(self):
        super().unblank()
        tell("on")

    def abort(self):
        super().abort()
        tell("aborted")
        if not self.settings.deaf:
            self._freed.set()

    def _take_time(self, what):
        if what == self.settings.slow:
            tell(f"{what} goes on")
            self._freed.wait(FOREVER_S)


def tell(what):
    # The terminal may be closed.
    with suppress(OSError):
        sys.stderr.write(f"BEAM {what}\n")
        sys.stderr.flush()
