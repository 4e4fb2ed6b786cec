"""Goes on with a stored run as the uninterrupted run would have."""

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
    """Lead an agent through everything that the stored run's agent went through.

    The agent is told what it was told, in the same order, and fits where it fitted, so
    that it ends in the same state: it knows what it knew when it was last asked.

    What `check` raises ends it: a long run takes its time. Returns whether the agent
    was asked for the next step already, and the answer dropped.
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
