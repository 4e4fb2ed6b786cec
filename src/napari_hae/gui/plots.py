"""Live plots in the window's colours: spectrum with band, and targets by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtWidgets import QLabel, QStackedLayout, QVBoxLayout, QWidget

from napari_hae.gui.plot_view import FitButton, PlotView
from napari_hae.gui.sentences import Sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_hae.experiment.insight import Curves

BAND_COLOR = (217, 95, 2, 60)
BAND_EDGE = (217, 95, 2)
SPECTRUM_COLOR = "#56b4e9"
TARGET_COLOR = "#56b4e9"
BEST_COLOR = "#e69f00"
PREDICTED_COLOR = (128, 128, 128)
FAINT = (*PREDICTED_COLOR, 110)
LABEL_OVERHANG_PX = 6


class LivePlot(QWidget):
    """Plot in the colours of the window, with a message while it is empty.

    Parameters
    ----------
    empty
        Message while there is nothing to show.
    view
        View that handles the mouse; None: it pans and scales, and a double click fits
        the view to the data.
    """

    def __init__(
        self, empty: str, parent: QWidget | None = None, view: PlotView | None = None
    ) -> None:
        super().__init__(parent)
        view = view or PlotView()
        self.plot = pg.PlotWidget(self, viewBox=view)
        self.fit_button = FitButton(self.plot)
        self.fit_button.clicked.connect(self.fit)
        view.fit_wanted.connect(self.fit)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.message = QLabel(empty, self)
        self.message.setWordWrap(True)
        self.message.setMargin(12)
        # Not pyqtgraph's own, which is cut off where it is longer than a line.
        self.title = Sentence()
        with_title = QWidget()
        below = QVBoxLayout(with_title)
        below.setContentsMargins(0, 0, 0, 0)
        below.setSpacing(0)
        below.addWidget(self.title)
        below.addWidget(self.plot, 1)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self.message)
        self._stack.addWidget(with_title)
        # The axis moves the lower edge of its label out of the plot.
        self.plot.getPlotItem().setContentsMargins(0, 0, 0, LABEL_OVERHANG_PX)
        for side in ("left", "bottom"):
            # Only before the label is set: pyqtgraph would scale once more.
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self._take_colors()

    @property
    def is_empty(self) -> bool:
        """Return whether there is nothing to show."""
        return self._stack.currentIndex() == 0

    def fit(self) -> None:
        """Show all of the data, and follow new ones."""
        self.plot.enableAutoRange()
        self.fit_button.hide()

    def _show(self, *, something: bool) -> None:
        self._stack.setCurrentIndex(int(something))

    def changeEvent(self, event: QEvent) -> None:
        """Follow a change of the window's theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.StyleChange:
            self._take_colors()

    def _take_colors(self) -> None:
        palette = self.palette()
        self.plot.setBackground(palette.window().color())
        self._text_color = palette.windowText().color()
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(self._text_color)
            axis.setTextPen(self._text_color)


class SpectrumPlot(LivePlot):
    """The newest spectrum, with the scalarizer's band to drag."""

    band_changed = Signal(float, float)
    """Emit `(low_ev: float, high_ev: float)` when the band was dragged and released."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("No spectrum yet. Start an experiment, or press Step.", parent)
        self.plot.setAccessibleName("Spectrum")
        self.plot.setLabel("left", "Counts")
        self.plot.setLabel("bottom", "Energy (eV)")
        self._curve = self.plot.plot(pen=pg.mkPen(SPECTRUM_COLOR, width=1.5))
        self.band = pg.LinearRegionItem(
            brush=pg.mkBrush(BAND_COLOR), pen=pg.mkPen(BAND_EDGE, width=2)
        )
        self.band.setToolTip("The band that makes the target. Drag it, or its edges.")
        self.band.hide()
        # It spans the whole height of the view, whatever that is.
        self.plot.addItem(self.band, ignoreBounds=True)
        self._beside: list[Any] = []
        # A zero-loss peak outside the view must not flatten the visible part.
        self.plot.setAutoVisible(y=True)
        self.band.sigRegionChangeFinished.connect(self._on_dragged)

    def set_spectrum(
        self, energies_ev: NDArray[Any], counts: NDArray[Any], title: str
    ) -> None:
        """Show one spectrum; both arrays of shape `(channels,)`."""
        first = self.is_empty
        self._curve.setData(energies_ev, counts)
        self.title.say(title)
        self._show(something=True)
        if first:
            self.fit()

    def fit(self) -> None:
        """Show the whole spectrum."""
        super().fit()
        energies_ev, _ = self._curve.getData()
        if energies_ev is not None:
            # The band may extend beyond the spectrum.
            self.plot.setXRange(energies_ev[0], energies_ev[-1], padding=0.02)

    def set_beside(
        self, energies_ev: NDArray[Any], curves: Sequence[tuple[str, NDArray[Any], str]]
    ) -> None:
        """Draw further spectra: their names, counts and colours."""
        for item in self._beside:
            self.plot.removeItem(item)
        self._beside = [
            self.plot.plot(energies_ev, counts, pen=pg.mkPen(color, width=1), name=name)
            for name, counts, color in curves
        ]

    def set_band(self, band_ev: tuple[float, float] | None) -> None:
        """Show the band, or none; nothing is emitted."""
        self.band.setVisible(band_ev is not None)
        if band_ev is None:
            return
        self.band.blockSignals(True)
        self.band.setRegion(band_ev)
        self.band.blockSignals(False)

    def look_at(self, low_ev: float, high_ev: float) -> None:
        """Centre the view on a band, with its surroundings."""
        width = high_ev - low_ev
        self.plot.setXRange(low_ev - 1.5 * width, high_ev + 3 * width)

    def clear(self) -> None:
        """Clear the plot."""
        self._show(something=False)

    def _on_dragged(self) -> None:
        low, high = self.band.getRegion()
        self.band_changed.emit(float(low), float(high))


class StepPlot(LivePlot):
    """Plot against the step, with markers at changes."""

    def __init__(self, empty: str, parent: QWidget | None = None) -> None:
        super().__init__(empty, parent)
        self.plot.setLabel("bottom", "Step")
        self._markers: list[Any] = []

    def add_marker(self, step: int, text: str) -> None:
        """Mark a change from a step on at the axis, with its description."""
        marker = pg.InfiniteLine(
            pos=step + 0.5,
            angle=90,
            pen=pg.mkPen(FAINT, style=Qt.PenStyle.DashLine),
        )
        marker.setToolTip(text)
        # A change long ago must not keep the plot from fitting the data.
        self.plot.addItem(marker, ignoreBounds=True)
        self._markers.append(marker)

    def show_markers(self, until: int | None) -> None:
        """Show the changes before a number of steps was done; None: all of them."""
        for marker in self._markers:
            marker.setVisible(until is None or marker.value() < until)

    def clear(self) -> None:
        """Clear the plot."""
        for marker in self._markers:
            self.plot.removeItem(marker)
        self._markers.clear()
        self._show(something=False)


class LearningCurve(StepPlot):
    """Targets against the step: measured, predicted before, and the best so far."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "No target yet. It appears with the first measured spectrum.", parent
        )
        # Above the plot, where a legend hides no point.
        self.title.say(
            f'<span style="color: {TARGET_COLOR}">●</span> measured &nbsp; '
            f'<span style="color: rgb{PREDICTED_COLOR}">┿</span> predicted before ± std'
            f' &nbsp; <span style="color: {BEST_COLOR}">━</span> best so far'
        )
        self._bars = pg.ErrorBarItem(pen=pg.mkPen(FAINT), beam=0.3)
        self.plot.addItem(self._bars)
        self._measured = self.plot.plot(
            pen=None,
            symbol="o",
            symbolSize=5,
            symbolPen=None,
            symbolBrush=TARGET_COLOR,
        )
        self._predicted = self.plot.plot(
            pen=None,
            symbol="_",
            symbolSize=7,
            symbolPen=pg.mkPen(PREDICTED_COLOR),
        )
        self._best = self.plot.plot(pen=pg.mkPen(BEST_COLOR, width=2), stepMode="right")

    def set_points(
        self,
        targets: ArrayLike,
        means: ArrayLike,
        stds: ArrayLike,
        best: ArrayLike,
        unit: str,
    ) -> None:
        """Show all measurements, in order; every argument has one value for each."""
        measured, mean, std, top = (
            np.asarray(values, dtype=float) for values in (targets, means, stds, best)
        )
        steps = np.arange(1, len(measured) + 1, dtype=float)
        known, guessed, has_best = (np.isfinite(each) for each in (measured, mean, top))
        self._show(something=bool(known.any()))
        self._measured.setData(steps[known], measured[known])
        self._predicted.setData(steps[guessed], mean[guessed])
        self._best.setData(steps[has_best], top[has_best])
        self._bars.setData(x=steps[guessed], y=mean[guessed], height=2 * std[guessed])
        self.plot.setLabel("left", f"Target ({unit})" if unit else "Target")

    def show_curves(self, curves: Curves, unit: str) -> None:
        """Show the values from the learning curves."""
        self.set_points(curves.target, curves.mean, curves.std, curves.best, unit)
