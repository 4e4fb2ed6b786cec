"""Long calls, for which an abort does not wait."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from napari_hae.instruments.base import Aborted, Busy

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class LongCalls:
    """Runner of one call at a time, on a thread of its own.

    An abort holds until `rearm`. It lets go of a call that is under way: the device
    goes on with it to its end, and `settle` waits for that.
    """

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._aborted = False
        self._under_way = False

    @property
    def under_way(self) -> bool:
        """True if a call is under way, waited for or abandoned."""
        return self._under_way

    def abort(self) -> None:
        """Abandon the call under way; any thread may call this."""
        with self._news:
            self._aborted = True
            self._news.notify_all()

    def rearm(self) -> None:
        """Lift an abort."""
        with self._news:
            self._aborted = False

    def check(self) -> None:
        """Raise `Aborted` while an abort holds."""
        if self._aborted:
            raise Aborted("aborted: place the beam or start an acquisition to go on")

    def settle(self, wait_s: float) -> None:
        """Wait until an abandoned call has ended.

        Raises
        ------
        Aborted
            If there is another abort meanwhile.
        Busy
            If it has not ended after so long.
        """
        with self._news:
            self._news.wait_for(lambda: self._aborted or not self._under_way, wait_s)
            self.check()
            if self._under_way:
                raise Busy("the microscope is still at what was aborted; try again")

    def finish(self) -> None:
        """Wait until no call is under way; a call is bounded by its own time-out."""
        with self._news:
            self._news.wait_for(lambda: not self._under_way)

    def run(self, call: Callable[[], T]) -> T:
        """Run a call and return its result.

        Raises
        ------
        Aborted
            If there was an abort before it ended.
        """
        outcome: Future[T] = Future()

        def work() -> None:
            try:
                outcome.set_result(call())
            except BaseException as error:
                outcome.set_exception(error)
            finally:
                with self._news:
                    self._under_way = False
                    self._news.notify_all()

        with self._news:
            self.check()
            self._under_way = True
            threading.Thread(target=work, name="napari-hae-tango", daemon=True).start()
            self._news.wait_for(lambda: self._aborted or not self._under_way)
            self.check()
        return outcome.result()
