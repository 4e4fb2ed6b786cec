"""Rules about what other threads may do while an exposure or a scan runs.

An instrument that delivers at once, as a simulation or a recording may, has nothing to
interrupt: it keeps these rules.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hae.instruments.base import Aborted, Busy, InstrumentError
from napari_hae.instruments.conformance.subject import (
    FIRST,
    SECOND,
    ConformanceError,
    Subject,
    expect,
    named,
)
from napari_hae.types import BeamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG_S = 2.0
"""An exposure or a scan that leaves time to interrupt it."""
_BEGUN = 0.1
"""Share of that time after which it has begun."""
_SOON = 0.5
"""Share of that time within which an immediate answer must arrive."""
_SHORTEST_S = 0.2
_PATIENCE_S = 30.0
_POLL_S = 0.01


class _Call:
    """A call in its own thread, with its outcome."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.value: object = None
        self.error: Exception | None = None
        self._call = call
        self._thread = threading.Thread(
            target=self._run, name="conformance-call", daemon=True
        )
        self._thread.start()

    def has_ended(self, within_s: float) -> bool:
        """Wait that long for the call to return."""
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.value = self._call()
        except Exception as error:
            self.error = error


class _Running:
    """An exposure or a scan under way.

    Parameters
    ----------
    what
        In words, as in "an exposure".
    takes_s
        How long it would take by itself.
    """

    def __init__(
        self, subject: Subject, what: str, call: Callable[[], object], takes_s: float
    ) -> None:
        self.subject, self.what, self.takes_s = subject, what, takes_s
        self.soon_s = _SOON * takes_s
        self.call = _Call(call)

    def expect_answer(
        self, name: str, call: Callable[[], object], within_s: float
    ) -> Exception | None:
        """Check that a call returns in time; return the error that it raised."""
        asked = _Call(call)
        rule = f"{name} returns within {within_s:g} s in the middle of {self.what}"
        seen = f"it did not, of {self.what} of {self.takes_s:g} s"
        expect(asked.has_ended(within_s), rule, seen)
        return asked.error

    def expect_no_error(
        self, name: str, call: Callable[[], object], within_s: float
    ) -> None:
        """Check that a call returns in time and raises nothing."""
        error = self.expect_answer(name, call, within_s)
        if error is not None:
            rule = f"{name} works in the middle of {self.what}"
            raise ConformanceError(
                f"Broken rule: {rule}. Seen: {named(error)}."
            ) from error

    def expect_blanked(self, after: str) -> None:
        """The beam is not on any more, and blanked when all has come to an end."""
        status = self.subject.instrument.status
        rule = f"the beam is off after {after} in the middle of {self.what}"
        expect(status().beam is not BeamState.ON, rule, "it is on")
        until_s = time.monotonic() + self.takes_s + self.soon_s
        pause = threading.Event()
        while status().beam is not BeamState.BLANKED and time.monotonic() < until_s:
            pause.wait(_POLL_S)
        self.subject.expect_blanked(f"after {after} in the middle of {self.what}")


def aborted_exposure(subject: Subject) -> None:
    """An abort ends a running exposure, and a second user is told to wait."""
    with _exposing(subject) as running:
        if running is not None:
            _expect_interruptible(running)


def aborted_scan(subject: Subject) -> None:
    """An abort ends a running scan, and a second user is told to wait."""
    with _scanning(subject) as running:
        if running is not None:
            _expect_interruptible(running)


def blanked_exposure(subject: Subject) -> None:
    """Any thread may blank in the middle of an exposure."""
    with _exposing(subject) as running:
        if running is not None:
            _expect_blankable(running)


def blanked_scan(subject: Subject) -> None:
    """Any thread may blank in the middle of a scan."""
    with _scanning(subject) as running:
        if running is not None:
            _expect_blankable(running)


def _expect_interruptible(running: _Running) -> None:
    subject, what, soon_s = running.subject, running.what, running.soon_s
    instrument = subject.instrument
    running.expect_no_error("status", instrument.status, soon_s)
    others: dict[str, Callable[[], object]] = {
        "place_beam": lambda: instrument.place_beam(SECOND),
        "acquire_spectrum": subject.spectrum,
    }
    for name, call in others.items():
        error = running.expect_answer(name, call, soon_s)
        seen = "nothing was raised" if error is None else named(error)
        rule = f"{name} raises Busy in the middle of {what}"
        expect(isinstance(error, Busy), rule, seen)
    running.expect_no_error("abort", instrument.abort, soon_s)
    rule = f"abort ends {what} within {soon_s:g} s"
    seen = f"it went on, of {running.takes_s:g} s"
    expect(running.call.has_ended(soon_s), rule, seen)
    error = running.call.error
    seen = "it delivered" if error is None else named(error)
    rule = f"what abort ends raises Aborted, as {what} does"
    expect(isinstance(error, Aborted), rule, seen)
    running.expect_blanked("abort")


def _expect_blankable(running: _Running) -> None:
    # Some microscopes take no command before their exposure is over; none has to be
    # waited for any longer.
    within_s = running.takes_s + running.soon_s
    running.expect_no_error("blank", running.subject.instrument.blank, within_s)
    running.expect_blanked("blank")


@contextmanager
def _exposing(subject: Subject) -> Iterator[_Running | None]:
    allowed, instrument = subject.capabilities.exposure_s, subject.instrument
    takes_s = min(max(LONG_S, allowed.low), allowed.high)
    instrument.place_beam(FIRST)
    instrument.unblank()

    def expose() -> None:
        instrument.acquire_spectrum(subject.detector, takes_s)

    with _under_way(subject, "an exposure", expose, takes_s) as running:
        yield running


@contextmanager
def _scanning(subject: Subject) -> Iterator[_Running | None]:
    can = subject.capabilities
    shapes = (can.smallest_survey_shape, can.survey_shape, can.largest_survey_shape)
    able = (s for s in shapes if s[0] * s[1] * can.dwell_time_s.high >= LONG_S)
    shape = next(able, shapes[-1])
    pixels = shape[0] * shape[1]
    allowed = can.dwell_time_s
    dwell_time_s = min(max(LONG_S / pixels, allowed.low), allowed.high)

    def scan() -> None:
        subject.instrument.acquire_survey(can.survey_detectors[:1], shape, dwell_time_s)

    with _under_way(subject, "a scan", scan, pixels * dwell_time_s) as running:
        yield running


@contextmanager
def _under_way(
    subject: Subject, what: str, call: Callable[[], object], takes_s: float
) -> Iterator[_Running | None]:
    """Return the running call; None if it finishes too quickly to be interrupted."""
    running = _Running(subject, what, call, takes_s)
    try:
        at_once = running.call.has_ended(_BEGUN * takes_s) or _ended_unbegun(running)
        if at_once and running.call.error is not None:
            raise running.call.error
        yield None if at_once or takes_s < _SHORTEST_S else running
    finally:
        _end(running)


def _ended_unbegun(running: _Running) -> bool:
    """Wait until the instrument says that it is busy, if it soon does.

    A busy computer begins late. Returns whether the call came back meanwhile.
    """
    status, until_s = running.subject.instrument.status, time.monotonic()
    until_s += running.soon_s
    while time.monotonic() < until_s:
        asked = _Call(lambda: status().busy)
        # Whether it answers in time is a rule of its own.
        if not asked.has_ended(_BEGUN * running.takes_s) or asked.value is not False:
            return False
        if running.call.has_ended(_POLL_S):
            return True
    return False


def _end(running: _Running) -> None:
    """Leave nothing behind that still exposes."""
    if running.call.has_ended(0):
        return
    try:
        running.subject.instrument.abort()
    except InstrumentError as error:
        running.call.error = running.call.error or error
    running.call.has_ended(running.takes_s + _PATIENCE_S)


RULES = (aborted_exposure, blanked_exposure, aborted_scan, blanked_scan)
