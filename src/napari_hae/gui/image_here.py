"""Controls to take a finer image of a drawn area, and to go back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Labels, Shapes
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_hae.gui.layer_calibration import (
    lie_in_plane,
    pixel_to_nm,
    shown_index,
    shown_labels,
    take_calibration,
)
from napari_hae.gui.layer_combo import LayerCombo
from napari_hae.gui.layer_data import METADATA_KEY, Role, calibration
from napari_hae.gui.layers import insert_layer, role_of
from napari_hae.gui.successors import NO_IMAGE
from napari_hae.types import Area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame
    from napari_hae.gui.session import Session

NAME = "Area to image"
MADE_FOR = "made for"
"""Metadata key of a layer for drawing: its purpose."""
COLOR = "#f0e442"
HOW = "Press *Draw area*, drag a rectangle in the image, and press *Image here*."
BACK = "Stop here, and go on with the record that the finer image was made from."
_DRAWN = (None, Role.ROI, Role.SOFT, Role.SELECTION)
"""Roles of layers that can define an area: the user's own layers, and areas to
measure."""


class ImageHere(QWidget):
    """Layer whose bounding box is the area, with buttons to image it and go back."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.hint = QLabel(HOW.replace("*", ""))
        self.hint.setWordWrap(True)
        self.layer = LayerCombo(session.viewer, _may_hold_area)
        self.layer.setToolTip(
            "The area is the rectangle around what is drawn or painted in this layer: "
            "of shapes those that are selected, or else the newest one."
        )
        self.draw = QPushButton("Draw area")
        self.draw.setToolTip("Make a layer to drag a rectangle in.")
        self.image = QPushButton("Image here")
        self.image.setToolTip(
            "Image the area with as many pixels as the survey image has, which become "
            "the candidates. The run goes on there in a new record, with what was "
            "measured inside; its record so far stays as it is. Budgets count each "
            "record on its own."
        )
        self.wider = QPushButton("Back to the wider image")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.hint, 0, 0, 1, 2)
        grid.addWidget(self.layer, 1, 0, 1, 2)
        grid.addWidget(self.draw, 2, 0)
        grid.addWidget(self.image, 2, 1)
        grid.addWidget(self.wider, 3, 0, 1, 2)
        self.draw.clicked.connect(self._on_draw)
        self.image.clicked.connect(self._on_image)
        self.wider.clicked.connect(session.successors.go_wider)
        self.layer.changed.connect(self._refresh)
        for signal in (
            *(session.connection.changed, session.survey_changed),
            *(session.started, session.state_changed, session.successors.changed),
        ):
            signal.connect(self._refresh)
        session.closed.connect(self.layer.detach)
        self._refresh()

    def _refresh(self, _: object = None) -> None:
        session = self._session
        able = session.connection.is_open and not session.is_beginning
        self.draw.setEnabled(session.layers.frame is not None)
        self.image.setEnabled(able and self.layer.layer is not None)
        refusal = session.successors.no_way_back
        self.wider.setVisible(session.successors.has_wider)
        self.wider.setEnabled(not refusal)
        self.wider.setToolTip(refusal or BACK)

    def _on_draw(self) -> None:
        frame, viewer = self._session.layers.frame, self._session.viewer
        if frame is None:
            return
        layer = next((x for x in viewer.layers if _is_own(x)), None)
        if layer is not None and viewer.layers[-1] is not layer:
            viewer.layers.move(viewer.layers.index(layer), len(viewer.layers))
        if layer is None:
            layer = Shapes(
                ndim=2,
                name=NAME,
                edge_width=max(frame.shape) / 100,
                edge_color=COLOR,
                face_color="transparent",
                opacity=1.0,
                metadata={METADATA_KEY: {MADE_FOR: NAME}},
                **calibration(frame),
            )
            insert_layer(viewer, layer)
        layer.visible = True
        viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"
        self.layer.choose(layer)

    def _on_image(self) -> None:
        layer, frame = self.layer.layer, self._session.layers.frame
        if layer is None or frame is None:
            return
        try:
            told = take_calibration(layer, frame)
            area = drawn_area(layer, frame, self._session.viewer.dims.point)
        except ValueError as error:
            self._session.failed.emit(NO_IMAGE, str(error))
            return
        if told:
            self._session.said.emit(told)
        self._session.mended.emit(NO_IMAGE)
        if isinstance(layer, Shapes):
            # The next drag should move the view, not draw another rectangle.
            layer.mode = "pan_zoom"
        self._session.successors.image_here(area)


def drawn_area(layer: Layer, frame: FieldFrame, point: Sequence[float] = ()) -> Area:
    """Return the bounding box of a layer's drawing, clipped to the field.

    Of a stack, in the plane that is shown: `point` is the viewer's `dims.point`.

    Raises
    ------
    ValueError
        If nothing is drawn, or nothing of it lies in the field of view.
    """
    corners = _corners(layer, point)
    if not len(corners):
        raise ValueError(f"nothing is drawn in the layer {layer.name!r}")
    matrix = pixel_to_nm(layer)
    places = [
        frame.position_at(*each) for each in corners @ matrix[:, :2].T + matrix[:, 2]
    ]
    x, y = (np.clip([getattr(p, axis) for p in places], 0, 1) for axis in "xy")
    try:
        return Area(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
    except ValueError:
        raise ValueError(
            f"what is drawn in the layer {layer.name!r} has no extent in the field of "
            "view"
        ) from None


def _corners(layer: Layer, point: Sequence[float]) -> NDArray[np.float64]:
    """Return points of a layer, `(n, 2)`, that enclose the drawing."""
    if isinstance(layer, Labels):
        rows, columns = np.nonzero(shown_labels(layer, point))
        if not len(rows):
            return np.empty((0, 2))
        low = np.array([rows.min(), columns.min()]) - 0.5
        high = np.array([rows.max(), columns.max()]) + 0.5
        return np.array([low, (low[0], high[1]), (high[0], low[1]), high])
    index = shown_index(layer, point)
    shapes = {
        number: np.asarray(each, dtype=float)[:, -2:]
        for number, each in enumerate(layer.data)
        if lie_in_plane(each, index)
    }
    chosen = sorted(layer.selected_data & shapes.keys()) or list(shapes)[-1:]
    selected = [shapes[number] for number in chosen]
    return np.concatenate([np.empty((0, 2)), *selected])


def _may_hold_area(layer: Layer) -> bool:
    return isinstance(layer, Shapes | Labels) and role_of(layer) in _DRAWN


def _is_own(layer: Layer) -> bool:
    own = layer.metadata.get(METADATA_KEY)
    is_marked = isinstance(own, dict) and own.get(MADE_FOR) == NAME
    return isinstance(layer, Shapes) and is_marked
