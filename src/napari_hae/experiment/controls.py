"""Orders of the user: the thread-safe part of the runner that listeners use."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari_hae.experiment.orders import WentAlone

if TYPE_CHECKING:
    from napari_hae.experiment.orders import HumanOrder


class Order(StrEnum):
    """Order for the experiment's thread at a step's boundary."""

    GO = "go"
    STOP = "stop"
    CHANGE = "change"


@dataclass(frozen=True)
class Verdict:
    """Answer of the user to a proposal."""

    agrees: bool
    why: str = ""


class Controls:
    """Orders on their way from any thread to the experiment's thread.

    Parameters
    ----------
    paused
        Start in the paused state.
    """

    def __init__(self, *, paused: bool = False) -> None:
        self._changed = threading.Condition()
        self._paused = paused
        self._steps_allowed = 0
        self._stopping = False
        self._stopped_why = ""
        self._verdict: Verdict | None = None
        self._asks = False
        self._changes: dict[str, tuple[Any, str]] = {}
        self._orders: list[HumanOrder] = []
        self._alone = 0

    def pause(self) -> None:
        """Pause at the next boundary."""
        with self._changed:
            self._paused, self._steps_allowed = True, 0
            self._changed.notify_all()

    def resume(self) -> None:
        """Continue."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def step(self) -> None:
        """Take one step, then pause again."""
        with self._changed:
            self._paused = True
            self._steps_allowed += 1
            self._changed.notify_all()

    def stop(self, why: str = "") -> None:
        """End the run at the next boundary; cannot be undone."""
        with self._changed:
            if not self._stopping:
                self._stopping, self._stopped_why = True, why
            self._changed.notify_all()

    @property
    def stopped_why(self) -> str:
        """Return the reason for stopping, as far as one was given."""
        with self._changed:
            return self._stopped_why

    def answer(self, verdict: Verdict) -> None:
        """Answer the proposal that waits for approval; only the first answer counts."""
        with self._changed:
            self._verdict = self._verdict or verdict
            self._changed.notify_all()

    def change(self, name: str, value: Any, why: str = "") -> None:
        """Replace a value at the next boundary; the last wins, reasons accumulate."""
        with self._changed:
            _, before = self._changes.get(name, (None, ""))
            whys = "; ".join(text for text in (before, why) if text)
            self._changes[name] = value, whys
            self._changed.notify_all()

    def do(self, order: HumanOrder) -> None:
        """Queue an order for the next boundary; orders are carried out one by one."""
        with self._changed:
            self._orders.append(order)
            self._changed.notify_all()

    def go_alone(self, steps: int, why: str) -> None:
        """Let the agent take some steps without approval, the waiting one included.

        Atomically: the waiting proposal must not see the order before its answer.
        """
        with self._changed:
            if self._asks and self._verdict is None:
                self._verdict, steps = Verdict(True), steps - 1
            self._alone = steps
            self._orders.append(WentAlone(steps, why))
            self._changed.notify_all()

    def takes_alone(self) -> bool:
        """Return whether this step needs no approval, and count it."""
        with self._changed:
            if not self._alone:
                return False
            self._alone -= 1
            return True

    def is_free(self) -> bool:
        """Return whether there is no order except to continue."""
        with self._changed:
            return not (self._stopping or self._paused or self.has_orders())

    def has_orders(self) -> bool:
        """Return whether an order is to be carried out at the next boundary."""
        with self._changed:
            return bool(self._changes or self._orders)

    def take_changes(self) -> dict[str, tuple[Any, str]]:
        """Return the changes since the last call, by name, each with its reason."""
        with self._changed:
            changes, self._changes = self._changes, {}
            return changes

    def take_orders(self) -> list[HumanOrder]:
        """Return the other orders since the last call, in order."""
        with self._changed:
            orders, self._orders = self._orders, []
            return orders

    def order(self) -> Order | None:
        """Return the order to follow now; None while the run can only wait."""
        with self._changed:
            return self._order()

    def wait_for_order(self) -> None:
        """Block until there is something to do."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopping
                    or self.has_orders()
                    or not self._paused
                    or self._steps_allowed
                )
            )

    def wait_to_go_on(self) -> bool:
        """Block until the user lets the run continue; False if it is to end."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or not self._paused or self._steps_allowed
            )
            return not self._stopping

    def ask(self) -> None:
        """Open a question for `wait_for_verdict`, dropping any earlier answer."""
        with self._changed:
            self._verdict, self._asks = None, True

    def wait_for_verdict(self, timeout_s: float | None = None) -> Verdict | None:
        """Block until the proposal is answered.

        Returns None if another order comes first, or on a time-out.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._verdict or self._stopping or self.has_orders(), timeout_s
            )
            verdict, self._verdict, self._asks = self._verdict, None, False
            return verdict

    def _order(self) -> Order | None:
        # Also at the end, so that a judgement of the user is not lost.
        if self.has_orders():
            return Order.CHANGE
        if self._stopping:
            return Order.STOP
        if not self._paused:
            return Order.GO
        if self._steps_allowed:
            self._steps_allowed -= 1
            return Order.GO
        return None
