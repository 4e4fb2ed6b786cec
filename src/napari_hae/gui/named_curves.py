"""A live plot of several named curves against the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt

from napari_hae.gui.plots import FAINT, LivePlot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from qtpy.QtWidgets import QWidget

HEIGHT_PX = 190


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve; `steps` are counted from 1, and both arrays have the same length."""

    name: str
    steps: ArrayLike
    values: ArrayLike
    color: str
    is_dashed: bool = False


class CurvesPlot(LivePlot):
    """Show curves, with their names above, and marks at some steps.

    Parameters
    ----------
    empty
        Message while there is nothing to show.
    label
        Label of the vertical axis.
    """

    def __init__(self, empty: str, label: str, parent: QWidget | None = None) -> None:
        super().__init__(empty, parent)
        self._label = label
        self.plot.setLabel("bottom", "Step")
        self.setFixedHeight(HEIGHT_PX)
        self._items: list[Any] = []

    def show_curves(
        self, curves: Sequence[Curve], unit: str = "", marks: Sequence[float] = ()
    ) -> None:
        """Show these curves, and dashed lines at some steps, in place of others."""
        self.clear()
        if not curves:
            return
        dash, line = Qt.PenStyle.DashLine, Qt.PenStyle.SolidLine
        for curve in curves:
            style = dash if curve.is_dashed else line
            pen = pg.mkPen(curve.color, width=2, style=style)
            steps, values = (
                np.asarray(each, dtype=float) for each in (curve.steps, curve.values)
            )
            self._items.append(self.plot.plot(steps, values, pen=pen, connect="finite"))
        for step in marks:
            mark = pg.InfiniteLine(pos=step, angle=90, pen=pg.mkPen(FAINT, style=dash))
            self.plot.addItem(mark)
            self._items.append(mark)
        self.plot.setLabel("left", f"{self._label} ({unit})" if unit else self._label)
        self.title.say(
            " &nbsp; ".join(
                f'<span style="color: {each.color}">'
                f"{'┅' if each.is_dashed else '━'}</span> {each.name}"
                for each in curves
            )
        )
        self._show(something=True)

    def clear(self) -> None:
        """Clear the plot."""
        for item in self._items:
            self.plot.removeItem(item)
        self._items.clear()
        self._show(something=False)
