"""Plots of the agent's diagnostics against the step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt

from napari_hae.experiment.insight import SHARES, WINDOW
from napari_hae.gui.plots import (
    BEST_COLOR,
    PREDICTED_COLOR,
    TARGET_COLOR,
    StepPlot,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

    from napari_hae.experiment.insight import Curves, TimeCurves

    Array = NDArray[np.float64]

LARGEST_COLOR = "#d55e00"
WIDER_COLOR = "#009e73"
SPREAD_BRUSH = (86, 180, 233, 60)
_NO_MODEL = "No prediction yet. It comes when the initial design is measured."
_NOT_OF_TARGET = (
    "No prediction of this target yet. It comes with the next place that the model "
    "chooses, after the initial design."
)


class UncertaintyPlot(StepPlot):
    """Predicted standard deviation over all open candidates."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_NOT_OF_TARGET, parent)
        self.title.say(
            f"{_mark('━', TARGET_COLOR)} mean ± spread &nbsp; "
            f"{_mark('━', LARGEST_COLOR)} maximum"
        )
        # With an invisible pen: without one they have no outline.
        self.low, self.high = (pg.PlotCurveItem(pen=(0, 0, 0, 0)) for _ in range(2))
        self.plot.addItem(pg.FillBetweenItem(self.low, self.high, brush=SPREAD_BRUSH))
        self.mean = _line(self, TARGET_COLOR)
        self.largest = _line(self, LARGEST_COLOR)

    def show_curves(self, curves: Curves, unit: str) -> None:
        """Show the learning curves of the uncertainty."""
        steps, (mean, spread, largest) = _known(
            curves.mean_std, curves.spread_std, curves.largest_std
        )
        self._show(something=bool(len(steps)))
        self.mean.setData(steps, mean)
        self.largest.setData(steps, largest)
        self.low.setData(steps, np.maximum(mean - spread, 0))
        self.high.setData(steps, mean + spread)
        self.plot.setLabel("left", _with_unit("Std", unit))


class ErrorPlot(StepPlot):
    """Deviation of each measurement from its prediction."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_NOT_OF_TARGET, parent)
        self.title.say(
            f"{_mark('●', TARGET_COLOR)} measured − predicted &nbsp; "
            f"{_mark('━', BEST_COLOR)} mean size, last {WINDOW}"
        )
        self.plot.addItem(_level(0.0, PREDICTED_COLOR), ignoreBounds=True)
        self.missed = self.plot.plot(
            pen=None,
            symbol="o",
            symbolSize=5,
            symbolPen=None,
            symbolBrush=TARGET_COLOR,
        )
        self.size_ = _line(self, BEST_COLOR)

    def show_curves(self, curves: Curves, unit: str) -> None:
        """Show the learning curves of the error."""
        steps, (missed, size) = _known(curves.missed, curves.running_error)
        self._show(something=bool(len(steps)))
        self.missed.setData(steps, missed)
        self.size_.setData(steps, size)
        self.plot.setLabel("left", _with_unit("Error", unit))


class CalibrationPlot(StepPlot):
    """Coverage: share of the last measurements inside their predicted intervals."""

    COLORS = (TARGET_COLOR, WIDER_COLOR)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_NO_MODEL, parent)
        legend = " &nbsp; ".join(
            f"{_mark('━', color)} inside {100 * share:.0f} %"
            for share, color in zip(SHARES, self.COLORS, strict=True)
        )
        self.title.say(f"{legend} &nbsp; ┄ as it should be &nbsp; (last {WINDOW})")
        for share, color in zip(SHARES, self.COLORS, strict=True):
            self.plot.addItem(_level(share, color))
        self.shares = [_line(self, color) for color in self.COLORS]
        self.plot.setLabel("left", "Share inside")
        self.plot.setYRange(0, 1)

    def fit(self) -> None:
        """Show all steps, and the full range of shares."""
        super().fit()
        self.plot.setYRange(0, 1)

    def show_curves(self, curves: Curves, unit: str) -> None:
        """Show the learning curves of the calibration; shares have no unit."""
        steps, shares = _known(*curves.shares)
        self._show(something=bool(len(steps)))
        for line, share in zip(self.shares, shares, strict=True):
            line.setData(steps, share)


class LikelihoodPlot(StepPlot):
    """Log likelihood of all measurements under the model."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(_NO_MODEL, parent)
        self.title.say("log marginal likelihood per measurement: higher is better")
        self.line = _line(self, TARGET_COLOR)
        self.plot.setLabel("left", "Log likelihood")

    def show_curves(self, curves: Curves, unit: str) -> None:
        """Show the learning curve of the likelihood, of standardised targets."""
        steps, (values,) = _known(curves.log_likelihood)
        self._show(something=bool(len(steps)))
        self.line.setData(steps, values)


class DriftPlot(StepPlot):
    """Estimated drift of the sample when each position was measured."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "No drift is followed. Survey again, now or every few steps.", parent
        )
        self.title.say(
            f"{_mark('━', TARGET_COLOR)} to the right (x) &nbsp; "
            f"{_mark('━', LARGEST_COLOR)} downwards (y)"
        )
        self.right, self.down = _line(self, TARGET_COLOR), _line(self, LARGEST_COLOR)
        self.plot.setLabel("left", "Drift (nm)")

    def show_curves(self, curves: Curves, unit: str) -> None:
        """Show the drift, in nm, independent of the target's unit."""
        steps, (right, down) = _known(curves.drift_x_nm, curves.drift_y_nm)
        self._show(something=bool(len(steps)))
        self.right.setData(steps, right)
        self.down.setData(steps, down)


class TimesPlot(StepPlot):
    """Time budget of each step: that of the beam stacked, others as lines."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("No step yet. Start an experiment, or press Step.", parent)
        self.title.say(
            f"{_mark('■', TARGET_COLOR)} instrument &nbsp; "
            f"{_mark('■', LARGEST_COLOR)} beam waits &nbsp; "
            f"{_mark('━', WIDER_COLOR)} agent &nbsp; {_mark('━', BEST_COLOR)} disk"
        )
        # The sum is drawn behind, so that its visible rest is the waiting time.
        self.beam = _filled(self, LARGEST_COLOR)
        self.instrument = _filled(self, TARGET_COLOR)
        self.agent, self.disk = _line(self, WIDER_COLOR), _line(self, BEST_COLOR)
        self.plot.setLabel("left", "Time (ms)")
        self._is_zoomed = False
        self._usual_ms = 1.0
        self.plot.getViewBox().sigRangeChangedManually.connect(self._on_zoomed)

    def show_times(self, times: TimeCurves) -> None:
        """Show the time budget."""
        steps, (instrument, waiting, agent, disk) = _known(
            times.instrument_s, times.waiting_s, times.agent_s, times.disk_s
        )
        self._show(something=bool(len(steps)))
        if not len(steps):
            return
        edges = np.append(steps, steps[-1] + 1) - 0.5
        self.instrument.setData(edges, 1e3 * instrument)
        self.beam.setData(edges, 1e3 * (instrument + waiting))
        self.agent.setData(steps, 1e3 * agent)
        self.disk.setData(steps, 1e3 * disk)
        # A single slow fit or disk access must not compress the scale for all others.
        usual = [np.percentile(each, 95) for each in (instrument + waiting, agent)]
        self._usual_ms = 1.2e3 * float(max(usual)) or 1.0
        if not self._is_zoomed:
            self.plot.setYRange(0, self._usual_ms)

    def fit(self) -> None:
        """Show all steps, with the range of typical times."""
        super().fit()
        self.plot.setYRange(0, self._usual_ms)
        self._is_zoomed = False

    def clear(self) -> None:
        """Clear the plot, and reset the view."""
        super().clear()
        self._is_zoomed = False

    def _on_zoomed(self) -> None:
        self._is_zoomed = True


def _known(*values: Array) -> tuple[Array, tuple[Array, ...]]:
    """Return the steps, from 1, at which all values are finite, and those values."""
    known = np.isfinite(values).all(axis=0)
    steps: Array = (np.flatnonzero(known) + 1).astype(np.float64)
    return steps, tuple(each[known] for each in values)


def _line(plot: StepPlot, color: Any) -> Any:
    return plot.plot.plot(pen=pg.mkPen(color, width=2))


def _filled(plot: StepPlot, color: str) -> Any:
    empty = np.array([0.5, 1.5]), np.zeros(1)
    return plot.plot.plot(
        *empty, stepMode="center", fillLevel=0, brush=color, pen=pg.mkPen(color)
    )


def _level(height: float, color: Any) -> pg.InfiniteLine:
    pen = pg.mkPen(color, style=Qt.PenStyle.DotLine)
    return pg.InfiniteLine(pos=height, angle=0, pen=pen)


def _mark(sign: str, color: str) -> str:
    return f'<span style="color: {color}">{sign}</span>'


def _with_unit(what: str, unit: str) -> str:
    return f"{what} ({unit})" if unit else what
