"""Controls of one region in the list of regions: its switch, kind and terms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_hae.gui.sentences import Problem, Sentence
from napari_hae.gui.wheel import scroll_past
from napari_hae.regions.regions import LARGEST_WEIGHT, RegionKind

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent

    from napari_hae.gui.regions import Terms

LARGEST_NM = 1e6
_TICKS = 10
"""Positions of the weight's slider per standard deviation."""

_SHORT = {
    RegionKind.ROI: "Interest",
    RegionKind.FORBIDDEN: "Forbidden",
    RegionKind.SOFT: "Soft",
}
_MEANINGS = {
    RegionKind.ROI: "nothing is measured outside of it",
    RegionKind.FORBIDDEN: "the beam never goes there",
    RegionKind.SOFT: "the agent prefers or avoids it, and may still go anywhere",
}


class RegionRow(QWidget):
    """The controls of one region.

    Parameters
    ----------
    step_nm
        Step of the arrows for a length: about a pixel of the field.
    """

    wanted = Signal(object)
    """Emit `(terms: Terms)` when the user has entered terms."""

    def __init__(self, name: str, terms: Terms, step_nm: float) -> None:
        super().__init__()
        self.terms = terms
        self._name = ""
        self.switch = _NameBox()
        self.kind = QComboBox()
        self.more = QToolButton()
        self.edges_only = QCheckBox("Edges only")
        self.edges_nm = _length(step_nm, least_nm=0.01)
        self.grow_nm = _length(step_nm, least_nm=-LARGEST_NM)
        self.weight = QSlider(Qt.Orientation.Horizontal)
        self.weight_text = QLabel()
        self.summary = Sentence()
        self.problem = Problem()
        self._details = QWidget()
        self._fill(step_nm)
        self._lay_out()
        self.set_name(name)
        self.show_terms(terms)
        self._connect()

    @property
    def controls(self) -> tuple[QWidget, ...]:
        """All controls, in tab order."""
        first = (self.switch, self.kind, self.more)
        return (*first, self.weight, self.edges_only, self.edges_nm, self.grow_nm)

    def set_name(self, name: str) -> None:
        """Show the name of the layer."""
        if name == self._name:
            return
        self._name = name
        self.switch.set_name(name)
        for control, what in (
            (self.switch, "Use the region"),
            (self.kind, "Kind of the region"),
            (self.more, "More about the region"),
            (self.edges_only, "Edges only of the region"),
            (self.edges_nm, "Width of the edges of the region"),
            (self.grow_nm, "Growth of the region"),
            (self.weight, "Weight of the region"),
        ):
            control.setAccessibleName(f"{what} {name}")

    def show_terms(self, terms: Terms) -> None:
        """Show the terms of the region; nothing is emitted."""
        self.terms = terms
        blocked = [(each, each.blockSignals(True)) for each in self.controls]
        self.switch.setChecked(terms.is_on)
        self.kind.setCurrentIndex(self.kind.findData(terms.kind))
        self.edges_only.setChecked(terms.edges_nm is not None)
        if terms.edges_nm is not None:
            self.edges_nm.setValue(terms.edges_nm)
        self.grow_nm.setValue(terms.grow_nm)
        self.weight.setValue(round(terms.weight * _TICKS))
        for each, was in blocked:
            each.blockSignals(was)
        self._follow()

    def refuse(self, why: str) -> None:
        """Show why an entry is invalid, and the terms that are in force again."""
        self.show_terms(self.terms)
        self.problem.say(f"{why[:1].upper()}{why[1:]}.")

    def _fill(self, step_nm: float) -> None:
        self.switch.setToolTip("Switch the region on or off; its layer stays.")
        for kind in RegionKind:
            self.kind.addItem(_SHORT[kind], kind)
            meaning = f"{str(kind).capitalize()}: {_MEANINGS[kind]}."
            index = self.kind.count() - 1
            self.kind.setItemData(index, meaning, Qt.ItemDataRole.ToolTipRole)
        self.more.setText("…")
        self.more.setCheckable(True)
        self.more.setToolTip("Edges only, grow or shrink, weight.")
        self.edges_nm.setValue(4 * step_nm)
        self.edges_only.setToolTip(
            "Only a band around the outline counts, half of it on either side."
        )
        self.edges_nm.setToolTip("Width of that band in nm.")
        self.grow_nm.setToolTip(
            "How far the region reaches beyond what is drawn, in nm; negative shrinks "
            "it. A forbidden zone can only be grown. Default 0."
        )
        limit = round(LARGEST_WEIGHT * _TICKS)
        self.weight.setRange(-limit, limit)
        self.weight.setPageStep(_TICKS // 2)
        self.weight.setToolTip(
            "What is added to the acquisition function inside, in its standard "
            "deviations: below 0 the agent avoids the region, above it prefers it. "
            "Default 1."
        )

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(4)
        head.addWidget(self.switch, 1)
        head.addWidget(self.kind)
        head.addWidget(self.more)
        form = QFormLayout(self._details)
        form.setContentsMargins(22, 0, 0, 4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._weight_title = QLabel("Weight")
        weight = QHBoxLayout()
        weight.addWidget(self.weight, 1)
        weight.addWidget(self.weight_text)
        form.addRow(self._weight_title, weight)
        form.addRow(self.edges_only, self.edges_nm)
        form.addRow("Grow by", self.grow_nm)
        self._details.hide()
        self.summary.setContentsMargins(20, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(head)
        for part in (self.summary, self._details, self.problem):
            layout.addWidget(part)

    def _connect(self) -> None:
        scroll_past(self)
        self.switch.toggled.connect(self._on_entered)
        self.kind.activated.connect(self._on_kind)
        self.more.toggled.connect(self._follow)
        self.edges_only.toggled.connect(self._on_entered)
        self.edges_nm.valueChanged.connect(self._on_entered)
        self.grow_nm.valueChanged.connect(self._on_entered)
        self.weight.valueChanged.connect(self._on_entered)

    def _on_kind(self, index: int) -> None:
        kind = self.kind.itemData(index)
        terms = replace(self.terms, kind=kind)
        grow_nm = terms.grow_nm
        if kind is RegionKind.FORBIDDEN and (terms.edges_nm or grow_nm < 0):
            terms = replace(terms, edges_nm=None, grow_nm=max(grow_nm, 0.0))
            said = "All that is drawn is forbidden: no edges only, and not shrunk."
        else:
            said = ""
        self.wanted.emit(terms)
        if said:
            self.problem.say(said)

    def _on_entered(self) -> None:
        only = self.edges_only.isChecked()
        self.wanted.emit(
            replace(
                self.terms,
                is_on=self.switch.isChecked(),
                edges_nm=self.edges_nm.value() if only else None,
                grow_nm=self.grow_nm.value(),
                weight=self.weight.value() / _TICKS,
            )
        )

    def _follow(self) -> None:
        """Update the messages for the terms in force."""
        terms, is_open = self.terms, self.more.isChecked()
        is_soft = terms.kind is RegionKind.SOFT
        can_be_edges = terms.kind is not RegionKind.FORBIDDEN
        self._details.setVisible(is_open)
        for part in (self._weight_title, self.weight, self.weight_text):
            part.setVisible(is_soft)
        self.edges_only.setVisible(can_be_edges)
        self.edges_nm.setVisible(can_be_edges)
        self.edges_nm.setEnabled(terms.edges_nm is not None)
        self.weight_text.setText(f"{terms.weight:+.1f} σ")
        self.kind.setToolTip(self.kind.currentData(Qt.ItemDataRole.ToolTipRole))
        self.summary.say("" if is_open else summary(terms))
        self.problem.say("")


def summary(terms: Terms) -> str:
    """Return a short summary of a region's terms; empty where it is used as drawn."""
    parts = []
    if terms.kind is RegionKind.SOFT:
        parts.append(_weight_text(terms.weight))
    if terms.edges_nm is not None:
        parts.append(f"edges only, {terms.edges_nm:.4g} nm wide")
    if terms.grow_nm:
        verb = "grown" if terms.grow_nm > 0 else "shrunk"
        parts.append(f"{verb} by {abs(terms.grow_nm):.4g} nm")
    return ", ".join(parts)


def _weight_text(weight: float) -> str:
    if not weight:
        return "no weight"
    return f"{'preferred' if weight > 0 else 'avoided'}, {weight:+.1f} σ"


def _length(step_nm: float, *, least_nm: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(least_nm, LARGEST_NM)
    box.setDecimals(2)
    box.setSuffix(" nm")
    box.setSingleStep(step_nm)
    # A partial entry must not move the beam.
    box.setKeyboardTracking(False)
    box.setMinimumWidth(90)
    return box


class _NameBox(QCheckBox):
    """Tick box with a name that is elided where space is short."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(70)

    def set_name(self, name: str) -> None:
        self._name = name
        self._elide()

    def minimumSizeHint(self) -> QSize:
        return QSize(70, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._elide()

    def _elide(self) -> None:
        mode = Qt.TextElideMode.ElideMiddle
        text = self.fontMetrics().elidedText(self._name, mode, self.width() - 30)
        # A single ampersand would underline the letter after it.
        self.setText(text.replace("&", "&&"))
