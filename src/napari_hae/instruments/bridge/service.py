"""Calls that a server offers to its clients over the line."""

from __future__ import annotations

import json
import logging
import threading
from functools import wraps
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import InstrumentError, NotConnected
from napari_hae.instruments.bridge.wire import packed, packed_error, unpacked
from napari_hae.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.bridge.clients import Client, Clients
    from napari_hae.instruments.bridge.ownership import Ownership
    from napari_hae.instruments.bridge.served import ServedInstrument
    from napari_hae.types import Area, ProbePosition, ScanImage, Spectrum

    Reply = dict[str, Any]

logger = logging.getLogger(__name__)


_CALLS: dict[str, Callable[..., Reply]] = {}
"""All methods that the other side may call, by name."""


def _answers(method: Callable[..., Any]) -> Callable[..., Reply]:
    """Pass the calling client to a method, and make a reply of its result or error.

    Every reply carries the newest state of the microscope.
    """

    @wraps(method)
    def answer(self: Service, client: Client, *arguments: Any) -> Reply:
        try:
            self.check_is_connected(client)
            client.hear()
            value = method(self, client, *map(unpacked, arguments))
            client.hear()
            reply = {"value": packed(value)}
        except InstrumentError as error:
            reply = {"error": packed_error(error)}
        # Any error here must reach the user at the other end as a message.
        except Exception as error:
            logger.exception("the call %s failed", method.__name__)
            failure = InstrumentError(f"the server failed: {_named(error)}")
            reply = {"error": packed_error(failure)}
        return {**reply, **self.state()}

    _CALLS[method.__name__] = answer
    return answer


def _works(*, lifts: bool) -> Callable[[Callable[..., Any]], Callable[..., Reply]]:
    """Pass the gate to a method, for one move or acquisition of its owner.

    The reply carries the capabilities too where they are others than the client knows.
    """

    def decorated(method: Callable[..., Any]) -> Callable[..., Reply]:
        @wraps(method)
        def work(self: Service, client: Client, relies_on: int, *given: Any) -> Any:
            with self.ownership.working(client, relies_on, lift=lifts) as gate:
                value = method(self, gate, *given)
                return value, _news(client, gate.capabilities())

        return _answers(work)

    return decorated


class Service:
    """The calls offered to clients.

    Parameters
    ----------
    title
        Name of the microscope.
    watchdog_s
        Longest time for which a client may be silent.
    """

    def __init__(
        self, ownership: Ownership, clients: Clients, title: str, watchdog_s: float
    ) -> None:
        self.ownership = ownership
        self._clients = clients
        self._title = title
        self._watchdog_s = watchdog_s

    def answer(self, client: Client, name: str, arguments: Sequence[Any]) -> Reply:
        """Return the reply to a call by name; any error is part of it, as text."""
        call = _CALLS.get(name)
        if call is None:
            error = InstrumentError(f"the server knows no call {name[:50]!r}")
            return {"error": packed_error(error), **self.state()}
        return call(self, client, *arguments)

    def check_is_connected(self, client: Client) -> None:
        """Raise `NotConnected` for a client that was dropped."""
        if not self._clients.holds(client):
            raise NotConnected("the server let go of this client: connect again")

    def state(self) -> dict[str, Any]:
        """Return the newest state of the microscope, and its number."""
        number, status = self.ownership.status()
        return {"status": packed(status), "reading": number}

    def end(self, client: Client, why: str) -> None:
        """Drop a client, and release the microscope if it has it; return at once."""
        if not self._clients.forget(client):
            return

        def let_go() -> None:
            self.ownership.let_go(client, why)

        threading.Thread(target=let_go, name="napari-hae-let-go").start()
        client.hang_up()

    @_answers
    def hello(self, client: Client) -> str:
        """Describe the server, as JSON; also for clients without the microscope."""
        owner = self.ownership.in_words
        about = {
            "title": self._title,
            "version": __version__,
            "watchdog_s": self._watchdog_s,
            "owner": owner,
        }
        return json.dumps(about)

    @_answers
    def claim(self, client: Client) -> Capabilities:
        """Take the microscope, if nobody has it."""
        client.told = self.ownership.claim(client)
        return client.told

    @_answers
    def release(self, client: Client) -> None:
        """Give the microscope back, blanked."""
        self.ownership.let_go(client, "it disconnected")

    @_answers
    def beat(self, client: Client) -> None:
        """Record a sign of life of the client."""

    @_answers
    def obey(self, client: Client, number: int, orders: str) -> int:
        """Put regions or dose limits in force; return the order's number."""
        self.ownership.obey(client, number, orders)
        return number

    @_answers
    def blank(self, client: Client) -> None:
        """Keep the electrons off the sample."""
        self.ownership.gate_of(client).blank()

    @_answers
    def abort(self, client: Client) -> None:
        """Blank at once, and end what is running."""
        self.ownership.gate_of(client).abort()

    @_works(lifts=True)
    def place(self, gate: ServedInstrument, position: ProbePosition) -> None:
        """Put the blanked beam at a position."""
        gate.place_beam(position)

    @_works(lifts=False)
    def expose(
        self, gate: ServedInstrument, detector: str, exposure_s: float, lit: bool
    ) -> Spectrum:
        """Take a spectrum where the beam is, exposed or with the beam blanked."""
        if lit:
            return gate.acquire_spectrum(detector, exposure_s)
        return gate.acquire_dark_spectrum(detector, exposure_s)

    @_works(lifts=True)
    def survey(
        self,
        gate: ServedInstrument,
        detectors: Sequence[str],
        shape: tuple[int, int],
        dwell_time_s: float,
        area: Area,
    ) -> ScanImage:
        """Scan the field of view, or an area of it."""
        return gate.acquire_survey(detectors, shape, dwell_time_s, area)


def _news(client: Client, able: Capabilities) -> Capabilities | None:
    """Return capabilities that the client does not have yet."""
    if able == client.told:
        return None
    client.told = able
    return able


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
