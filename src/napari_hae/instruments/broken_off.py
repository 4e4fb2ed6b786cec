"""Instrument errors that would end a thread silently, such as `sys.exit`."""

from __future__ import annotations

import threading


def told(error: BaseException) -> str:
    """Return an error as text, with its type unless it is an error meant for users."""
    if isinstance(error, Exception):
        return str(error)
    return ": ".join(filter(None, (type(error).__name__, str(error))))


def ends_thread(error: BaseException) -> bool:
    """Return whether an instrument raised an error that ends its thread silently.

    On the main thread that may be the user's Ctrl+C.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return not isinstance(error, Exception) and not is_main
