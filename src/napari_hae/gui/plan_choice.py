"""Choice of the plan: positions from the agent, the objects of a layer, or a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels, Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_hae.experiment.object_order import AS_LISTED, ordered, orders
from napari_hae.experiment.plans import PLANS, ObjectsPlan
from napari_hae.gui.forms import ChoiceForm
from napari_hae.gui.layer_calibration import take_calibration
from napari_hae.gui.layer_combo import LayerCombo
from napari_hae.gui.places import holds_places, objects_of
from napari_hae.gui.sentences import Sentence

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_hae.experiment.object_order import Objects
    from napari_hae.gui.session import Session
    from napari_hae.settings_base import Settings

ORDER_TIP = (
    "In which order the objects are measured: as the layer lists them, labels by their "
    "numbers; always the nearest one next, from the place that was measured last; or "
    "by their area or any number in the layer's table."
)
OBJECTS_OF = "The agent goes on where all objects of this layer are measured:"
NOT_CHOSEN = "No layer is chosen"


class PlanChoice(QWidget):
    """Form for the plan, with the layer whose objects make the list.

    The plan copies the positions, and keeps them if the layer changes or is removed.
    """

    changed = Signal(object)
    """Emit `(plan)` when the plan changes."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.form = ChoiceForm("Chosen by", PLANS)
        self.layer = LayerCombo(session.viewer, _holds_objects)
        self.order = QComboBox()
        self.order.setAccessibleName("Order of the objects")
        self.order.setToolTip(ORDER_TIP)
        self.order.setMinimumWidth(60)
        self.missing = Sentence()
        self._why_none = NOT_CHOSEN
        self._refusal = ""
        """Reason why the chosen layer cannot be used; empty if it can."""
        self._followed: Layer | None = None
        self._label = QLabel(OBJECTS_OF)
        self._label.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addWidget(self._label)
        layout.addWidget(self.layer)
        layout.addWidget(self.missing)
        layout.addWidget(self.order)
        self.form.changed.connect(self._on_changed)
        self.layer.changed.connect(self._on_layer)
        self.order.activated.connect(self._on_order)
        session.closed.connect(self._detach)
        session.survey_changed.connect(self._show_orders)
        self._follow()
        self._refresh()

    @property
    def value(self) -> Settings:
        """The chosen plan."""
        plan, objects = self.form.value, self._objects()
        frame = self._session.layers.frame
        if not isinstance(plan, ObjectsPlan) or objects is None or frame is None:
            return plan
        order = self.order.currentText() or AS_LISTED
        measured = self._session.live.measurements
        last = measured[-1].proposal if measured else None
        start = (0, 0) if last is None else (last.row, last.column)
        pixels = ordered(objects, order, pixel_nm=frame.pixel_nm, start=start)
        return ObjectsPlan(pixels=pixels, order=order)

    def set_value(self, plan: Settings) -> None:
        """Show a plan; nothing is emitted."""
        self.form.set_value(plan)
        self._refresh()

    def _on_changed(self, _: object) -> None:
        self._refresh()
        self.changed.emit(self.value)

    def _on_layer(self) -> None:
        gone = self._followed if self.layer.layer is None else None
        self._why_none = (
            NOT_CHOSEN if gone is None else f"The layer {gone.name!r} is gone"
        )
        self._follow()
        self._refresh()
        if self.form.kind == "objects" and gone is None:
            self.changed.emit(self.value)

    def _on_order(self) -> None:
        self.changed.emit(self.value)

    def _refresh(self) -> None:
        shown = self.form.kind == "objects"
        for widget in (self._label, self.layer, self.order):
            widget.setVisible(shown)
        if shown:
            self._objects()
        # A layer that was added or removed must not replace the list of positions.
        self.layer.waits = shown
        self.missing.say(self._what_is_missing() if shown else "")

    def _what_is_missing(self) -> str:
        plan = self.form.value
        if self._refusal:
            return f"{self._refusal[:1].upper()}{self._refusal[1:]}."
        if self.layer.layer is not None or not isinstance(plan, ObjectsPlan):
            return ""
        kept = "keeps its places" if plan.pixels else "has no places"
        return f"{self._why_none}. The plan {kept} until you choose one."

    def _objects(self) -> Objects | None:
        layer, frame = self.layer.layer, self._session.layers.frame
        self._refusal = ""
        if layer is None or frame is None:
            return None
        if self.form.kind == "objects":
            try:
                told = take_calibration(layer, frame)
            except ValueError as error:
                self._refusal = str(error)
                return None
            if told:
                self._session.said.emit(told)
        return objects_of(layer, frame, self._session.viewer.dims.point)

    def _follow(self) -> None:
        """Offer the columns of the chosen layer's table, and follow its changes."""
        if self._followed is not self.layer.layer:
            self._let_go()
            self._followed = self.layer.layer
            if self._followed is not None:
                self._followed.events.features.connect(self._show_orders)
        self._show_orders()

    def _show_orders(self, _: object = None) -> None:
        objects = self._objects()
        chosen = self.order.currentText()
        self.order.clear()
        offered = [chosen or AS_LISTED] if objects is None else orders(objects)
        self.order.addItems(offered)
        self.order.setCurrentIndex(max(self.order.findText(chosen), 0))

    def _let_go(self) -> None:
        if self._followed is not None:
            self._followed.events.features.disconnect(self._show_orders)
            self._followed = None

    def _detach(self) -> None:
        self._let_go()
        self.layer.detach()


def _holds_objects(layer: Layer) -> bool:
    return isinstance(layer, Labels | Points) and holds_places(layer)
