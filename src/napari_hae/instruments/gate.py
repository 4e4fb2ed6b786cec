"""The gate that no beam move and no exposure escapes.

It wraps an instrument and enforces what must hold whatever the agent, the window or the
network do: the beam goes only where it may, it is blanked whenever no one measures,
the dose stays within its budget, and an abort holds until someone lifts it.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari_hae.instruments.base import (
    Aborted,
    Busy,
    Capabilities,
    DoseExceeded,
    ForbiddenPosition,
    Instrument,
    InstrumentError,
    OutOfRange,
    Status,
    Unsupported,
    check_area,
    check_interval,
    check_position,
)
from napari_hae.types import (
    WHOLE_FIELD,
    BeamState,
    ProbePosition,
    ScanImage,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel

    from napari_hae.types import Area, Spectrum


class Constraint(Protocol):
    """Where the beam may be; an immutable snapshot."""

    def refusal_of_scan(self, area: Area) -> str | None:
        """Why the beam may not scan an area, in words; None where it may."""

    def refusal(self, position: ProbePosition) -> str | None:
        """Why the beam may not be there, in words; None where it may."""


@dataclass(frozen=True, slots=True)
class Unconstrained:
    """The whole field of view is open to the beam."""

    def refusal_of_scan(self, area: Area) -> str | None:
        """None, for every area."""
        return None

    def refusal(self, position: ProbePosition) -> str | None:
        """None, for every position."""
        return None


@runtime_checkable
class HasOwnGate(Protocol):
    """An instrument that keeps a gate of its own, as one on another PC does.

    It is told what the gate here is told. Both methods are called on the window's
    thread and must not wait; before the next move or exposure the other gate has to
    know.
    """

    def hand_on_constraint(self, constraint: Constraint) -> None:
        """Let the other gate keep the constraint too."""

    def hand_on_dose_budget(self, budget_e: float | None) -> None:
        """Let the other gate allow this many more electrons too; None: no limit."""


class GuardedInstrument:
    """An instrument behind the gate; itself an `Instrument`.

    It differs from the bare one in this: it unblanks by itself, for the exposure only,
    so that `unblank` is refused; an abort holds until `rearm`; and everything that the
    constraint or the dose budget do not allow is refused before the beam is on.

    Parameters
    ----------
    instrument
        The bare instrument; nobody else should keep a reference to it.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._bare = instrument
        self.title = instrument.title
        self.settings_type: type[BaseModel] = instrument.settings_type
        self._state = threading.Lock()
        self._beam = threading.RLock()
        self._using = threading.Lock()
        self._constraint: Constraint = Unconstrained()
        self._aborted = False
        self._exposing: ProbePosition | None = None
        self._interrupted: str | None = None
        self._interruption: threading.Thread | None = None
        self._position: ProbePosition | None = None
        self._dose_e = 0.0
        self._dose_limit_e = math.inf

    def connect(self) -> None:
        """Connect, with the beam blanked afterwards and an earlier abort lifted."""
        self._bare.connect()
        self._blank_and_verify()
        self.rearm()

    def disconnect(self) -> None:
        """Blank the beam and let go of the instrument."""
        self._bare.disconnect()
        with self._state:
            self._position = None

    def capabilities(self) -> Capabilities:
        """What the instrument can do. Raises `NotConnected`."""
        return self._bare.capabilities()

    def status(self) -> Status:
        """The state now; never raises."""
        return self._bare.status()

    @property
    def dose_e(self) -> float:
        """Electrons delivered or reserved since the gate was made; NaN if unknown."""
        return self._dose_e

    def set_dose_budget(self, budget_e: float | None) -> None:
        """Allow this many more electrons from now on; None lifts the limit.

        Raises
        ------
        Unsupported
            If the beam current is unknown, so that no budget could be kept.
        OutOfRange
            If the budget is not a number above 0.
        """
        if budget_e is None:
            with self._state:
                self._dose_limit_e = math.inf
                if isinstance(self._bare, HasOwnGate):
                    self._bare.hand_on_dose_budget(None)
            return
        if not (math.isfinite(budget_e) and budget_e > 0):
            raise OutOfRange(f"a dose budget of {budget_e:g} e⁻ is not above 0")
        if self.capabilities().current_pa is None:
            raise Unsupported(
                "a dose budget needs the beam current, which this instrument does not "
                "know: enter it in the instrument's settings"
            )
        with self._state:
            self._dose_limit_e = self._dose_e + budget_e
            if isinstance(self._bare, HasOwnGate):
                self._bare.hand_on_dose_budget(budget_e)

    def set_constraint(self, constraint: Constraint) -> None:
        """Swap in where the beam may be, for the very next move; any thread may call.

        An exposure that is running where the beam may no longer be is interrupted and
        its result discarded.
        """
        with self._state:
            self._constraint = constraint
            if isinstance(self._bare, HasOwnGate):
                self._bare.hand_on_constraint(constraint)
            exposing = self._exposing
            reason = constraint.refusal(exposing) if exposing is not None else None
            if reason is not None and self._interruption is None:
                self._interrupted = reason
                # Ending an exposure may take the instrument's latency, and the caller
                # is the window's thread.
                self._interruption = threading.Thread(
                    target=self._bare.abort, name="napari-hae-interrupt", daemon=True
                )
                self._interruption.start()

    def abort(self) -> None:
        """Blank at once and end what is running; holds until `rearm`."""
        with self._state:
            self._aborted = True
        self._bare.abort()
        # An unblanking that was already on its way to the instrument would win over
        # the abort: wait for it, and blank once more.
        with self._beam:
            if self._bare.status().connected:
                self._bare.blank()

    def rearm(self) -> None:
        """Lift an abort."""
        with self._state:
            self._aborted = False

    @property
    def is_aborted(self) -> bool:
        """Whether an abort holds."""
        return self._aborted

    def blank(self) -> None:
        """Keep the electrons off the sample."""
        self._blank_and_verify()

    def unblank(self) -> None:
        """Always refused: the gate opens the beam for exposures only."""
        raise Unsupported(
            "the beam is unblanked for exposures only, by the gate; acquire a spectrum "
            "or a survey image instead"
        )

    def acquire_survey(
        self,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area = WHOLE_FIELD,
    ) -> ScanImage:
        """Scan the field of view, or an area of it.

        Raises what the instrument raises, and `ForbiddenPosition` where a part of what
        would be scanned is closed to the beam, `DoseExceeded`, `Aborted`.
        """
        with self._in_use():
            check_area(area, self.capabilities())
            with self._state:
                reason = self._constraint.refusal_of_scan(area)
            if reason is not None:
                raise ForbiddenPosition(f"a survey image of {area} {reason}")
            self._check_dwell_time(dwell_time_s)
            self._reserve(dwell_time_s * shape[0] * shape[1])
            try:
                # Instruments that know of no areas take three arguments.
                where = () if area == WHOLE_FIELD else (area,)
                image = self._bare.acquire_survey(
                    detectors, shape, dwell_time_s, *where
                )
            finally:
                self._blank_and_verify()
            self._check_not_aborted()
            return image

    def place_beam(self, position: ProbePosition) -> None:
        """Put the blanked beam where it may be.

        Raises what the instrument raises, and `ForbiddenPosition`, `Aborted`.
        """
        with self._in_use():
            self._check_allowed(position)
            self._bare.place_beam(position)
            with self._state:
                self._position = position

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Unblank, take a spectrum where the beam is, and blank.

        Raises what the instrument raises, and `ForbiddenPosition` (also when the place
        was closed during the exposure), `DoseExceeded`, `Aborted`.
        """
        with self._in_use():
            position = self._position
            if position is None:
                raise OutOfRange("no probe position: place the beam first")
            self._check_exposure(exposure_s)
            self._reserve(exposure_s)
            with self._exposure(position):
                return self._bare.acquire_spectrum(detector, exposure_s)

    def acquire_spectra(
        self, positions: Iterable[ProbePosition], detector: str, exposure_s: float
    ) -> Iterator[Spectrum]:
        """Take a spectrum at each position; each is checked just before the beam goes.

        Raises what `place_beam` and `acquire_spectrum` raise.
        """
        self._check_exposure(exposure_s)
        for position in positions:
            self.place_beam(position)
            yield self.acquire_spectrum(detector, exposure_s)

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        if not self._using.acquire(blocking=False):
            raise Busy("the instrument is acquiring; wait until it is done, or abort")
        try:
            self._check_not_aborted()
            yield
        finally:
            self._using.release()

    @contextmanager
    def _exposure(self, position: ProbePosition) -> Iterator[None]:
        """The beam is on inside, and nowhere else."""
        with self._state:
            self._exposing, self._interrupted = position, None
        try:
            with self._beam:
                self._check_not_aborted()
                self._check_allowed(position)
                self._bare.unblank()
            yield
        except Aborted:
            self._raise_if_ended()
            raise
        finally:
            with self._state:
                self._exposing = None
                interruption, self._interruption = self._interruption, None
            if interruption is not None:
                # Its abort must not reach the next exposure.
                interruption.join()
            self._blank_and_verify()
        self._raise_if_ended()

    def _raise_if_ended(self) -> None:
        """Discard an exposure that an abort or a new region ended."""
        self._check_not_aborted()
        if self._interrupted is not None:
            raise ForbiddenPosition(self._interrupted)

    def _check_not_aborted(self) -> None:
        if self._aborted:
            raise Aborted("aborted: the beam stays blanked until the next start")

    def _check_allowed(self, position: ProbePosition) -> None:
        check_position(position)
        with self._state:
            reason = self._constraint.refusal(position)
        if reason is not None:
            raise ForbiddenPosition(f"{position} {reason}")

    def _check_exposure(self, exposure_s: float) -> None:
        check_interval("an exposure", exposure_s, self.capabilities().exposure_s, "s")

    def _check_dwell_time(self, dwell_time_s: float) -> None:
        allowed = self.capabilities().dwell_time_s
        check_interval("a dwell time", dwell_time_s, allowed, "s")

    def _reserve(self, beam_on_s: float) -> None:
        """Book the electrons before the beam is on; what is booked stays booked."""
        current_pa = self.capabilities().current_pa
        if current_pa is None:
            self._dose_e = math.nan
            return
        dose_e = dose_electrons(current_pa, beam_on_s)
        with self._state:
            left_e = self._dose_limit_e - self._dose_e
            if dose_e > left_e * (1 + 1e-9):
                raise DoseExceeded(
                    f"{dose_e:.3g} e⁻ would exceed the dose budget: "
                    f"{max(left_e, 0):.3g} e⁻ are left"
                )
            self._dose_e += dose_e

    def _blank_and_verify(self) -> None:
        self._bare.blank()
        can_be_read = self._bare.capabilities().blanker_can_be_read
        if can_be_read and self._bare.status().beam is BeamState.ON:
            raise InstrumentError(
                "the beam was told to blank and still reads as on: blank it by hand"
            )
