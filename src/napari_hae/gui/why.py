"""The panel with the reasons of the agent's choice, and its alternatives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hae.diagnostics import leaning, opinion
from napari_hae.gui.panels import LazyPanel
from napari_hae.gui.plots import BEST_COLOR, TARGET_COLOR
from napari_hae.gui.sentences import SteadyLabel

if TYPE_CHECKING:
    from qtpy.QtGui import QPaintEvent

    from napari_hae.coordinates import FieldFrame
    from napari_hae.diagnostics import RunnerUp
    from napari_hae.gui.session import Session
    from napari_hae.types import Proposal

BELOW_ZERO = (
    "What the model predicts, and its standard deviation. It knows of no lower limit: "
    "a prediction below 0 of what cannot be, such as counts, says that about 0 is "
    "expected."
)
_COLUMNS = ("Place", "x (nm)", "y (nm)", "Predicted", "± std", "Value", "Why")
_ROW_HEIGHT_PX = 21
_BAR_SIZE = QSize(120, 12)


class ShareBar(QWidget):
    """Bar in two colours: the share of exploration, the rest exploitation."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.exploring = math.nan
        self.setFixedHeight(_BAR_SIZE.height())
        self.setMinimumWidth(_BAR_SIZE.width())
        self.setAccessibleName("Share of exploring")

    def set_share(self, exploring: float) -> None:
        """Show a share from 0 to 1; NaN for none."""
        self.exploring = exploring
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw exploitation on the left, exploration on the right."""
        if not math.isfinite(self.exploring):
            return
        painter = QPainter(self)
        middle = round((1 - self.exploring) * self.width())
        painter.fillRect(0, 0, middle, self.height(), QColor(BEST_COLOR))
        right = self.width() - middle
        painter.fillRect(middle, 0, right, self.height(), QColor(TARGET_COLOR))
        painter.end()


class WhyPanel(LazyPanel):
    """Newest proposal as text and numbers, with its runners-up in a table.

    A selected row gets a ring in the image; newer proposals wait until it is
    deselected.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._proposal: Proposal | None = None
        self._places: list[tuple[int, int]] = []
        self.text = SteadyLabel()
        self.text.setToolTip(BELOW_ZERO)
        self.share = ShareBar()
        self.exploiting = SteadyLabel(wraps=False)
        self.exploring = SteadyLabel(wraps=False)
        self.follow = QPushButton("Follow again")
        self.follow.setToolTip("Let the row go, and show the newest proposal.")
        self.take = QPushButton("Measure there")
        self.take.setToolTip(
            "Measure at the selected place next; while a proposal waits for your yes, "
            "in its place."
        )
        self.veto = QPushButton("Veto")
        self.veto.setToolTip("Do not measure at the selected place, in the whole run.")
        self.table = _table()
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._on_selected)
        self.follow.clicked.connect(self.table.clearSelection)
        self.take.clicked.connect(self._on_take)
        self.veto.clicked.connect(self._on_veto)
        session.started.connect(self._on_started)
        session.live.proposed.connect(self.refresh)
        session.live.rewound.connect(self._on_started)
        self.refresh()

    def _lay_out(self) -> None:
        self._split = QWidget()
        split = QHBoxLayout(self._split)
        split.setContentsMargins(0, 0, 0, 0)
        split.addWidget(self.exploiting)
        split.addWidget(self.share, 1)
        split.addWidget(self.exploring)
        # The buttons stay where they are while there is no share to show.
        policy = self._split.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self._split.setSizePolicy(policy)
        row = QHBoxLayout()
        row.addWidget(self._split, 1)
        row.addWidget(self.take)
        row.addWidget(self.veto)
        row.addWidget(self.follow)
        self._split.setToolTip(
            "What speaks for this place beside a usual one of the field: its predicted "
            "mean (exploiting) or its uncertainty (exploring).\nFor the expected "
            "improvement these are Shapley values; for the upper confidence bound the "
            "terms of its sum."
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 2, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.text)
        layout.addLayout(row)
        layout.addWidget(self.table, 1)

    @property
    def is_held(self) -> bool:
        """Return whether a row is selected."""
        return bool(self.table.selectedItems())

    def draw(self) -> None:
        """Show the newest proposal, unless a row is selected."""
        self.follow.setVisible(self.is_held)
        for button in (self.take, self.veto):
            button.setVisible(self.is_held and self._session.is_running)
        if self.is_held:
            return
        proposal = self._session.live.proposal
        insight = None if proposal is None else proposal.insight
        self.text.setText(_words(proposal) + self._of_maps(proposal))
        exploring = math.nan if insight is None else insight.exploring
        is_known = math.isfinite(exploring)
        self._split.setVisible(is_known)
        self.table.setVisible(bool(insight and insight.runners_up))
        if is_known:
            self.share.set_share(exploring)
            self.exploiting.setText(f"exploiting {100 * (1 - exploring):.0f} %")
            self.exploring.setText(f"{100 * exploring:.0f} % exploring")
        self._fill(proposal)

    @property
    def _frame(self) -> FieldFrame | None:
        """Field of the proposal, which may differ from the one shown since.

        That of a run is known from its first measurement on.
        """
        return self._session.live.frame or self._session.layers.frame

    def _fill(self, proposal: Proposal | None) -> None:
        frame = self._frame
        insight = None if proposal is None else proposal.insight
        self._places = []
        if proposal is None or insight is None or frame is None:
            self.table.setRowCount(0)
            return
        places: list[Proposal | RunnerUp] = [proposal, *insight.runners_up]
        self._places = [(each.row, each.column) for each in places]
        self.table.setRowCount(len(places))
        leanings = (insight.exploring, *(each.exploring for each in insight.runners_up))
        for row, (each, exploring) in enumerate(zip(places, leanings, strict=True)):
            y_nm, x_nm = frame.nm(frame.position(each.row, each.column))
            numbers = (x_nm, y_nm, each.mean, each.std, each.value)
            name = f"{row + 1}." if row else "chosen"
            cells = (name, *map(_number, numbers), _leaning(exploring))
            for column, text in enumerate(cells):
                self._put(row, column, text)

    def _of_maps(self, proposal: Proposal | None) -> str:
        """Return the map values at a place for which the model was not asked."""
        maps = self._session.live.maps
        if proposal is None or maps is None or proposal.insight is not None:
            return ""
        pixel = proposal.row, proposal.column
        value, rank = maps.acquisition[pixel], math.nan
        if math.isfinite(value):
            rank = 1 + int(np.count_nonzero(maps.acquisition > value))
        text = opinion(maps.mean[pixel], maps.std[pixel], math.nan, rank)
        return f" The maps from {maps.known} measurements say there: {text}."

    def _put(self, row: int, column: int, text: str) -> None:
        item = self.table.item(row, column)
        if item is None:
            self.table.setItem(row, column, QTableWidgetItem(text))
        else:
            item.setText(text)

    @property
    def _selected(self) -> tuple[int, int] | None:
        rows = {item.row() for item in self.table.selectedItems()}
        return self._places[min(rows)] if rows else None

    def _on_selected(self) -> None:
        layers = self._session.layers
        layers.show_runner_up(self._selected if layers.frame == self._frame else None)
        self.draw_now()

    def _on_take(self) -> None:
        if self._selected is not None:
            self._session.measure_next([self._selected])
        self.table.clearSelection()

    def _on_veto(self) -> None:
        if self._selected is not None:
            self._session.keep_out(self._selected)
        self.table.clearSelection()

    def _on_started(self) -> None:
        self.table.clearSelection()
        self.refresh()


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_COLUMNS))
    table.setHorizontalHeaderLabels(_COLUMNS)
    table.horizontalHeaderItem(_COLUMNS.index("Predicted")).setToolTip(BELOW_ZERO)
    table.setAccessibleName("Proposal and runners-up")
    table.setToolTip("Select a row to see its place in the image.")
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    header = table.horizontalHeader()
    header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    # Text needs more space than numbers.
    words = QHeaderView.ResizeMode.ResizeToContents
    header.setSectionResizeMode(len(_COLUMNS) - 1, words)
    header.setFixedHeight(_ROW_HEIGHT_PX)
    table.verticalHeader().hide()
    table.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT_PX)
    table.verticalHeader().setMinimumSectionSize(_ROW_HEIGHT_PX)
    return table


def _words(proposal: Proposal | None) -> str:
    """Return the explanation of a proposal, in sentences."""
    if proposal is None:
        return "No proposal yet. Start an experiment, or press Step."
    text = f"Step {proposal.step + 1}: {proposal.reason}."
    insight = proposal.insight
    if insight is None:
        return text
    if math.isfinite(insight.parameter):
        text += f" Exploration parameter {_number(insight.parameter)}."
    if insight.trapped:
        text += " The last measurements found nothing better, all in like places."
    if insight.fit_failed:
        text += " The model's fit failed; a simpler one predicts."
    if math.isfinite(insight.gain):
        text += (
            f" Expected improvement {_number(insight.gain, 2)}, noise of a measurement "
            f"{_number(insight.noise_std, 2)}."
        )
    return text


def _leaning(exploring: float) -> str:
    """Return one word for the dominant part, for a narrow column."""
    words = leaning(exploring).removeprefix("mostly ")
    return "both" if " and " in words else words


def _number(value: float, digits: int = 4) -> str:
    """Return a number for quick reading: thousands are written out."""
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+0" in text else text
