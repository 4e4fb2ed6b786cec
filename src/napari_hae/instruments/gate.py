"""Gate that every beam move and every exposure passes.

It wraps an instrument and enforces what must hold whatever the agent, the window or the
network do: the beam goes only where it may, it is blanked whenever no one measures,
the dose stays within its budget, and an abort holds until someone lifts it. What it
promises, and what it cannot, is in `docs/safety.md`.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from napari_hae.coordinates import place_text
from napari_hae.instruments.base import (
    Busy,
    Capabilities,
    ForbiddenPosition,
    Instrument,
    NotConnected,
    OutOfRange,
    Status,
    Unsupported,
    check_area,
    check_interval,
    check_position,
    check_shape,
)
from napari_hae.instruments.delivered import (
    check_field,
    check_same_field,
    checked_image,
    checked_spectrum,
)
from napari_hae.instruments.dose import DoseLimits, Exposure
from napari_hae.instruments.dose_book import DoseBook
from napari_hae.instruments.shutter import Shutter
from napari_hae.instruments.stated import with_credible_current, with_credible_values
from napari_hae.metadata import bounded, merged
from napari_hae.types import (
    WHOLE_FIELD,
    BeamState,
    ProbePosition,
    ScanImage,
    Spectrum,
    dose_electrons,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel

    from napari_hae.types import Area

PATIENCE_S = 120.0
"""Time beyond the exposure after which an acquisition is ended."""
SETTLE_S = 1.0
"""Time within which a readable blanker must read as blanked."""


class Constraint(Protocol):
    """Allowed beam positions, as an immutable snapshot."""

    def refusal_of_scan(self, area: Area) -> str | None:
        """Return the reason why the beam may not scan an area; None if it may."""

    def refusal(self, position: ProbePosition) -> str | None:
        """Return the reason why the beam may not be there; None if it may."""


@dataclass(frozen=True, slots=True)
class Unconstrained:
    """The whole field of view is open to the beam."""

    def refusal_of_scan(self, area: Area) -> str | None:
        """Return None for every area."""
        return None

    def refusal(self, position: ProbePosition) -> str | None:
        """Return None for every position."""
        return None


@runtime_checkable
class OnOneField(Protocol):
    """A constraint drawn on one field of view, and meaningless on any other."""

    @property
    def field_nm(self) -> tuple[float, float]:
        """`(height, width)` of that field in nm."""


@runtime_checkable
class HasOwnGate(Protocol):
    """An instrument that keeps a gate of its own, as one on another PC does.

    It is told what the gate here is told. The methods may be called on the window's
    thread and must not wait; before the next move or exposure the other gate has to
    know.
    """

    def hand_on_constraint(self, constraint: Constraint) -> None:
        """Let the other gate keep the constraint too."""

    def hand_on_run(self, taken: Sequence[Exposure]) -> None:
        """Let the other gate count a run, and what it has taken already, too."""

    def hand_on_dose_limits(self, limits: DoseLimits) -> None:
        """Let the other gate keep the dose limits too."""


class GuardedInstrument:
    """An instrument behind the gate; itself an `Instrument`.

    It differs from the bare one in this: it unblanks by itself, for the exposure only,
    so that `unblank` is refused; an abort holds until `rearm`; and everything that the
    constraint or the dose limits do not allow is refused before the beam is on.

    Parameters
    ----------
    instrument
        The bare instrument; nobody else should keep a reference to it.
    patience_s
        How long an acquisition may take beyond its exposure.
    settle_s
        How long a blanker that can be read may take.
    """

    def __init__(
        self,
        instrument: Instrument,
        *,
        patience_s: float = PATIENCE_S,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._bare = instrument
        self.title = instrument.title
        self.settings_type: type[BaseModel] = instrument.settings_type
        self._shutter = Shutter(instrument, patience_s=patience_s, settle_s=settle_s)
        self._dose = DoseBook()
        self._state = threading.Lock()
        self._using = threading.Lock()
        self._constraint: Constraint = Unconstrained()
        self._position: ProbePosition | None = None
        self.booked: Exposure | None = None
        """The exposure that was booked last, with the electrons that were booked."""
        self.corrected = ""
        """Description of impossible values that were replaced in the last spectrum."""
        self._fov_nm: tuple[float, float] | None = None
        """The newest field of view, for the words that tell of a place."""

    def connect(self) -> None:
        """Connect, with an earlier abort lifted and the beam blanked afterwards.

        Raises what the instrument raises, and `BlankingFailed`; it is not connected
        then.
        """
        # Before, so that an abort holds that comes while it connects.
        self.rearm()
        try:
            self._bare.connect()
            self._shutter.take_over()
            self._able()
        except BaseException:
            with suppress(Exception):
                self._shutter.release()
            raise

    def disconnect(self) -> None:
        """End the running acquisition, blank the beam and release the instrument.

        Raises
        ------
        BlankingFailed
            If the beam may be on; the instrument is let go all the same.
        """
        self._position = None
        self._shutter.release()

    def capabilities(self) -> Capabilities:
        """Return the instrument's capabilities. Raises `NotConnected`."""
        return with_credible_current(self._bare.capabilities())

    def status(self) -> Status:
        """Return the current state, *unverified* where it is unknown; never raises."""
        status = self._bare.status()
        certain = self._shutter.can_be_read and not self._shutter.is_in_doubt
        if status.beam is BeamState.BLANKED and not certain:
            return replace(status, beam=BeamState.UNVERIFIED)
        return status

    @property
    def blanker_can_be_read(self) -> bool:
        """Return whether the beam state is readable; does not query the instrument."""
        return self._shutter.can_be_read

    @property
    def dose_e(self) -> float:
        """Electrons delivered or reserved since the gate was made; NaN if unknown."""
        return self._dose.all_e

    def would_book(self, exposure: Exposure) -> Exposure:
        """Return an exposure with the electrons that would be booked for it now."""
        current_pa = self._dose.current_pa(self.capabilities().current_pa)
        if current_pa is None:
            return exposure
        dose_e = dose_electrons(current_pa, exposure.beam_on_s)
        return replace(exposure, dose_e=dose_e)

    def limit_dose(self, limits: DoseLimits) -> None:
        """Put dose limits in force; what was taken before counts.

        Raises
        ------
        Unsupported
            If the beam current is neither known nor entered, so that no limit could
            be kept.
        """
        if not limits.is_open:
            self._dose.know(self.capabilities().current_pa)
        self._dose.limit(limits)
        if isinstance(self._bare, HasOwnGate):
            self._bare.hand_on_dose_limits(limits)

    def refusal_of_limits(self, limits: DoseLimits) -> str | None:
        """Return why limits cannot be kept, without querying the instrument."""
        return self._dose.refusal(limits)

    def begin_run(self, taken: Iterable[Exposure] = ()) -> None:
        """Count the electrons of a run from now on, and what it has taken already."""
        able, taken = self.capabilities(), tuple(taken)
        self._dose.begin_run(taken, able.current_pa, able.fov_nm)
        if isinstance(self._bare, HasOwnGate):
            self._bare.hand_on_run(taken)

    def set_constraint(self, constraint: Constraint) -> None:
        """Set the allowed beam positions from the next move on; thread-safe.

        An exposure that is running where the beam may no longer be is interrupted and
        its result discarded.
        """
        with self._state:
            self._constraint = constraint
            if isinstance(self._bare, HasOwnGate):
                self._bare.hand_on_constraint(constraint)
        # Ending an exposure may take the instrument's latency, and the caller is the
        # window's thread: it is not waited for.
        self._shutter.recheck()

    def abort(self, why: str = "") -> None:
        """Blank at once and end what is running; holds until `rearm`.

        What is ended raises `Aborted` that tells `why`, in words.

        Raises what the instrument raises, and `BlankingFailed`; it holds all the same.
        """
        self._shutter.abort(why)

    def rearm(self) -> None:
        """Lift an abort."""
        self._shutter.rearm()

    @property
    def is_aborted(self) -> bool:
        """Return whether an abort holds."""
        return self._shutter.is_aborted

    def blank(self) -> None:
        """Keep the electrons off the sample. Raises `BlankingFailed`."""
        self._shutter.blank()

    def unblank(self) -> None:
        """Refuse always: the gate opens the beam for exposures only."""
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

        The beam has to be placed again afterwards.

        Raises what the instrument raises, and `ForbiddenPosition` where a part of what
        would be scanned is closed to the beam (also when it was closed meanwhile),
        `DoseExceeded`, `Aborted`, `BlankingFailed`, `FieldChanged`, and
        `InstrumentError` where the image is none that an experiment can rest on.
        """

        def refusal() -> str | None:
            with self._state:
                constraint = self._constraint
            reason = constraint.refusal_of_scan(area)
            where = place_text(area, able.fov_nm)
            return None if reason is None else f"a survey image of {where} {reason}"

        with self._in_use():
            able = self._able()
            check_area(area, able)
            check_shape(shape, able)
            check_interval("a dwell time", dwell_time_s, able.dwell_time_s, "s")
            self._check_field(able)
            _check(refusal())
            self._position = None
            self._shutter.make_sure()
            points = shape[0] * shape[1]
            scan = Exposure(area, dwell_time_s * points, points)
            self._reserve(scan, able)
            # Instruments that know of no areas take three arguments.
            where = () if area == WHOLE_FIELD else (area,)
            with self._shutter.exposure(refusal, scan.beam_on_s, opens=False):
                image = self._bare.acquire_survey(
                    detectors, shape, dwell_time_s, *where
                )
            # It may have heard of another field with this scan.
            able = self.capabilities()
            self._check_field(able)
            asked = tuple(detectors), (shape[0], shape[1]), area
            return checked_image(image, *asked, able.fov_nm)

    def place_beam(self, position: ProbePosition) -> None:
        """Put the blanked beam where it may be.

        Raises what the instrument raises, and `ForbiddenPosition`, `Aborted`,
        `BlankingFailed`.
        """
        with self._in_use():
            check_position(position, self._fov_nm)
            # Where it is, should the move fail, nobody knows.
            self._position = None
            self._shutter.make_sure()
            _check(self._refusal_at(position))
            self._bare.place_beam(position)
            self._position = position

    def acquire_spectrum(self, detector: str, exposure_s: float) -> Spectrum:
        """Unblank, take a spectrum where the beam is, and blank.

        Raises what the instrument raises, and `ForbiddenPosition` (also when the place
        was closed during the exposure), `DoseExceeded`, `Aborted`, `BlankingFailed`,
        `FieldChanged`.
        """
        with self._in_use():
            position = self._position
            if position is None:
                raise OutOfRange("no probe position: place the beam first")
            able = self._able()
            check_interval("an exposure", exposure_s, able.exposure_s, "s")
            self._check_field(able)
            _check(self._refusal_at(position))
            if self._shutter.is_in_doubt:
                self._shutter.make_sure()
            booked = self._reserve(Exposure(position, exposure_s), able)
            with self._shutter.exposure(
                lambda: self._refusal_at(position), exposure_s, opens=True
            ):
                spectrum = self._bare.acquire_spectrum(detector, exposure_s)
            axes = {each.name: each.energy for each in able.spectrum_detectors}
            known = Spectrum(
                spectrum.counts,
                axes.get(detector, spectrum.energy),
                detector,
                position,
                exposure_s,
                booked.dose_e,
            )
            spectrum, self.corrected = with_credible_values(spectrum, known)
            spectrum = checked_spectrum(spectrum)
            metadata = bounded(merged(able.metadata, spectrum.metadata))
            spectrum = replace(spectrum, metadata=metadata)
            if math.isnan(spectrum.dose_e):
                # With a current that a person entered.
                return replace(spectrum, dose_e=booked.dose_e)
            return spectrum

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        if not self._using.acquire(blocking=False):
            raise Busy("the instrument is acquiring; wait until it is done, or abort")
        try:
            if not self._shutter.is_held:
                raise NotConnected(f"{self.title} is not connected")
            self._shutter.check_not_aborted()
            yield
        finally:
            self._using.release()

    def _check_field(self, able: Capabilities) -> None:
        """Refuse a field of view that cannot be, or that the constraint is not for."""
        check_field(able.fov_nm, f"{self.title} says")
        with self._state:
            constraint = self._constraint
        if isinstance(constraint, OnOneField):
            check_same_field(able.fov_nm, constraint.field_nm)

    def _refusal_at(self, position: ProbePosition) -> str | None:
        with self._state:
            constraint = self._constraint
        reason = constraint.refusal(position)
        if reason is None:
            return None
        where = place_text(position, self._fov_nm) if self._fov_nm else f"{position}"
        return f"{where} {reason}"

    def _able(self) -> Capabilities:
        """Return the current capabilities and field of view of the instrument."""
        able = self.capabilities()
        self._fov_nm = able.fov_nm
        return able

    def _reserve(self, exposure: Exposure, able: Capabilities) -> Exposure:
        """Book an exposure, made with a current that is allowed, with its electrons."""
        current_pa = self._dose.current_pa(able.current_pa)
        if current_pa is not None and able.allowed_current_pa is not None:
            allowed = able.allowed_current_pa
            check_interval("a beam current", current_pa, allowed, "pA")
        dose_e = self._dose.reserve(exposure, able.current_pa, able.fov_nm)
        self.booked = replace(exposure, dose_e=dose_e)
        return self.booked


def _check(refusal: str | None) -> None:
    if refusal is not None:
        raise ForbiddenPosition(refusal)
