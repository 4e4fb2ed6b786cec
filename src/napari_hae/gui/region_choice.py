"""The list of regions: layers used as regions, their kinds, and their effect.

A row for each Labels or Shapes layer of any plugin; buttons to make layers to paint in.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QFrame,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_hae.gui.layer_calibration import take_calibration
from napari_hae.gui.layers import role_of
from napari_hae.gui.region_row import RegionRow
from napari_hae.gui.regions import Terms, change_kind, paint_layer
from napari_hae.gui.sentences import Problem
from napari_hae.regions.regions import RegionKind

if TYPE_CHECKING:
    from napari_hae.gui.session import Session

NO_LAYERS = "Paint, or add a Labels or Shapes layer of any plugin."
NOTHING_OPEN = "No position is open: widen a region, or switch one off."
LIST_PX = 320
"""Largest height of the list; a longer one scrolls."""

_PAINT = {
    RegionKind.ROI: "nothing is measured outside of what is painted, from the first "
    "stroke on.",
    RegionKind.FORBIDDEN: "the beam never goes where it is painted.",
    RegionKind.SOFT: "the agent prefers what is painted, or avoids it, and may still "
    "go anywhere.",
}


class RegionChoice(QWidget):
    """Buttons to paint regions, and the list of the layers that can be regions."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = session.viewer, session
        self.paint_buttons = {kind: _paint_button(kind) for kind in RegionKind}
        self.paint_interest = self.paint_buttons[RegionKind.ROI]
        self.paint_forbidden = self.paint_buttons[RegionKind.FORBIDDEN]
        self.paint_soft = self.paint_buttons[RegionKind.SOFT]
        self.rows: dict[Layer, RegionRow] = {}
        self.empty = QLabel(NO_LAYERS)
        self.empty.setWordWrap(True)
        self.problem = Problem()
        self._lay_out()
        self._connect()
        self._refresh()

    def _lay_out(self) -> None:
        self._list = QWidget()
        self._in_list = QVBoxLayout(self._list)
        self._in_list.setContentsMargins(0, 0, 4, 0)
        self._in_list.setSpacing(4)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._list)
        self._list.installEventFilter(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in self.paint_buttons.values():
            layout.addWidget(button)
        for part in (self.empty, self._scroll, self.problem):
            layout.addWidget(part)

    def _connect(self) -> None:
        self.paint_interest.clicked.connect(self._on_paint_interest)
        self.paint_forbidden.clicked.connect(self._on_paint_forbidden)
        self.paint_soft.clicked.connect(self._on_paint_soft)
        session, layers = self._session, self._viewer.layers.events
        session.survey_changed.connect(self._refresh)
        session.watcher.changed.connect(self._refresh)
        session.in_effect.nothing_open.connect(self._on_nothing_open)
        session.closed.connect(self._detach)
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.connect(self._refresh)
        layers.connect(self._on_layer_event)

    def _detach(self) -> None:
        layers = self._viewer.layers.events
        for event in (layers.inserted, layers.removed, layers.reordered):
            event.disconnect(self._refresh)
        layers.disconnect(self._on_layer_event)

    def _on_layer_event(self, event: Any) -> None:
        if event.type == "name":
            self._refresh()

    def _on_paint_interest(self) -> None:
        self._paint(RegionKind.ROI)

    def _on_paint_forbidden(self) -> None:
        self._paint(RegionKind.FORBIDDEN)

    def _on_paint_soft(self) -> None:
        self._paint(RegionKind.SOFT)

    def _paint(self, kind: RegionKind) -> None:
        frame = self._session.layers.frame
        if frame is None:
            return
        layer = paint_layer(self._viewer, kind, frame)
        self._set(layer, replace(self.rows[layer].terms, kind=kind, is_on=True))

    def _on_wanted(self, terms: Terms) -> None:
        row = self.sender()
        (layer,) = (layer for layer, its in self.rows.items() if its is row)
        self._set(layer, terms)

    def _set(self, layer: Layer, terms: Terms) -> None:
        row, watcher = self.rows[layer], self._session.watcher
        if layer not in watcher.layers and not terms.is_on:
            # It was never switched on: only its row needs the terms so far.
            row.show_terms(terms)
            return
        frame = self._session.layers.frame
        try:
            told = "" if frame is None else take_calibration(layer, frame)
            watcher.set_terms(layer, terms)
        except ValueError as error:
            row.refuse(str(error))
            return
        if told:
            self._session.said.emit(told)
        row.show_terms(terms)
        change_kind(layer, terms.kind)

    def _on_nothing_open(self, nothing: bool) -> None:
        self.problem.say(NOTHING_OPEN if nothing else "")

    def _refresh(self, _: object = None) -> None:
        frame = self._session.layers.frame
        for button in self.paint_buttons.values():
            button.setEnabled(frame is not None)
        possible = [x for x in self._viewer.layers if isinstance(x, Labels | Shapes)]
        for layer in [x for x in self.rows if x not in possible]:
            self._in_list.removeWidget(self.rows[layer])
            self.rows.pop(layer).deleteLater()
        # Topmost layer first, as in napari's own list.
        for index, layer in enumerate(reversed(possible)):
            row = self._row(layer)
            if self._in_list.indexOf(row) != index:
                self._in_list.insertWidget(index, row)
            row.set_name(layer.name)
        rows = [self.rows[layer] for layer in reversed(possible)]
        controls = [control for row in rows for control in row.controls]
        for one, following in pairwise(controls):
            self.setTabOrder(one, following)
        self.empty.setVisible(not possible)
        self._scroll.setVisible(bool(possible))

    def _row(self, layer: Layer) -> RegionRow:
        terms = self._session.watcher.terms.get(layer)
        if layer not in self.rows:
            first = terms or Terms(_usual_kind(layer), is_on=False)
            row = RegionRow(layer.name, first, self._step_nm())
            row.wanted.connect(self._on_wanted)
            self.rows[layer] = row
        elif terms is not None and terms != self.rows[layer].terms:
            self.rows[layer].show_terms(terms)
        return self.rows[layer]

    def _step_nm(self) -> float:
        """About a pixel of the field, rounded to one digit."""
        frame = self._session.layers.frame
        return 1.0 if frame is None else float(f"{max(frame.pixel_nm):.1g}")

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Give the list the height of its rows, up to a limit."""
        if event.type() is QEvent.Type.LayoutRequest:
            layout, viewport = self._in_list, self._scroll.viewport()
            height = layout.sizeHint().height()
            if layout.hasHeightForWidth():
                height = layout.totalHeightForWidth(viewport.width())
            # napari's style draws a border.
            height += self._scroll.height() - viewport.height()
            self._scroll.setFixedHeight(min(height, LIST_PX))
        return False


def _paint_button(kind: RegionKind) -> QPushButton:
    button = QPushButton(f"Paint {kind}")
    button.setToolTip(f"Make a layer to paint in; {_PAINT[kind]}")
    return button


def _usual_kind(layer: Layer) -> RegionKind:
    """Return the kind for which a layer was made, by default a region of interest."""
    role = role_of(layer)
    kinds = [kind for kind in RegionKind if role is not None and str(kind) == str(role)]
    return kinds[0] if kinds else RegionKind.ROI
