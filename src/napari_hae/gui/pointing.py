"""Ctrl+click in the image to measure there next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_hae.gui.places import pixel_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_hae.gui.session import Session

MODIFIER = "Control"
REST = "pan_zoom"
NOT_MEASURED = "Not measured"
OUTSIDE = "the place lies outside the survey image whose pixels are the candidates"


class Pointing:
    """Mouse handler on the canvas of a session's viewer."""

    def __init__(self, session: Session) -> None:
        self._session = session
        session.viewer.mouse_drag_callbacks.append(self._on_press)

    def detach(self) -> None:
        """Disconnect the handler."""
        self._session.viewer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, _: object, event: Any) -> Iterator[None]:
        session, frame = self._session, self._session.layers.frame
        if MODIFIER not in event.modifiers or not session.is_running or frame is None:
            return
        pixel = pixel_at(frame, event.position)
        if pixel is None:
            session.failed.emit(NOT_MEASURED, OUTSIDE)
            return
        session.mended.emit(NOT_MEASURED)
        session.measure_next([pixel])
        # A layer in paint mode receives the same click: it is suspended until the
        # release.
        active = session.viewer.layers.selection.active
        mode = None if active is None else str(active.mode)
        if mode in (None, REST):
            return
        active.mode = REST
        yield
        while event.type == "mouse_move":
            yield
        active.mode = mode
