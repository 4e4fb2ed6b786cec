"""The user's selection of candidates, stored in a layer of the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_hae.gui.layers import insert_layer
from napari_hae.gui.regions import begin_painting, region_layer
from napari_hae.regions.regions import RegionKind

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_hae.gui.session import Session

_EVENTS = ("labels_update", "paint", "set_data", "data")
"""Events that change a layer; during a stroke, only `labels_update` is emitted."""


class CandidateSelection(QObject):
    """Selected candidates from all views, stored in the layer *Selection*."""

    changed = Signal()
    """Emit when the selection has changed; at most once per pass of the event loop."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._layer: Labels | None = None
        self._timer = QTimer(self, singleShot=True, interval=0)
        self._timer.timeout.connect(self.changed)
        self._list_events = (
            session.viewer.layers.events.inserted,
            session.viewer.layers.events.removed,
        )
        for event in self._list_events:
            event.connect(self._on_layers)
        session.closed.connect(self._detach)
        self._on_layers()

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Selected candidates, `(rows, columns)`; none before a survey image."""
        frame = self._session.layers.frame
        shape = (0, 0) if frame is None else frame.shape
        if self._layer is None or self._layer.data.shape != shape:
            return np.zeros(shape, dtype=bool)
        marked: NDArray[np.bool_] = np.asarray(self._layer.data) > 0
        return marked

    def select(self, mask: NDArray[np.bool_]) -> None:
        """Select these candidates and no others."""
        if mask.any() or self._layer is not None:
            self._session.layers.show_selection(mask)

    def clear(self) -> None:
        """Select nothing."""
        self.select(np.zeros_like(self.mask))

    def begin_painting(self) -> None:
        """Let the user paint the selection in the image."""
        layer = self._layer or self._session.layers.show_selection(self.mask)
        begin_painting(self._session.viewer, layer)

    def make_region(self, kind: RegionKind) -> Labels | None:
        """Turn the selection into a region, in force at once, in a new layer.

        The selection is cleared. None if it was empty.
        """
        mask, session = self.mask, self._session
        frame = session.layers.frame
        if frame is None or not mask.any():
            return None
        name = f"{str(kind).capitalize()} from selection"
        layer = region_layer(kind, mask.astype(np.uint8), frame, name)
        kinds = {**session.watcher.layers, layer: kind}
        # In force before it is shown, so that no list of layers shows it unticked.
        session.watcher.set_layers(
            [each for each, its in kinds.items() if its is RegionKind.ROI],
            [each for each, its in kinds.items() if its is RegionKind.FORBIDDEN],
        )
        insert_layer(session.viewer, layer)
        self.clear()
        return layer

    def _on_layers(self, _: Any = None) -> None:
        layer = self._session.layers.selection_layer
        if layer is self._layer:
            return
        self._let_go()
        self._layer = layer
        if layer is not None:
            for name in _EVENTS:
                layer.events[name].connect(self._on_painted)
        self._timer.start()

    def _on_painted(self, _: Any) -> None:
        self._timer.start()

    def _let_go(self) -> None:
        if self._layer is not None:
            for name in _EVENTS:
                self._layer.events[name].disconnect(self._on_painted)
        self._layer = None

    def _detach(self) -> None:
        self._timer.stop()
        for event in self._list_events:
            event.disconnect(self._on_layers)
        self._let_go()
