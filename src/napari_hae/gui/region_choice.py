"""Chooses which layers are regions of interest and forbidden zones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hae.experiment.regions import RegionKind
from napari_hae.gui.regions import paint_layer

if TYPE_CHECKING:
    from napari_hae.gui.session import Session

NO_LAYERS = "Paint, or add a Labels or Shapes layer of any plugin."
_ROW_PX = 24


class RegionChoice(QWidget):
    """Buttons to paint regions, and lists of the layers that can be regions."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = session.viewer, session
        self.paint_interest = QPushButton("Paint region of interest")
        self.paint_interest.setToolTip(
            "Make a layer to paint in; nothing is measured outside of what is painted, "
            "from the first stroke on."
        )
        self.paint_forbidden = QPushButton("Paint forbidden zone")
        self.paint_forbidden.setToolTip(
            "Make a layer to paint in; the beam never goes where it is painted."
        )
        self.interest = _LayerList("Regions of interest")
        self.forbidden = _LayerList("Forbidden zones")
        self.empty = QLabel(NO_LAYERS)
        self.empty.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.paint_interest)
        layout.addWidget(self.paint_forbidden)
        layout.addWidget(self.empty)
        for choice in (self.interest, self.forbidden):
            layout.addWidget(choice)
            choice.list.itemChanged.connect(self._on_chosen)
        self.paint_interest.clicked.connect(self._on_paint_interest)
        self.paint_forbidden.clicked.connect(self._on_paint_forbidden)
        session.survey_changed.connect(self._refresh)
        session.closed.connect(self._detach)
        layers = self._viewer.layers.events
        for event in (layers.inserted, layers.removed):
            event.connect(self._refresh)
        layers.connect(self._on_layer_event)
        self._refresh()

    def _detach(self) -> None:
        layers = self._viewer.layers.events
        for event in (layers.inserted, layers.removed):
            event.disconnect(self._refresh)
        layers.disconnect(self._on_layer_event)

    def _on_layer_event(self, event: Any) -> None:
        if event.type == "name":
            self._refresh()

    def _on_paint_interest(self) -> None:
        self._paint(RegionKind.ROI)

    def _on_paint_forbidden(self) -> None:
        self._paint(RegionKind.FORBIDDEN)

    def _paint(self, kind: RegionKind) -> None:
        frame = self._session.layers.frame
        if frame is None:
            return
        layer = paint_layer(self._viewer, kind, frame)
        interest, forbidden = self.interest.chosen, self.forbidden.chosen
        (interest if kind is RegionKind.ROI else forbidden).append(layer)
        self._choose(interest, forbidden)

    def _on_chosen(self, _: object) -> None:
        self._choose(self.interest.chosen, self.forbidden.chosen)

    def _choose(self, interest: list[Layer], forbidden: list[Layer]) -> None:
        self._session.watcher.set_layers(interest, forbidden)
        self._refresh()

    def _refresh(self, _: object = None) -> None:
        has_field = self._session.layers.frame is not None
        self.paint_interest.setEnabled(has_field)
        self.paint_forbidden.setEnabled(has_field)
        possible = [x for x in self._viewer.layers if isinstance(x, Labels | Shapes)]
        chosen = self._session.watcher.layers
        for choice, kind in (
            (self.interest, RegionKind.ROI),
            (self.forbidden, RegionKind.FORBIDDEN),
        ):
            checked = [x for x in possible if chosen.get(x) is kind]
            choice.show_layers(possible, checked)
        self.empty.setVisible(not possible)


class _LayerList(QWidget):
    """Layers to tick."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setAccessibleName(title)
        self._layers: list[Layer] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QLabel(title))
        layout.addWidget(self.list)

    @property
    def chosen(self) -> list[Layer]:
        """The layers that are ticked."""
        return [
            layer
            for row, layer in enumerate(self._layers)
            if self.list.item(row).checkState() == Qt.CheckState.Checked
        ]

    def show_layers(self, layers: list[Layer], checked: list[Layer]) -> None:
        """Show these layers, some of them ticked; nothing is emitted."""
        self.list.blockSignals(True)
        self.list.clear()
        self._layers = list(layers)
        for layer in layers:
            item = QListWidgetItem(layer.name, self.list)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            ticked = layer in checked
            item.setCheckState(
                Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked
            )
        self.list.setFixedHeight(_ROW_PX * min(max(len(layers), 1), 5) + 4)
        self.list.blockSignals(False)
        self.setVisible(bool(layers))
