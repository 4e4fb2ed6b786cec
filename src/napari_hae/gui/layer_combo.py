"""Combo box of the viewer's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Layer
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

NONE = "(no layer)"


class LayerCombo(QComboBox):
    """Choice of the layers that fulfil a condition; follows the viewer."""

    changed = Signal()
    """Emit when another layer, or none, is chosen."""

    def __init__(
        self,
        viewer: Viewer,
        offers: Callable[[Layer], bool],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._offers = viewer, offers
        self._layers: list[Layer] = []
        self.waits = False
        """True if only the user chooses. Otherwise the first layer is chosen where none
        is, or where the chosen one was removed."""
        self.setAccessibleName("Layer")
        self.setPlaceholderText(NONE)
        self.setMinimumWidth(60)
        self._events = [viewer.layers.events.inserted, viewer.layers.events.removed]
        for event in self._events:
            event.connect(self._refresh)
        viewer.layers.events.connect(self._on_layer_event)
        self.currentIndexChanged.connect(self.changed)
        self._refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer) -> None:
        """Choose a layer, if it is offered."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))

    def detach(self) -> None:
        """Disconnect from the viewer."""
        for event in self._events:
            event.disconnect(self._refresh)
        self._viewer.layers.events.disconnect(self._on_layer_event)

    def _on_layer_event(self, event: Any) -> None:
        if event.type == "name":
            self._refresh()

    def _refresh(self, _: object = None) -> None:
        before = self.layer
        self._layers = [layer for layer in self._viewer.layers if self._offers(layer)]
        self.blockSignals(True)
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        if before in self._layers:
            self.setCurrentIndex(self._layers.index(before))
        else:
            self.setCurrentIndex(-1 if self.waits or not self._layers else 0)
        self.setEnabled(bool(self._layers))
        self.blockSignals(False)
        # Most layers that are added or removed do not matter here.
        if self.layer is not before:
            self.changed.emit()
