"""The places that a person wants measured next: a list to fill, reorder and empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hae.gui.layer_combo import LayerCombo
from napari_hae.gui.places import holds_places, pixels_of

if TYPE_CHECKING:
    from napari_hae.gui.session import Session

HOW = "Ctrl+click in the image measures there next."
_ROW_PX = 22


class QueuePanel(QWidget):
    """Shows the queue of a run, and changes it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.hint = QLabel(HOW)
        self.hint.setWordWrap(True)
        self.list = QListWidget()
        self.list.setAccessibleName("Places to measure next")
        self.list.setToolTip("The next one is at the top. Drag to reorder.")
        self.list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Take the selected places off the list.")
        self.empty = QPushButton("Empty")
        self.empty.setToolTip("Take all places off the list; the agent goes on.")
        self.layer = LayerCombo(session.viewer, holds_places)
        self.add = QPushButton("Add places of layer")
        self.add.setToolTip(
            "Points: each point. Shapes: all pixels along its lines and paths. Labels: "
            "the centre of each object."
        )
        grid = QGridLayout()
        grid.addWidget(self.remove, 0, 0)
        grid.addWidget(self.empty, 0, 1)
        grid.addWidget(self.layer, 1, 0)
        grid.addWidget(self.add, 1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.hint)
        layout.addWidget(self.list)
        layout.addLayout(grid)
        self.remove.clicked.connect(self._on_remove)
        self.empty.clicked.connect(self._on_empty)
        self.add.clicked.connect(self._on_add)
        self.list.model().rowsMoved.connect(self._on_moved)
        self.list.itemSelectionChanged.connect(self._refresh)
        self.layer.changed.connect(self._refresh)
        session.live.queue_changed.connect(self._show)
        session.started.connect(self._refresh)
        session.state_changed.connect(self._refresh)
        self._show(())

    def _show(self, pixels: tuple[tuple[int, int], ...]) -> None:
        self.list.clear()
        frame = self._session.layers.frame
        for row, column in pixels:
            text = f"row {row}, column {column}"
            if frame is not None:
                y_nm, x_nm = frame.nm(frame.position(row, column))
                text = f"x = {x_nm:.1f} nm, y = {y_nm:.1f} nm"
            item = QListWidgetItem(text, self.list)
            item.setData(Qt.ItemDataRole.UserRole, (row, column))
        self.list.setFixedHeight(_ROW_PX * min(max(len(pixels), 1), 6) + 4)
        self.list.setVisible(bool(pixels))
        self._refresh()

    def _pixels(self, *, selected: bool | None = None) -> list[tuple[int, int]]:
        items = [self.list.item(row) for row in range(self.list.count())]
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if selected is None or item.isSelected() is selected
        ]

    def _refresh(self, _: object = None) -> None:
        running = self._session.is_running
        self.remove.setEnabled(running and bool(self.list.selectedItems()))
        self.empty.setEnabled(running and self.list.count() > 0)
        self.add.setEnabled(running and self.layer.layer is not None)

    def _on_remove(self) -> None:
        self._session.reorder_queue(self._pixels(selected=False))

    def _on_empty(self) -> None:
        self._session.reorder_queue([])

    def _on_moved(self) -> None:
        self._session.reorder_queue(self._pixels())

    def _on_add(self) -> None:
        layer, frame = self.layer.layer, self._session.layers.frame
        if layer is None or frame is None:
            return
        pixels = pixels_of(layer, frame)
        if pixels:
            self._session.measure_next(pixels)
        else:
            self._session.failed.emit(
                "Nothing to measure",
                f"the layer {layer.name!r} has no point, line or object in the field",
            )
