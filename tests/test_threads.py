"""Linear algebra on one thread while the agent calculates."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from napari_hae.agent.threads import OneThread, one_thread


@pytest.fixture
def two_threads():
    """As on a machine with more than one processor."""
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(2, "blas"):
        yield


def threads_of_blas() -> set[int]:
    """How many threads the libraries may use."""
    blas = ThreadpoolController().select(user_api="blas")
    return {library["num_threads"] for library in blas.info()}


def test_a_calculation_has_one_thread_and_gives_the_others_back(two_threads):
    """Also one within another, and one that fails."""
    within = one_thread(threads_of_blas)
    with one_thread:
        assert within() == {1}
        assert threads_of_blas() == {1}
    assert threads_of_blas() == {2}
    with pytest.raises(ZeroDivisionError), one_thread:
        raise ZeroDivisionError
    assert threads_of_blas() == {2}


class Libraries:
    """In place of the real ones, whose number of threads only they themselves know."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def limit(self, *, limits: int, user_api: str) -> Libraries:
        self.told.append(f"{limits} for {user_api}")
        return self

    def restore_original_limits(self) -> None:
        self.told.append("as before")


def test_of_two_calculations_at_a_time_the_last_gives_them_back():
    """Whichever began first."""
    libraries = Libraries()
    limit = OneThread(lambda: libraries)
    inside, leave = threading.Event(), threading.Event()

    @limit
    def other() -> None:
        inside.set()
        leave.wait(10)

    thread = threading.Thread(target=other)
    with limit:
        thread.start()
        assert inside.wait(10)
    assert libraries.told == ["1 for blas"]
    leave.set()
    thread.join()
    assert libraries.told == ["1 for blas", "as before"]
