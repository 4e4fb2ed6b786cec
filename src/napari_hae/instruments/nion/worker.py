"""A thread with an event loop, which owns all objects of Nion Swift."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from napari_hae.instruments.base import AcquisitionTimeout, NotConnected

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    T = TypeVar("T")

WATCH_S = 0.1


class Worker:
    """Runner of functions and coroutines on its own thread.

    A coroutine that waits leaves the thread to the others, so that the beam can be
    blanked while a recording goes on.

    Parameters
    ----------
    watch
        Called on the thread every 0.1 s; must not raise.
    leave
        The last call on the thread, when the worker is stopped or the program ends.
    """

    def __init__(
        self, name: str, watch: Callable[[], None], leave: Callable[[], None]
    ) -> None:
        self._watch, self._leave = watch, leave
        self._gone: Future[None] = Future()
        self._ready = threading.Event()
        # No daemon: the beam is to be blanked although nobody disconnected.
        self._thread = threading.Thread(target=self._work, name=name, daemon=False)
        self._thread.start()
        self._ready.wait()

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Call a function on the thread and return its result.

        Raises
        ------
        NotConnected
            If the worker has stopped.
        AcquisitionTimeout
            If there is no answer in time.
        """

        async def called() -> T:
            return function()

        return self.run(called, timeout_s)

    def run(
        self, function: Callable[[], Coroutine[Any, Any, T]], timeout_s: float
    ) -> T:
        """Run a coroutine on the thread and return its result. Raises as `call`."""
        answer: Future[T] = Future()
        started: list[asyncio.Task[None]] = []
        try:
            self._loop.call_soon_threadsafe(
                lambda: started.append(
                    self._loop.create_task(_settle(function, answer))
                )
            )
        except RuntimeError:
            raise NotConnected("Nion Swift is not connected") from None
        ends: tuple[Future[Any], ...] = (answer, self._gone)
        done, _ = wait(ends, timeout_s, FIRST_COMPLETED)
        if answer in done and not answer.cancelled():
            return answer.result()
        if done:
            raise NotConnected("Nion Swift was disconnected meanwhile")
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in started])
        raise AcquisitionTimeout(f"Nion Swift gave no answer within {timeout_s:g} s")

    def stop(self, timeout_s: float) -> None:
        """Run the last call, and wait until the thread has ended.

        Raises
        ------
        AcquisitionTimeout
            If it does not end in time.
        """
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise AcquisitionTimeout(
                f"Nion Swift could not be left within {timeout_s:g} s"
            )

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._gone.set_result(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._ready.set()
        try:
            while not self._ended.is_set() and threading.main_thread().is_alive():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), WATCH_S)
                self._watch()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._leave()


async def _settle(
    function: Callable[[], Coroutine[Any, Any, T]], answer: Future[T]
) -> None:
    """Run a coroutine and hand over its result or exception."""
    try:
        result = await function()
    except asyncio.CancelledError:
        answer.cancel()
        raise
    except BaseException as error:
        answer.set_exception(error)
    else:
        answer.set_result(result)
