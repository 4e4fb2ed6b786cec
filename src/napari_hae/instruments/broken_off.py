"""Errors of instruments that would end a thread without a word, as `sys.exit`."""

from __future__ import annotations

import threading


def told(error: BaseException) -> str:
    """An error in words; its type, too, where it is none that is meant to be read."""
    if isinstance(error, Exception):
        return str(error)
    return ": ".join(filter(None, (type(error).__name__, str(error))))


def ends_thread(error: BaseException) -> bool:
    """Whether an instrument raised what would end its thread without a word.

    On the main thread that may be a person's Ctrl+C.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return not isinstance(error, Exception) and not is_main
