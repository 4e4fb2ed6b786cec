"""Recordings of one device of the instrumentation kit, with readable errors."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import (
    Aborted,
    AcquisitionTimeout,
    Busy,
    InstrumentError,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

POLL_S = 0.005


class Recorder:
    """A scan or a camera; to be used on the worker's thread only.

    Parameters
    ----------
    device
        A hardware source of the kit.
    name
        Its name in messages.
    aborted
        Set while an abort holds.
    patience_s
        Extra time that a recording may take beyond its own.
    """

    def __init__(
        self, device: Any, name: str, aborted: threading.Event, patience_s: float
    ) -> None:
        self.device = device
        self._name = name
        self._aborted = aborted
        self._patience_s = patience_s

    async def until_free(self) -> None:
        """Wait until the last recording has retired: a second one would be refused.

        Raises `Busy` if it does not end.
        """
        ends = time.monotonic() + self._patience_s
        while self.device.is_recording:
            if time.monotonic() > ends:
                raise Busy(f"the {self._name} of Nion Swift is recording; wait for it")
            await asyncio.sleep(POLL_S)

    async def record(self, parameters: Any, lasting_s: float) -> Sequence[Any]:
        """Return the data of one recording, at least one item.

        Raises
        ------
        Busy
            If the device is recording already.
        Aborted
            If an abort or somebody in Swift ended it.
        AcquisitionTimeout
            If it takes too long.
        InstrumentError
            If the device failed.
        """
        if self.device.is_recording:
            raise Busy(f"the {self._name} of Nion Swift is recording; wait for it")
        earlier = len(_notifications())
        with in_words(f"record with the {self._name}"):
            task = self.device.start_recording(frame_parameters=parameters)
        try:
            await self._until_retired(lasting_s)
        except BaseException:
            self.stop()
            raise
        if task.is_error:
            raise InstrumentError(_fault(self._name, earlier))
        # A recording that was ended early may still deliver data.
        if self.device.is_aborted:
            raise Aborted(f"the recording of the {self._name} was ended in Nion Swift")
        with in_words(f"hand over what the {self._name} recorded"):
            recorded: Sequence[Any] = task.grab_xdatas(timeout=POLL_S)
        if not recorded:
            raise InstrumentError(f"the {self._name} of Nion Swift recorded nothing")
        return recorded

    def stop(self) -> None:
        """End the recording; the device may take some time to retire."""
        # It may have retired between the question and the order.
        with suppress(AssertionError):
            if self.device.is_recording:
                self.device.abort_recording()
                cancel = getattr(self._camera, "acquire_single_cancel", None)
                if cancel is not None:
                    cancel()

    @property
    def _camera(self) -> Any:
        return getattr(self.device, "camera", None)

    async def _until_retired(self, lasting_s: float) -> None:
        """Wait until the device has retired, later than its data, to record again."""
        allowed_s = lasting_s + self._patience_s
        ends = time.monotonic() + allowed_s
        while self.device.is_recording:
            check_not_aborted(self._aborted)
            if time.monotonic() > ends:
                raise AcquisitionTimeout(
                    f"the {self._name} of Nion Swift did not deliver within "
                    f"{allowed_s:.3g} s"
                )
            await asyncio.sleep(POLL_S)
        check_not_aborted(self._aborted)


def check_not_aborted(aborted: threading.Event) -> None:
    """Raise `Aborted` while an abort holds."""
    if aborted.is_set():
        raise Aborted("aborted: place the beam or start an acquisition to go on")


@contextmanager
def in_words(what: str) -> Iterator[None]:
    """Convert any exception of the kit into an `InstrumentError`."""
    try:
        yield
    except InstrumentError:
        raise
    # The kit raises plain exceptions and assertions.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise InstrumentError(f"Nion Swift could not {what}: {reason}") from error


def _fault(name: str, earlier: int) -> str:
    """Describe a fault by the kit's notifications; it prints errors, raises none."""
    said = "; ".join(note.text for note in _notifications()[earlier:] if note.text)
    return f"the {name} of Nion Swift failed: {said or 'it gave no reason'}"


def _notifications() -> Sequence[Any]:
    from nion.utils import Registry

    source = Registry.get_component("notification-source")
    return source.notifications if source is not None else ()
