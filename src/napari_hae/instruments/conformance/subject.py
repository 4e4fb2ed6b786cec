"""The instrument under test, and the words for what it does wrong."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_hae.instruments.base import NotConnected
from napari_hae.types import BeamState, ProbePosition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from napari_hae.instruments.base import Capabilities, Instrument, Interval
    from napari_hae.types import Spectrum

NO_DETECTOR = "no detector has this name"
FIRST, SECOND = ProbePosition(0.25, 0.75), ProbePosition(0.5, 0.5)
OUTSIDE = (
    ProbePosition(math.nan, 0.5),
    ProbePosition(0.5, math.inf),
    ProbePosition(1.001, 0.5),
    ProbePosition(0.5, -0.001),
)

_SAME_PLACE = 1e-4


class ConformanceError(AssertionError):
    """An instrument breaks a rule; the text says which, and what was seen."""


@dataclass
class Subject:
    """The instrument under test, and how to use it."""

    instrument: Instrument
    asked_exposure_s: float | None
    asked_dwell_time_s: float | None
    picture: Path | None
    capabilities: Capabilities = field(init=False)

    @property
    def exposure_s(self) -> float:
        """Exposure of the spectra, allowed unless the caller asked otherwise."""
        return _usual(self.asked_exposure_s, 1e-2, self.capabilities.exposure_s)

    @property
    def dwell_time_s(self) -> float:
        """Dwell time of the images, allowed unless the caller asked otherwise."""
        return _usual(self.asked_dwell_time_s, 1e-6, self.capabilities.dwell_time_s)

    @property
    def detector(self) -> str:
        """The usual spectrum detector."""
        return self.capabilities.spectrum_detectors[0].name

    def spectrum(self) -> Spectrum:
        """Acquire a spectrum at the current beam position."""
        return self.instrument.acquire_spectrum(self.detector, self.exposure_s)

    def expect_blanked(self, when: str) -> None:
        """Check that the beam is blanked, as far as the instrument reports it."""
        status = self.instrument.status()
        allowed = {BeamState.BLANKED}
        if not (status.connected and self.capabilities.blanker_can_be_read):
            allowed.add(BeamState.UNVERIFIED)
        seen = f"it is {status.beam}"
        expect(status.beam in allowed, f"the beam is blanked {when}", seen)

    def expect_at(self, position: ProbePosition, after: str) -> None:
        """Check that the instrument reports the beam at that position."""
        seen = self.instrument.status().position
        rule = f"status().position is {position} after {after}"
        expect(seen is not None and is_same_place(seen, position), rule, f"{seen}")


def _usual(asked: float | None, usual: float, allowed: Interval) -> float:
    return min(max(usual, allowed.low), allowed.high) if asked is None else asked


def expect(holds: bool, rule: str, seen: str) -> None:
    """Raise `ConformanceError` with the rule and what was seen unless it holds."""
    if not holds:
        raise ConformanceError(f"Broken rule: {rule}. Seen: {seen}.")


@contextmanager
def must_raise(kind: type[Exception], rule: str) -> Iterator[None]:
    """Raise `ConformanceError` unless what is inside raises that kind of error."""
    promise = f"Broken rule: {rule} raises {kind.__name__}."
    try:
        yield
    except kind:
        return
    except Exception as error:
        raise ConformanceError(f"{promise} Seen: {named(error)}") from error
    raise ConformanceError(f"{promise} Seen: nothing was raised.")


def named(error: Exception) -> str:
    """Return an error as text with its type."""
    return f"{type(error).__name__}: {error}"


def expect_not_connected(instrument: Instrument, when: str) -> None:
    """Nothing that needs a connection works without one."""
    calls: dict[str, Callable[[], object]] = {
        "capabilities": instrument.capabilities,
        "blank": instrument.blank,
        "unblank": instrument.unblank,
        "place_beam": lambda: instrument.place_beam(FIRST),
        "acquire_spectrum": lambda: instrument.acquire_spectrum("", 0.1),
        "acquire_survey": lambda: instrument.acquire_survey(("",), (64, 64), 1e-6),
    }
    for name, call in calls.items():
        with must_raise(NotConnected, f"{name} {when}"):
            call()


def is_same_place(first: ProbePosition, second: ProbePosition) -> bool:
    """Return whether two positions agree within the rounding of instrument units."""
    return max(abs(first.x - second.x), abs(first.y - second.y)) < _SAME_PLACE


def are_close(first: Sequence[float], second: Sequence[float]) -> bool:
    """Return whether values agree to a part in a thousand."""
    return all(
        math.isclose(one, other, rel_tol=1e-3)
        for one, other in zip(first, second, strict=True)
    )


def outside(allowed: Interval) -> list[float]:
    """Return times outside the interval."""
    too_long = [allowed.high * 2] if math.isfinite(allowed.high) else []
    return [math.nan, -1.0, *too_long]
