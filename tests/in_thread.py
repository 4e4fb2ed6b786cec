"""Calls in threads of their own, which end within a time."""

from __future__ import annotations

import threading

PATIENCE_S = 60


def in_thread(call, *arguments):
    """Start a call; gives the thread and a list of what comes of it, or is raised."""
    came = []

    def run():
        try:
            came.append(call(*arguments))
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, came


def ended(thread):
    """Wait until it has ended."""
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
