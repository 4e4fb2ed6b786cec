"""Choice of the area that is scanned again to track drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Shapes
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_hae.gui.layer_calibration import take_calibration
from napari_hae.gui.layer_combo import LayerCombo
from napari_hae.gui.layers import role_of
from napari_hae.gui.region_layers import region_from_layer
from napari_hae.gui.sentences import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_hae.coordinates import FieldFrame
    from napari_hae.experiment.survey import Edges
    from napari_hae.gui.session import Session

EMPTY = "Nothing is drawn in this layer within the survey image."


class FiducialChoice(QWidget):
    """Choice of a layer, and a button to use its bounding box as fiducial region."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.layer = LayerCombo(session.viewer, _can_be_drawn_in)
        self.use = QPushButton("Use as fiducial")
        self.use.setToolTip(
            "Take only the rectangle around what is drawn in this layer again, in "
            "place of the whole survey image. Choose a part with much to see, of 32 "
            "pixels or more a side, that will not drift out of the field."
        )
        self.problem = Problem()
        row = QHBoxLayout()
        row.addWidget(self.layer, 1)
        row.addWidget(self.use)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.problem)
        self.use.clicked.connect(self._on_use)
        self.layer.changed.connect(self._refresh)
        session.survey_changed.connect(self._refresh)
        session.closed.connect(self.layer.detach)
        self._refresh()

    def _refresh(self, _: object = None) -> None:
        is_shown = self._session.layers.frame is not None
        self.use.setEnabled(is_shown and self.layer.layer is not None)

    def _on_use(self) -> None:
        layer, frame = self.layer.layer, self._session.layers.frame
        if layer is None or frame is None:
            return
        try:
            told = take_calibration(layer, frame)
            edges = edges_of(layer, frame, self._session.viewer.dims.point)
        except (TypeError, ValueError) as error:
            self.problem.say(str(error))
            return
        self.problem.say("")
        if told:
            self._session.said.emit(told)
        drift = self._session.settings.drift
        new = drift.model_copy(update={"fiducial": edges})
        self._session.configure(drift=new)


def edges_of(layer: Layer, frame: FieldFrame, point: Sequence[float] = ()) -> Edges:
    """Return the bounding box of a drawing, along pixels of the survey image.

    Of a stack, in the plane that is shown: `point` is the viewer's `dims.point`.

    Raises
    ------
    TypeError, ValueError
        If the layer cannot be a region, or nothing is drawn in the survey image.
    """
    drawn = region_from_layer(layer, point=point).contains(*frame.centres_nm())
    if not drawn.any():
        raise ValueError(EMPTY)
    rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
    area, (height, width) = frame.area, frame.shape
    return (
        area.left + float(columns[0]) / width * area.width,
        area.top + float(rows[0]) / height * area.height,
        min(area.left + float(columns[-1] + 1) / width * area.width, 1.0),
        min(area.top + float(rows[-1] + 1) / height * area.height, 1.0),
    )


def _can_be_drawn_in(layer: Layer) -> bool:
    return isinstance(layer, Shapes) or (
        isinstance(layer, Labels) and role_of(layer) is None
    )
