"""Settings in force, and pending changes."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.experiment.settings_patch import SettingsPatch

AT_THE_START = "seed", "initial"
"""Sections that determine the start of a run; they do not change during it."""


@dataclass(frozen=True)
class OrderedChange:
    """Change that waits for the next boundary, with its reason."""

    change: SettingsPatch
    why: str = ""


class OrderedSettings:
    """Settings that any thread may read and change, and one thread puts in force.

    A change counts as pending until it is in force, so that no reader misses it in
    between.
    """

    def __init__(self, settings: ExperimentSettings) -> None:
        self._lock = threading.Lock()
        self._in_force = settings
        self._under_way: Sequence[OrderedChange] = ()
        self._ordered: Sequence[OrderedChange] = ()

    @property
    def in_force(self) -> ExperimentSettings:
        """Return the settings in force."""
        return self._in_force

    @property
    def wanted(self) -> ExperimentSettings:
        """Return the settings in force with all pending changes."""
        with self._lock:
            return self._wanted

    def order(self, change: SettingsPatch, why: str = "") -> None:
        """Change some fields at the next boundary, except those of the start.

        Raises
        ------
        ValueError
            If its fields are inconsistent with the pending settings.
        """
        change = change.without(*AT_THE_START)
        with self._lock:
            change.applied_to(self._wanted)
            self._ordered = (*self._ordered, OrderedChange(change, why))

    def take(self) -> Sequence[OrderedChange]:
        """Return the pending changes, in order; they stay pending until `settle`."""
        with self._lock:
            self._under_way, self._ordered = self._ordered, ()
            return self._under_way

    def settle(self, settings: ExperimentSettings) -> None:
        """Put settings in force, with all accepted parts of the changes taken."""
        with self._lock:
            self._in_force, self._under_way = settings, ()

    @property
    def _wanted(self) -> ExperimentSettings:
        wanted = self._in_force
        for each in (*self._under_way, *self._ordered):
            # A change that is inconsistent with a choice of the run meanwhile is
            # refused when due.
            with contextlib.suppress(ValueError):
                wanted = each.change.applied_to(wanted)
        return wanted
