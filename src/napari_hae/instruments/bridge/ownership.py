"""Exclusive ownership of the beam: assignment and release of the microscope."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import (
    Busy,
    InstrumentError,
    NotConnected,
    Status,
    in_use,
)
from napari_hae.instruments.dose import DoseLimits, Exposure
from napari_hae.instruments.gate import Unconstrained
from napari_hae.regions.allowed_field import AllowedField
from napari_hae.types import BeamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from napari_hae.instruments.base import Capabilities
    from napari_hae.instruments.bridge.clients import Client
    from napari_hae.instruments.bridge.served import ServedInstrument

logger = logging.getLogger(__name__)

_REMINDER_S = 10.0
_TRIES, _PAUSE_S = 5, 0.2
_MOST_VALUES = 1_000_000
"""Largest number of values in an order: half a million corners of polygons. Reading
them takes 0.1 s."""


class Ownership:
    """The microscope and its current owner among the clients.

    Each owner gets an instrument of its own, behind a gate of its own, as in the plugin
    each connection does: constraints, dose and seeds of one owner are not the next
    one's.

    Parameters
    ----------
    make
        Makes the instrument behind its gate, not connected.
    """

    def __init__(self, make: Callable[[], ServedInstrument]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._in_use = threading.Lock()
        self._reading = threading.Lock()
        self._readings = 0
        self._owner: Client | None = None
        self._since = datetime.now()
        self._gate: ServedInstrument | None = None
        self._is_ending = False
        self._obeyed = 0

    @property
    def in_words(self) -> str:
        """Owner of the microscope, and since when, as text; empty if there is none."""
        owner = self._owner
        if owner is None:
            return ""
        ending = ", and it is being taken back" if self._is_ending else ""
        return f"{owner.name} (since {self._since:%Y-%m-%d %H:%M:%S}){ending}"

    def claim(self, client: Client) -> Capabilities:
        """Give a client the microscope, connected and blanked.

        Raises
        ------
        Busy
            If somebody has it; the text says who, and since when.
        InstrumentError
            If the microscope cannot be connected.
        """
        owner = self._owner
        if owner is not None and owner.identity == client.identity:
            self.let_go(owner, "it connected anew")
        with self._lock:
            if self._owner is not None:
                raise Busy(f"the microscope is in use by {self.in_words}")
            self._owner, self._since = client, datetime.now()
        try:
            able = self._connect(client)
        except Exception:
            self.let_go(client, "the microscope could not be connected")
            raise
        logger.info("%s has the microscope", client.name)
        return able

    def _connect(self, client: Client) -> Capabilities:
        # Releasing the microscope waits for this.
        with self._in_use:
            if self._owner is not client or self._is_ending:
                raise NotConnected("the client is gone")
            gate = self._make()
            gate.connect()
            self._gate = gate
            return gate.capabilities()

    @contextmanager
    def working(
        self, client: Client, relies_on: int, *, lift: bool
    ) -> Iterator[ServedInstrument]:
        """Provide the gate for one move or acquisition of its owner.

        Parameters
        ----------
        relies_on
            The number of the order that must have been obeyed before.
        lift
            True if this lifts an earlier abort.
        """
        with in_use(self._in_use):
            with self._lock:
                gate = self._gate_of(client)
                if relies_on > self._obeyed:
                    raise InstrumentError(
                        f"regions or dose limits number {relies_on} did not arrive; "
                        f"the server has number {self._obeyed}"
                    )
                # Under the lock: an abort because the client is gone comes after.
                if lift:
                    gate.rearm()
            yield gate

    def gate_of(self, client: Client) -> ServedInstrument:
        """Return the gate of the owner. Raises `NotConnected` for anybody else."""
        with self._lock:
            return self._gate_of(client)

    def is_owner(self, client: Client) -> bool:
        """Return whether a client has the microscope, or is about to have it."""
        return self._owner is client

    def obey(self, client: Client, number: int, text: str) -> None:
        """Put regions or dose limits in force at the gate.

        Raises what the gate raises, and `NotConnected`, `ValueError`.
        """
        gate = self.gate_of(client)
        orders = _orders(text)
        if "constraint" in orders:
            values = orders["constraint"]
            none = values is None
            gate.set_constraint(
                Unconstrained() if none else AllowedField.from_json(values)
            )
        if "run" in orders:
            gate.begin_run(map(Exposure.from_json, orders["run"]))
        if "dose_limits" in orders:
            gate.limit_dose(DoseLimits(**orders["dose_limits"]))
        self._obeyed = number

    def let_go(self, client: Client, why: str) -> None:
        """Take the microscope from its owner: blank, end what runs, disconnect.

        Does nothing for a client that does not have it. Returns when it is free.
        """
        with self._lock:
            if self._owner is not client or self._is_ending:
                return
            self._is_ending = True
            gate = self._gate
        if gate is not None:
            end = partial(
                _end_and_blank, gate, f"the server let go of the client ({why})"
            )
            _insist("blanked", end)
            logger.info("%s: beam blanked, acquisition ended (%s)", client.name, why)
        while not self._in_use.acquire(timeout=_REMINDER_S):
            logger.warning("the microscope still has not ended what was aborted")
        try:
            gate, self._gate = self._gate, None
            if gate is not None:
                _insist("disconnected", gate.disconnect)
        finally:
            with self._lock:
                self._owner, self._is_ending, self._obeyed = None, False, 0
            self._in_use.release()
        logger.info("the microscope is free")

    def status(self) -> tuple[int, Status]:
        """Return the microscope's state, and a number that grows with each reading."""
        # Read under the lock: a higher number means a later state.
        with self._reading:
            self._readings += 1
            gate = self._gate
            if gate is None:
                return self._readings, Status(False, BeamState.BLANKED, None)
            return self._readings, gate.status()

    def _gate_of(self, client: Client) -> ServedInstrument:
        if self._owner is not client or self._gate is None or self._is_ending:
            other = f" {self.in_words} has it." if self._owner is not None else ""
            raise NotConnected(
                f"this client does not have the microscope: connect again.{other}"
            )
        return self._gate


def _orders(text: str) -> Mapping[str, Any]:
    """Read orders short enough not to delay an abort. Raises `ValueError`."""
    if text.count(",") + text.count("[") + text.count("{") > _MOST_VALUES:
        raise ValueError(
            f"orders of more than {_MOST_VALUES} values are not read: draw simpler "
            "regions"
        )
    orders = json.loads(text)
    if not isinstance(orders, dict):
        raise ValueError("orders come as names with values")
    return orders


def _end_and_blank(gate: ServedInstrument, why: str) -> None:
    gate.abort(why)
    gate.blank()


def _insist(what: str, act: Callable[[], None]) -> None:
    """Try a few times; an instrument's refusal must not end the server."""
    for _ in range(_TRIES):
        try:
            act()
            return
        except Exception as error:
            failure = error
            time.sleep(_PAUSE_S)
    logger.critical(
        "THE MICROSCOPE COULD NOT BE %s, blank the beam by hand: %s",
        what.upper(),
        failure,
    )
