"""Orders pending for the server's gate: newest regions and dose limits only.

They are given on the window's thread, which must not wait, and sent by another one;
a call that moves the beam waits here until the server has obeyed.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_hae.instruments.base import NotConnected, Unsupported
from napari_hae.instruments.gate import Unconstrained

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.instruments.base import InstrumentError


@dataclass(frozen=True)
class Order:
    """One order, `"constraint"`, `"run"` or `"dose_limits"`: its value and number."""

    number: int
    name: str
    value: Any

    def to_json(self) -> str:
        """Return the order in the form that the server reads.

        Raises
        ------
        Unsupported
            If it is a constraint of a kind that cannot travel.
        """
        return json.dumps({self.name: self._values()})

    def _values(self) -> Any:
        if isinstance(self.value, Unconstrained):
            return None
        if isinstance(self.value, tuple):
            return [each.to_json() for each in self.value]
        to_json = getattr(self.value, "to_json", None)
        if to_json is None:
            raise Unsupported(
                f"a constraint of the kind {type(self.value).__name__} cannot be sent "
                "to the server, which would not keep it: the beam must not move"
            )
        return to_json()


class Orders:
    """The orders in force, and which of them one connection's server has obeyed.

    Parameters
    ----------
    in_force
        Orders of an earlier connection, which this server does not know yet.
    """

    def __init__(self, in_force: Sequence[Order] = ()) -> None:
        self._changed = threading.Condition()
        self._in_force = {order.name: order for order in in_force}
        self._waiting = dict(self._in_force)
        self._on_its_way: Order | None = None
        self._refusals: dict[str, InstrumentError] = {}
        self._number = max((order.number for order in in_force), default=0)
        self._obeyed = 0
        self._has_begun = self._is_closed = False

    def again(self) -> Orders:
        """Return the same orders for a new connection."""
        with self._changed:
            return Orders(tuple(self._in_force.values()))

    def give(self, name: str, value: object) -> None:
        """Put an order in force, replacing the last of that name; return at once."""
        with self._changed:
            self._number += 1
            order = Order(self._number, name, value)
            self._in_force[name] = self._waiting[name] = order
            self._changed.notify_all()

    def begin(self) -> None:
        """Allow orders to be sent: the server accepts them from now on."""
        with self._changed:
            self._has_begun = True
            self._changed.notify_all()

    def close(self) -> None:
        """End the exchange with the server; waiting calls get `NotConnected`."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def next(self, timeout_s: float) -> Order | None:
        """Return the next order to send; None if there is none within the time."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._may_be_sent() or self._is_closed, timeout_s
            )
            if self._is_closed or not self._may_be_sent():
                return None
            # By number: the server takes a number for all those before it.
            order = min(self._waiting.values(), key=lambda each: each.number)
            self._on_its_way = self._waiting.pop(order.name)
            return order

    def answered(self, order: Order, refusal: InstrumentError | None) -> None:
        """Note that the server has obeyed an order, or refused it."""
        with self._changed:
            self._on_its_way = None
            self._refusals.pop(order.name, None)
            if refusal is None:
                self._obeyed = order.number
            else:
                self._refusals[order.name] = refusal
            self._changed.notify_all()

    def settled(self, timeout_s: float) -> int:
        """Wait until the server has obeyed all orders; return the last one's number.

        Raises
        ------
        NotConnected
            If there is no server, or it does not answer in time.
        InstrumentError
            If the server refused an order, with its error.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_settled() or self._is_closed, timeout_s
            )
            if self._is_closed:
                raise NotConnected("the line to the server is closed: connect again")
            if not self._is_settled():
                raise NotConnected(
                    "the server did not take the newest regions or dose limits within "
                    f"{timeout_s:g} s: the beam does not move"
                )
            for refusal in self._refusals.values():
                raise refusal
            return self._obeyed

    def _is_settled(self) -> bool:
        return not self._waiting and self._on_its_way is None

    def _may_be_sent(self) -> bool:
        return self._has_begun and bool(self._waiting)
