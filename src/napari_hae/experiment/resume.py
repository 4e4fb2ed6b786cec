"""Continuation of a stored run as the uninterrupted run would have gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.history import Retargeting, SettingsChange
from napari_hae.types import Measurement, Proposal

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.experiment.advisor import Advisor
    from napari_hae.experiment.stored import StoredRun


def replay(
    past: StoredRun, advisor: Advisor, check: Callable[[], None] = lambda: None
) -> bool:
    """Replay the history of a stored run through an agent.

    The agent receives the same data in the same order, and refits at the same steps, so
    that it ends in the same state, with the data known when it was last asked.

    An exception of `check` cancels it, as a long run takes time. Returns whether the
    agent was already asked for the next step, and the answer was dropped.
    """
    told: list[Measurement] = []
    last_asked = -1
    for event in past.history:
        check()
        match event:
            case Proposal():
                advisor.repeat(event, told)
                last_asked = event.step
            case Measurement():
                told.append(event)
            case SettingsChange():
                advisor.configure(event.settings)
            case Retargeting(targets, errors):
                advisor.catch_up(told)
                told = event.of(told)
                advisor.retarget(targets, errors)
    return last_asked >= len(told)
