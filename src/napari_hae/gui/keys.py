"""Keyboard shortcuts for frequent actions; napari lists them in its preferences.

ABORT is not among them: its shortcut works wherever the focus is (`abort.py`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from app_model.types import KeyBinding, KeyCode, KeyMod
from napari.components import ViewerModel
from napari.utils.action_manager import action_manager

from napari_hae.gui.pending_edit import commit_edit

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_hae.gui.session import Session

_WITH = KeyMod.CtrlCmd | KeyMod.Alt
KEYS: dict[str, tuple[int, str, Callable[[Session], None]]] = {
    "napari-hae:pause": (
        _WITH | KeyCode.KeyH,
        "Pause the experiment at the end of the step, or go on.",
        lambda session: session.pause_or_resume(),
    ),
    "napari-hae:step": (
        _WITH | KeyCode.KeyN,
        "Measure one spectrum, and pause; without a run, begin one that is paused.",
        lambda session: session.step(),
    ),
    "napari-hae:next_warning": (
        _WITH | KeyCode.KeyW,
        "Show the next warning in the journal of the experiment.",
        lambda session: session.warning_wanted.emit(),
    ),
}
"""Default shortcut of each action, its description, and its function."""


@cache
def add_keys(session_of: Callable[[ViewerModel], Session | None]) -> None:
    """Register the shortcuts with napari, once for all viewers.

    `session_of` returns the session of a viewer, if it has one.
    """
    for name, (key, description, act) in KEYS.items():

        def command(viewer: ViewerModel, act: Callable[[Session], None] = act) -> None:
            if (session := session_of(viewer)) is not None:
                commit_edit()
                act(session)

        action_manager.register_action(name, command, description, ViewerModel)
        # The user may have chosen another shortcut before.
        if not action_manager._shortcuts.get(name):  # noqa: SLF001
            action_manager.bind_shortcut(name, KeyBinding.from_int(key))
