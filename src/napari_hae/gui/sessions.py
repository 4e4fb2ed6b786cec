"""Lookup of the session of a viewer, which ends with the viewer's window."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_hae.experiment.ending import AbortedBy
from napari_hae.gui.abort import AbortButton, abort_key
from napari_hae.gui.held_still import HeldStill
from napari_hae.gui.keys import add_keys
from napari_hae.gui.layer_list import stored_layers_of
from napari_hae.gui.own_window import show_in_own_window
from napari_hae.gui.pending_edit import commit_edit
from napari_hae.gui.reader_preference import prefer_record_reader
from napari_hae.gui.session import Session
from napari_hae.gui.wheel import scroll_past

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.viewer import Viewer

_sessions: dict[int, Session] = {}


def session_of(viewer: Viewer) -> Session:
    """Return the one session that all docks of a viewer share."""
    # napari passes plugins a new proxy of the viewer each time.
    viewer = getattr(viewer, "__wrapped__", viewer)
    if (session := session_if_any(viewer)) is None:
        session = _sessions[id(viewer)] = Session(viewer)
        prefer_record_reader()
        session.opened_elsewhere.connect(show_in_own_window)
        if stored := stored_layers_of(viewer):
            session.open_record(list(stored)[-1])
    return session


def session_if_any(viewer: ViewerModel) -> Session | None:
    """Return the session of a viewer, if a dock was opened."""
    return _sessions.get(id(viewer))


def abort_everywhere(by: AbortedBy) -> None:
    """Abort in every window of the program, as the intended beam is unknown.

    Windows without a microscope have nothing to abort, and say so only if all are.
    """
    sessions = list(_sessions.values())
    for session in [each for each in sessions if each.can_abort] or sessions:
        session.abort(by)


class Dock(QWidget):
    """Base class of all docks: has its session, and ends it with the window."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session_of(napari_viewer)
        add_keys(session_if_any)
        # napari adds the dock to the window after its creation.
        QTimer.singleShot(0, self._join_window)

    def _join_window(self) -> None:
        scroll_past(self)
        HeldStill(self)
        for button in self.findChildren(QPushButton):
            button.pressed.connect(commit_edit)
            # Enter presses it; outside of dialogs Qt supports only Space.
            button.setAutoDefault(True)
            if isinstance(button, AbortButton):
                # Not `clicked` directly, which would pass its own bool argument.
                button.clicked.connect(lambda: abort_everywhere(AbortedBy.BUTTON))
        window = self.window()
        if window is not self and window.findChild(_CloseWatcher) is None:
            _CloseWatcher(window, self.session)
            abort_key(window, partial(abort_everywhere, AbortedBy.KEY))


class _CloseWatcher(QObject):
    """Close a session when the window of its viewer is closed.

    napari does not notify plugins of this. The window gets a close event, which the
    user may still cancel; once it is accepted the window is hidden, and its children
    are destroyed, or the program ends.
    """

    def __init__(self, window: QWidget, session: Session) -> None:
        super().__init__(window)
        self._closing = False
        self._session, self._window = session, window
        window.installEventFilter(self)
        # Bound to the session, which outlives this object.
        self.destroyed.connect(session.close)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(session.close)
        session.closed.connect(_forget)

    def eventFilter(self, _: QObject, event: QEvent) -> bool:
        """Detect that the window was closed and is hidden now.

        If there are unsaved spectra, the user is asked first.
        """
        if event.type() == QEvent.Type.Close:
            asks = event.spontaneous()
            if asks and not self._session.unsaved.lets_close(self._window):
                event.ignore()
                return True
            self._closing = True
            if not event.spontaneous():
                # Closed by the program: there is no user who could cancel it.
                self._session.close()
        elif event.type() == QEvent.Type.Show:
            self._closing = False
        elif event.type() == QEvent.Type.Hide and self._closing:
            self._session.close()
        return False


def _forget(session: Session) -> None:
    for key in [key for key, each in _sessions.items() if each is session]:
        del _sessions[key]
