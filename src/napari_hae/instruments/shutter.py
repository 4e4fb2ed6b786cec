"""Shutter that opens the beam for exposures only and closes it on every exit."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    BlankingFailed,
    ForbiddenPosition,
    InstrumentError,
)
from napari_hae.instruments.broken_off import ends_thread, told
from napari_hae.types import BeamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_hae.instruments.base import Instrument

logger = logging.getLogger(__name__)

_AGAIN_S = 0.05
"""An acquisition that is to end is told so again and again: the first time it may not
have begun yet."""
_LOOK_AGAIN_S = 0.02


@dataclass(eq=False)
class _Going:
    """A running exposure, and the request to end it."""

    refusal: Callable[[], str | None]
    is_scan: bool
    over: threading.Event = field(default_factory=threading.Event)
    ended_by: InstrumentError | None = None
    enders: list[threading.Thread] = field(default_factory=list)


class Shutter:
    """The blanker of an instrument, its abort, and the exposure that is under way.

    Parameters
    ----------
    patience_s
        How long an acquisition may take beyond its exposure, before it is ended.
    settle_s
        How long a blanker that can be read may take until it reads as blanked.
    """

    def __init__(
        self, instrument: Instrument, *, patience_s: float, settle_s: float
    ) -> None:
        self._bare = instrument
        self._patience_s, self._settle_s = patience_s, settle_s
        self._state = threading.Lock()
        self._beam = threading.RLock()
        self._going: _Going | None = None
        self._failed = False
        self.is_held = False
        """True while the instrument is connected and not released."""
        self.can_be_read = True
        """True if the instrument reports the state of its beam."""
        self.is_aborted = False
        """True while an abort holds."""
        self._aborted_why = ""

    @property
    def is_in_doubt(self) -> bool:
        """Return whether the beam may be on although it should be blanked."""
        return self._failed

    def take_over(self) -> None:
        """Blank the beam of an instrument that was connected just now.

        Raises
        ------
        BlankingFailed
            If it cannot be blanked.
        """
        self.can_be_read = self._bare.capabilities().blanker_can_be_read
        self.is_held = True
        self.blank()

    def release(self) -> None:
        """End the running exposure, blank the beam and release the instrument."""
        try:
            if self.is_held:
                self.abort()
        except BlankingFailed:
            raise
        except BaseException:
            # It blanked all the same.
            logger.exception("the instrument does not abort")
        finally:
            with self._beam:
                self.is_held = self._failed = False
                self._bare.disconnect()
            self.rearm()

    def abort(self, why: str = "") -> None:
        """Blank at once and end what is running; holds until `rearm`.

        What is ended tells `why`, in words, to whoever waits for it.

        Raises
        ------
        BlankingFailed
            If the beam may be on.
        """
        reason = _aborted(why)
        with self._state:
            self.is_aborted, self._aborted_why = True, why
            # Before it ends: who waits for it is told why, however soon that is.
            if self._going is not None:
                self._going.ended_by = reason
        try:
            self._cut()
        finally:
            self._end(reason, at_once=False)

    def rearm(self) -> None:
        """Lift an abort."""
        with self._state:
            self.is_aborted = False

    def recheck(self) -> None:
        """End an exposure where the beam may no longer be; does not wait for it."""
        with self._state:
            going = self._going
        if going is None:
            return
        if going.is_scan:
            # To look at a whole area takes time, which the caller may not have.
            looking = threading.Thread(
                target=self._look_at, args=(going,), name="napari-hae-look", daemon=True
            )
            looking.start()
        else:
            self._look_at(going)

    def check_not_aborted(self) -> None:
        """Raise `Aborted` while an abort holds."""
        if self.is_aborted:
            raise _aborted(self._aborted_why)

    def make_sure(self) -> None:
        """Blank what somebody else unblanked, or what could not be blanked before."""
        if self._failed or self._reads_on():
            self.blank()

    def blank(self) -> None:
        """Keep the electrons off the sample, and verify it.

        Raises
        ------
        BlankingFailed
            If it cannot be done, or the beam reads as on.
        """
        if not self.is_held:
            self._bare.blank()
            return
        problem = self._blanking_problem()
        self._failed = problem is not None
        if problem is not None:
            # Many instruments abort by another way than they blank.
            with suppress(BaseException):
                self._bare.abort()
            raise BlankingFailed(f"{problem}: blank it by hand")

    @contextmanager
    def exposure(
        self, refusal: Callable[[], str | None], beam_on_s: float, *, opens: bool
    ) -> Iterator[None]:
        """Allow the beam to be on inside the context, and nowhere else.

        Parameters
        ----------
        refusal
            Why the beam may not be where it is, by the newest regions; None if it may.
        opens
            Whether to unblank; a scan does so by itself.
        """
        going = _Going(refusal, is_scan=not opens)
        with self._state:
            self._going = going
        overrun = threading.Timer(
            beam_on_s + self._patience_s, self._end, (_overrun(beam_on_s), going)
        )
        overrun.daemon = True
        overrun.start()
        try:
            # To look may take time, which an abort does not wait for.
            self._check(going)
            with self._beam:
                self._check_not_ended(going)
                if opens:
                    self._bare.unblank()
                    # What was ordered while the instrument did so.
                    self._check_not_ended(going)
            yield
            self._check_not_ended(going)
        except BaseException as error:
            self._close(going, overrun, error)
            reason = going.ended_by
            is_broken_off = ends_thread(error)
            is_known = is_broken_off or isinstance(error, InstrumentError)
            if reason not in (None, error) and is_known:
                raise reason from error
            if is_broken_off:
                text = f"the instrument broke off: {told(error)}"
                raise InstrumentError(text) from error
            raise
        self._close(going, overrun, None)
        # Who painted meanwhile may still be looking at it. The beam is off by now.
        self._check(going)

    def _look_at(self, going: _Going) -> None:
        if (reason := going.refusal()) is not None:
            self._end(ForbiddenPosition(reason), going)

    def _check_not_ended(self, going: _Going) -> None:
        self.check_not_aborted()
        if going.ended_by is not None:
            raise going.ended_by

    def _check(self, going: _Going) -> None:
        self._check_not_ended(going)
        if (reason := going.refusal()) is not None:
            raise ForbiddenPosition(reason)

    def _close(
        self, going: _Going, overrun: threading.Timer, error: BaseException | None
    ) -> None:
        overrun.cancel()
        try:
            with self._beam:
                if self.is_held:
                    self.blank()
        except BlankingFailed as failure:
            if error is None:
                raise
            before = going.ended_by or error
            raise BlankingFailed(f"{told(before)}; and {failure}") from error
        finally:
            # Not before: while the beam blanks, a place may still be closed.
            with self._state:
                self._going = None
            going.over.set()
            # What ends this exposure must not reach the next one.
            for ender in going.enders:
                ender.join(self._patience_s)

    def _end(
        self,
        reason: InstrumentError,
        going: _Going | None = None,
        *,
        at_once: bool = True,
    ) -> None:
        """End what is going, or that one if it still goes, on a thread of its own."""
        with self._state:
            current = self._going
            if current is None or (going is not None and going is not current):
                return
            if current.ended_by is not None and at_once:
                return
            if current.ended_by is None or isinstance(reason, Aborted):
                current.ended_by = reason
            ender = threading.Thread(
                target=self._keep_ending,
                args=(current, at_once),
                name="napari-hae-interrupt",
                daemon=True,
            )
            current.enders.append(ender)
            ender.start()

    def _keep_ending(self, going: _Going, at_once: bool) -> None:
        wait_s = 0.0 if at_once else _AGAIN_S
        while not going.over.wait(wait_s):
            wait_s = _AGAIN_S
            try:
                self._cut()
            except BaseException:
                logger.exception("an acquisition that is to end could not be ended")

    def _cut(self) -> None:
        """Have the instrument abort, and blank in any case."""
        try:
            self._bare.abort()
        except BaseException as error:
            if not ends_thread(error):
                raise
            text = f"the instrument's abort failed: {told(error)}"
            raise InstrumentError(text) from error
        finally:
            # An unblanking that was already on its way would win over the abort: wait
            # for it, and blank once more.
            with self._beam:
                if self.is_held:
                    self.blank()

    def _blanking_problem(self) -> str | None:
        try:
            self._bare.blank()
            give_up_s = time.monotonic() + self._settle_s
            while self._reads_on():
                if time.monotonic() >= give_up_s:
                    return "the beam was told to blank and still reads as on"
                time.sleep(_LOOK_AGAIN_S)
        # Whatever it is: the beam may be on, and somebody has to be told.
        except BaseException as error:
            return f"the beam could not be blanked ({told(error)})"
        return None

    def _reads_on(self) -> bool:
        return self.can_be_read and self._bare.status().beam is BeamState.ON


def _aborted(why: str = "") -> Aborted:
    said = why or "aborted"
    return Aborted(f"{said}: the beam stays blanked until the next start")


def _overrun(beam_on_s: float) -> AcquisitionTimeout:
    return AcquisitionTimeout(
        f"the instrument did not come back from {beam_on_s:.3g} s of exposure: the "
        "gate ended it"
    )
