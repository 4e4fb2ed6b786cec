"""Restrict linear algebra to one thread, and torch's random numbers to one at a time.

More threads gain little at these sizes, and slow the window down: after each product
the threads of OpenBLAS busy-wait for the next one for a tenth of a second.
"""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from functools import cache
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


DRAWING = threading.Lock()
"""Lock held while weights are drawn: all threads share torch's generator."""


class OneThread(ContextDecorator):
    """Limit on the threads of linear algebra while any thread is inside the context.

    Parameters
    ----------
    find
        Function that finds the loaded libraries, called at the first use.
    """

    def __init__(
        self, find: Callable[[], ThreadpoolController] = ThreadpoolController
    ) -> None:
        self._find = cache(find)
        self._inside = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit = self._find().limit(limits=1, user_api="blas")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


one_thread = OneThread()
"""Context, or decorator of a function, for computations on one thread."""
