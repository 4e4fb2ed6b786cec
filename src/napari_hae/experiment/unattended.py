"""Rules for unattended runs: on the command line and in scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.experiment.events import RunPhase

if TYPE_CHECKING:
    from napari_hae.experiment.runner import Runner
    from napari_hae.experiment.settings import ExperimentSettings

_NOBODY = "it paused, and without a window nobody can let it go on"


def check_unattended(settings: ExperimentSettings) -> None:
    """Raise `ValueError` for settings that would wait for an absent user."""
    if settings.loop.approve:
        raise ValueError(
            "loop.approve: true is not allowed without a window, where nobody could "
            "answer; give --set loop.approve=false, or run it in napari"
        )


def stop_in_pauses(runner: Runner) -> None:
    """Stop the run, with the reason in its journal, as soon as it pauses."""

    def stop(state: RunPhase) -> None:
        if state is RunPhase.PAUSED:
            runner.stop(why=_NOBODY)

    runner.events.state_changed.connect(stop)
