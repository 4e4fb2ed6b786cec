"""The queue of positions that the user wants measured next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, Qt, Signal
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

from napari_hae.gui.layer_calibration import take_calibration
from napari_hae.gui.layer_combo import LayerCombo
from napari_hae.gui.places import holds_places, pixels_of

if TYPE_CHECKING:
    from napari_hae.experiment.place_queue import Pixel
    from napari_hae.gui.session import Session

HOW = "Ctrl+click in the image measures there next."
NOTHING = "Nothing to measure"
PIXEL = Qt.ItemDataRole.UserRole
_ROW_PX = 22


class PlaceList(QListWidget):
    """List whose rows can be reordered by dragging."""

    dropped = Signal()
    """Emit when a drag has ended, whatever its result."""

    def __init__(self) -> None:
        super().__init__()
        self.is_dragged = False
        self.setAccessibleName("Places to measure next")
        self.setToolTip("The next one is at the top. Drag to reorder.")
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)

    def startDrag(self, supportedActions: Qt.DropAction) -> None:
        """Drag the selected rows, in an event loop that ends with the drag."""
        self.is_dragged = True
        try:
            super().startDrag(supportedActions)
        finally:
            self.is_dragged = False
        self.dropped.emit()

    def show_places(self, texts: dict[Pixel, str]) -> None:
        """Show positions by their texts; rows that stay keep their state."""
        items = {item.data(PIXEL): item for item in self.items()}
        top = self.itemAt(QPoint(1, 1))
        is_scrolled = self.verticalScrollBar().value() > 0
        for pixel in items.keys() - texts.keys():
            self.takeItem(self.row(items[pixel]))
        for row, (pixel, text) in enumerate(texts.items()):
            item = items.get(pixel) or QListWidgetItem()
            item.setData(PIXEL, pixel)
            item.setText(text)
            if self.item(row) is not item:
                is_selected = item.isSelected()
                self.takeItem(self.row(item))
                self.insertItem(row, item)
                item.setSelected(is_selected)
        if is_scrolled and top is not None and top.data(PIXEL) in texts:
            self.scrollToItem(top, QAbstractItemView.ScrollHint.PositionAtTop)

    def items(self) -> list[QListWidgetItem]:
        """All rows, from the top."""
        return [self.item(row) for row in range(self.count())]


class QueuePanel(QWidget):
    """Display of a run's queue, with controls to change it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.hint = QLabel(HOW)
        self.hint.setWordWrap(True)
        self.list = PlaceList()
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
        self.list.dropped.connect(self._on_dropped)
        self.list.itemSelectionChanged.connect(self._refresh)
        self.layer.changed.connect(self._refresh)
        session.live.queue_changed.connect(self._show)
        session.started.connect(self._refresh)
        session.state_changed.connect(self._refresh)
        self._show(session.live.queue)

    def _show(self, pixels: tuple[Pixel, ...]) -> None:
        if self.list.is_dragged:
            return
        self.list.show_places({pixel: self._text(pixel) for pixel in pixels})
        self.list.setFixedHeight(_ROW_PX * min(max(len(pixels), 1), 6) + 4)
        self.list.setVisible(bool(pixels))
        self._refresh()

    def _text(self, pixel: Pixel) -> str:
        row, column = pixel
        frame = self._session.layers.frame
        if frame is None:
            return f"row {row}, column {column}"
        y_nm, x_nm = frame.nm(frame.position(row, column))
        return f"x = {x_nm:.1f} nm, y = {y_nm:.1f} nm"

    def _pixels(self, *, selected: bool | None = None) -> list[Pixel]:
        return [
            item.data(PIXEL)
            for item in self.list.items()
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
        # Positions added during the drag are not in the list yet.
        moved, waiting = self._pixels(), self._session.live.queue
        self._session.reorder_queue(list(dict.fromkeys([*moved, *waiting])))

    def _on_dropped(self) -> None:
        self._session.live.refresh()
        self._show(self._session.live.queue)

    def _on_add(self) -> None:
        layer, frame = self.layer.layer, self._session.layers.frame
        if layer is None or frame is None:
            return
        try:
            told = take_calibration(layer, frame)
        except ValueError as error:
            self._session.failed.emit("Nothing to measure", str(error))
            return
        if told:
            self._session.said.emit(told)
        pixels = pixels_of(layer, frame, self._session.viewer.dims.point)
        if pixels:
            self._session.mended.emit(NOTHING)
            self._session.measure_next(pixels)
        else:
            self._session.failed.emit(
                NOTHING,
                f"the layer {layer.name!r} has no point, line or object in the field",
            )
