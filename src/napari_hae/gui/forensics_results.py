"""Results of forensics in the dock: sentences, curves, and the interventions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_hae.gui.named_curves import Curve, CurvesPlot
from napari_hae.gui.sections import section

if TYPE_CHECKING:
    from qtpy.QtGui import QResizeEvent

    from napari_hae.experiment.forensics.analysis import Analysis
    from napari_hae.experiment.forensics.interventions import Intervention

BLUE, GREEN, ORANGE, PINK, GREY = "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#808080"
_COLORS = {"mature": BLUE, "full": GREEN, "truth": ORANGE}
_OTHERS = (PINK, GREEN, ORANGE)


class ForensicsResults(QWidget):
    """Display of an analysis; empty until there is one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.summary = _Words()
        self.regret = CurvesPlot("Nothing analysed yet.", "Regret")
        self.model = CurvesPlot("The run used no model.", "Error (std)")
        self.model.setToolTip(
            "Root mean square difference of the live model's map from maps that do not "
            "change, in standard deviations over the field: 1 is no better than the "
            "mean."
        )
        self.regret.setToolTip(
            "How far the best place so far falls short of the best that was open to "
            "the beam; and what is expected of as many random places."
        )
        self.others = CurvesPlot("Tick another agent above to compare with.", "Best")
        self.others.setToolTip(
            "The best target so far, by the scalarizer of the comparison."
        )
        self.others_words = _Words()
        self.none = QLabel("Nobody intervened.")
        self.interventions = _Table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for part in (
            self.summary,
            section("Regret", self.regret),
            section("Live model", self.model),
            section("Against", self.others),
            self.others_words,
            section("Interventions", self.none, self.interventions),
        ):
            layout.addWidget(part)
        self.hide()

    def clear(self) -> None:
        """Clear all results."""
        self.hide()

    def show_analysis(self, analysis: Analysis, sentences: list[str]) -> None:
        """Show an analysis, with its summary in sentences."""
        unit = analysis.run.settings.scalarizer.unit
        marks = [each.step + 0.5 for each in analysis.interventions]
        self.summary.setText("\n".join(sentences))
        found = analysis.regret
        steps = np.arange(1, len(found.simple) + 1)
        self.regret.show_curves(
            [
                Curve("this run", steps, found.simple, BLUE),
                Curve("random, expected", steps, found.by_chance, GREY, is_dashed=True),
            ],
            unit,
            marks,
        )
        self.model.show_curves(
            [
                Curve(f"{name}", each.steps + 1, each.error, _COLORS[name])
                for name, each in analysis.agreement.items()
            ],
            marks=marks,
        )
        self._show_others(analysis)
        self._show_interventions(analysis)
        self.show()

    def _show_others(self, analysis: Analysis) -> None:
        from napari_hae.experiment.forensics.words import against_sentence

        curves, words, unit = [], [], ""
        for number, other in enumerate(analysis.against):
            color = _OTHERS[number % len(_OTHERS)]
            unit = other.settings.scalarizer.unit
            steps = np.arange(1, len(other.recorded_best) + 1)
            # A recorded path has different targets under another scalarizer.
            recorded = Curve("this run", steps, other.recorded_best, BLUE)
            steps = np.arange(1, len(other.best) + 1)
            curves += [recorded, Curve(other.name, steps, other.best, color)]
            words.append(f"{other.name}: {against_sentence(other)}")
            if other.measured_only:
                words.append(
                    "It could choose only among the measured places: what lies in the "
                    "others is not known."
                )
        self.others.show_curves(curves, unit)
        self.others_words.setText("\n".join(words))
        self.others_words.setVisible(bool(words))

    def _show_interventions(self, analysis: Analysis) -> None:
        found, table = analysis.interventions, self.interventions
        self.none.setVisible(not found)
        table.setVisible(bool(found))
        table.setRowCount(len(found))
        for row, each in enumerate(found):
            step = QTableWidgetItem(str(each.step + 1))
            step.setTextAlignment(Qt.AlignmentFlag.AlignTop)
            table.setItem(row, 0, step)
            text = intervention_sentence(analysis, each)
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(row, 1, item)
        table.fit()


def intervention_sentence(analysis: Analysis, each: Intervention) -> str:
    """Return a sentence on an intervention, the agent's own choice, and the outcome."""
    run, unit = analysis.run, analysis.run.settings.scalarizer.unit
    said = "; ".join(each.words)
    parts = [f"{said[:1].upper()}{said[1:]}."]
    if each.without is None:
        parts.append("What the agent would have chosen without it is not known.")
    elif not each.changed_the_choice:
        parts.append("The agent would have gone to the same place without it.")
    else:
        y_nm, x_nm = run.frame.nm(each.without.position)
        place = f"x = {x_nm:.4g} nm, y = {y_nm:.4g} nm"
        predicted = ""
        if math.isfinite(each.without.mean):
            predicted = f" (predicted {each.without.mean:.3g} ± {each.without.std:.2g})"
        parts.append(
            f"Without it the agent would have gone to {place}{predicted}, "
            f"{each.distance_nm:.3g} nm away."
        )
    before, after = (
        f"{value:.4g}" if math.isfinite(value) else "none"
        for value in (each.best_before, each.best_after)
    )
    parts.append(
        f"Best {before} → {after} {unit}".rstrip() + f" in {each.later} steps."
    )
    return " ".join(parts)


class _Words(QLabel):
    """Wrapped text, with the height needed at its width."""

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)

    def setText(self, text: str) -> None:
        """Show a text."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the height to the new width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setMinimumHeight(max(0, self.heightForWidth(self.width())))


class _Table(QTableWidget):
    """Table of two columns with wrapped text, without scroll bars of its own."""

    def __init__(self) -> None:
        super().__init__(0, 2)
        self.setHorizontalHeaderLabels(["Step", "What was done, and what it changed"])
        self.setWordWrap(True)
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        off = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self.setHorizontalScrollBarPolicy(off)
        self.setVerticalScrollBarPolicy(off)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the rows to the new width."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.fit()

    def fit(self) -> None:
        """Set the height to that of all rows."""
        self.resizeRowsToContents()
        heights = sum(self.rowHeight(row) for row in range(self.rowCount()))
        self.setFixedHeight(heights + self.horizontalHeader().height() + 4)
