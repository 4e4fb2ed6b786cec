"""The settings in force, and what is ordered to change them."""

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
"""Sections that decide how a run begins; they do not change while it goes."""


@dataclass(frozen=True)
class OrderedChange:
    """A change that waits for the next boundary, and the reason given for it."""

    change: SettingsPatch
    why: str = ""


class OrderedSettings:
    """Settings that any thread may read and change, and one puts in force.

    What is ordered counts as ordered until it is in force: nobody sees it gone between.
    """

    def __init__(self, settings: ExperimentSettings) -> None:
        self._lock = threading.Lock()
        self._in_force = settings
        self._under_way: Sequence[OrderedChange] = ()
        self._ordered: Sequence[OrderedChange] = ()

    @property
    def in_force(self) -> ExperimentSettings:
        """The settings that the run goes by now."""
        return self._in_force

    @property
    def wanted(self) -> ExperimentSettings:
        """The settings in force with all that is ordered and not in force yet."""
        with self._lock:
            return self._wanted

    def order(self, change: SettingsPatch, why: str = "") -> None:
        """Change some fields at the next boundary, but for those of the start.

        Raises
        ------
        ValueError
            If its fields do not go together with those that are wanted.
        """
        change = change.without(*AT_THE_START)
        with self._lock:
            change.applied_to(self._wanted)
            self._ordered = (*self._ordered, OrderedChange(change, why))

    def take(self) -> Sequence[OrderedChange]:
        """Return what is ordered, in order; it counts as ordered until `settle`."""
        with self._lock:
            self._under_way, self._ordered = self._ordered, ()
            return self._under_way

    def settle(self, settings: ExperimentSettings) -> None:
        """Let settings be in force, with all in them of what was taken that is used."""
        with self._lock:
            self._in_force, self._under_way = settings, ()

    @property
    def _wanted(self) -> ExperimentSettings:
        wanted = self._in_force
        for each in (*self._under_way, *self._ordered):
            # What does not fit what the run chose meanwhile is refused when it is due.
            with contextlib.suppress(ValueError):
                wanted = each.change.applied_to(wanted)
        return wanted
