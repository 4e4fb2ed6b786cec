"""Access to the microscope of a running Nion Swift, or to Nion's simulator."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_hae.instruments.base import Busy, Unsupported
from napari_hae.instruments.nion.microscope import Microscope
from napari_hae.instruments.nion.recorder import in_words
from napari_hae.instruments.nion.settings import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from napari_hae.instruments.nion.settings import NionSettings


_simulating = threading.Lock()
"""Held while an instrument of this program has the simulator running."""


def open_microscope(
    settings: NionSettings, aborted: threading.Event, stack: ExitStack
) -> Microscope:
    """Return the microscope, blanked; closing `stack` shuts a simulator down.

    Everything of the kit is imported and made on the calling thread, which needs a
    running event loop.

    Raises
    ------
    Unsupported
        If the kit is not installed, or there is no Swift and no simulator is wanted.
    Busy
        If another instrument of this program has the simulator.
    InstrumentError
        If the microscope lacks what is needed.
    """
    with _installed():
        # This module makes the registered microscope known to the kit.
        from nion.instrumentation import stem_controller  # noqa: F401
        from nion.utils import Registry
    if _simulating.locked():
        raise Busy("another Nion instrument of this program has the simulator")
    if Registry.get_component("stem_controller") is None:
        _start_simulator(settings, stack)
    controller = Registry.get_component("stem_controller")
    return Microscope(controller, settings, aborted)


def _start_simulator(settings: NionSettings, stack: ExitStack) -> None:
    if not settings.simulator:
        raise Unsupported(
            "there is no Nion Swift in this program: run napari inside Swift, or "
            "switch the simulator on"
        )
    with _installed():
        from napari_hae.instruments.nion import simulator
    _simulating.acquire()
    stack.callback(_simulating.release)
    with in_words("start its simulator"):
        stack.push(simulator.start(SAMPLES.index(settings.sample)))


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise Unsupported(
            f"Nion's instrumentation kit is not installed ({error}): "
            'pip install "napari-hae[nion]"'
        ) from error
