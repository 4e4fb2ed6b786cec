"""Choice of the spectra drawn beside the one that is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QWidget

from napari_hae.gui.plots import BEST_COLOR
from napari_hae.gui.selection import CandidateSelection
from napari_hae.gui.shown_settings import ShownSettings
from napari_hae.regions.regions import AdjustedRegion, Regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.gui.session import Session
    from napari_hae.regions.regions import Region
    from napari_hae.types import Measurement

MEAN_COLOR = "#009e73"
SELECTED_COLORS = ("#cc79a7", "#d55e00", "#f0e442", "#0072b2", "#999999")
"""Colours of further selected points, distinguishable from the other curves without
colour vision (Okabe and Ito)."""
MOST_SELECTED = 1 + len(SELECTED_COLORS)
"""Number of selected points with distinguishable curves; the first has the plot's own
colour."""
SELECTED = "Selection"
"""Name of the mean where no region is chosen by its name."""

Curve = tuple[str, "NDArray[np.float32]", str]
"""Name, counts and colour of a curve."""


class Beside(QWidget):
    """Tick boxes for the best spectrum and for the mean of a chosen region."""

    changed = Signal()
    """Emit when other curves are to be drawn."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._settings = ShownSettings(session, self)
        self._selection = CandidateSelection(session, self)
        self._named: dict[str, Region] = {}
        # Cached with its masks, which are needed with every spectrum.
        self._interest = Regions()
        self.best = QCheckBox("Best")
        self.best.setToolTip("Draw the spectrum with the best target so far too.")
        self.mean = QCheckBox("Mean of")
        self.mean.setToolTip("Draw the mean of the measured spectra of a region too.")
        self.region = _region_combo()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for box in (self.best, self.mean):
            row.addWidget(box)
            box.toggled.connect(self.changed)
        row.addWidget(self.region)
        self.region.currentIndexChanged.connect(self._on_mean)
        self._selection.changed.connect(self._on_mean)
        session.watcher.changed.connect(self._on_regions)
        self._on_regions(session.watcher.regions)

    def curves(
        self, shown: Measurement, selected: Sequence[Measurement]
    ) -> list[Curve]:
        """Return the curves beside a spectrum: further selected ones, best, mean.

        At most `MOST_SELECTED` may be selected, including the shown one. Spectra with
        another energy axis are omitted.
        """

        def fits(each: Measurement) -> bool:
            return each.spectrum.energy.is_like(shown.spectrum.energy)

        others = [each for each in selected if each.step != shown.step and fits(each)]
        curves: list[Curve] = [
            (f"step {each.step + 1}", each.spectrum.counts, color)
            for each, color in zip(others, SELECTED_COLORS, strict=False)
        ]
        best = self._best() if self.best.isChecked() else None
        if best is not None and best.step != shown.step and fits(best):
            curves.append(
                (f"best: step {best.step + 1}", best.spectrum.counts, BEST_COLOR)
            )
        inside = self._in_region() if self.mean.isChecked() else []
        inside = [each for each in inside if fits(each)]
        if inside:
            mean = np.mean([each.spectrum.counts for each in inside], axis=0)
            where = f" in {self._name}" if self._name else ""
            curves.append((f"mean of {len(inside)}{where}", mean, MEAN_COLOR))
        return curves

    @property
    def _name(self) -> str:
        """Name of the chosen region; empty if none is chosen."""
        return str(self.region.currentText()) if self.region.currentIndex() > 0 else ""

    def _best(self) -> Measurement | None:
        usable = [m for m in self._session.live.measurements if m.usable]
        best = self._settings.goal.best([m.target for m in usable])
        return next((m for m in usable if m.target == best), None)

    def _on_mean(self, _: object = None) -> None:
        if self.mean.isChecked():
            self.changed.emit()

    def _on_regions(self, regions: Regions) -> None:
        """Offer the regions by their names, and keep the current choice."""
        chosen = self._name
        soft = (each.region for each in regions.soft)
        self._named = {
            each.name: _whole(each)
            for each in (*regions.interest, *regions.forbidden, *soft)
        }
        self.region.blockSignals(True)
        self.region.clear()
        self.region.addItems([SELECTED, *self._named])
        self.region.setCurrentIndex(max(0, self.region.findText(chosen)))
        self.region.blockSignals(False)
        self._on_mean()

    def _in_region(self) -> list[Measurement]:
        mask = self._mask()
        # If its points are missing, the field shown is not that of the measurements.
        if mask is None or self._session.layers.measured_layer is None:
            return []
        measured = self._session.live.measurements
        return [m for m in measured if mask[m.proposal.row, m.proposal.column]]

    def _mask(self) -> NDArray[np.bool_] | None:
        interest = self._session.watcher.regions.interest
        if self._name:
            interest = (self._named[self._name],)
        elif (selected := self._selection.mask).any():
            return selected
        frame = self._session.layers.frame
        if frame is None or all(each.is_empty for each in interest):
            return None
        if interest != self._interest.interest:
            self._interest = Regions(interest=interest)
        return self._interest.mask(frame)


def _region_combo() -> QComboBox:
    combo = QComboBox()
    combo.addItem(SELECTED)
    combo.setAccessibleName("Region of the mean spectrum")
    combo.setToolTip(
        f"{SELECTED}: of the selection (tab Feature space); without one, of all "
        "regions of interest. Else of one region, also while it is switched off."
    )
    # The panel must fit beside another one on a laptop's screen.
    combo.setMinimumWidth(60)
    combo.setMinimumContentsLength(7)
    combo.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    return combo


def _whole(region: Region) -> Region:
    """Return a region as it is when it is switched on."""
    if isinstance(region, AdjustedRegion):
        return replace(region, is_on=True)
    return region
