"""Detection of clients that are silent for too long."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.instruments.bridge.clients import Client, Clients


class Watchdog:
    """A thread that watches the time since each client's last sign of life.

    Parameters
    ----------
    patience_s
        Longest time for which a client may be silent.
    on_silent
        Called with a client that was silent for longer; it has to return soon.
    """

    def __init__(
        self,
        clients: Clients,
        patience_s: float,
        on_silent: Callable[[Client], None],
    ) -> None:
        self._clients = clients
        self._patience_s = patience_s
        self._on_silent = on_silent
        self._is_over = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, name="napari-hae-watchdog", daemon=True
        )

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        wait_s = 0.0
        while not self._is_over.wait(wait_s):
            wait_s = self._patience_s / 10
            for client in self._clients.all():
                left_s = client.heard_s + self._patience_s - time.monotonic()
                if left_s <= 0:
                    self._on_silent(client)
                else:
                    wait_s = min(wait_s, left_s)
