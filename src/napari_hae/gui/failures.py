"""Display of failures that still hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_hae.gui.sentences import Problem

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_hae.gui.session import Session


class Failures(Problem):
    """The newest of a session's failures that still hold.

    Each belongs to an action that failed: it is removed when the action succeeds, or is
    tried again.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._standing: dict[str, str] = {}
        session.failed.connect(self._on_failed)
        session.mended.connect(self._on_mended)
        session.started.connect(self.forget)

    def forget(self) -> None:
        """Remove all earlier failures."""
        self._standing.clear()
        self._show()

    def _on_failed(self, what: str, why: str) -> None:
        self._standing.pop(what, None)
        self._standing[what] = why
        self._show()

    def _on_mended(self, what: str) -> None:
        for each in [each for each in self._standing if each.startswith(what)]:
            del self._standing[each]
        self._show()

    def _show(self) -> None:
        newest = list(self._standing.items())[-1:]
        self.say("".join(f"{what}: {why}" for what, why in newest))
