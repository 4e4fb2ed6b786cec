"""Who chooses the positions: the agent, the objects of a layer, or a raster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels, Points
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_hae.experiment.plans import PLANS, ObjectsPlan
from napari_hae.gui.forms import ChoiceForm
from napari_hae.gui.layer_combo import LayerCombo
from napari_hae.gui.places import holds_places, pixels_of

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_hae.gui.session import Session
    from napari_hae.settings_base import Settings

OBJECTS_OF = "The agent goes on where all objects of this layer are measured:"


class PlanChoice(QWidget):
    """A form for the plan, with the layer whose objects make the list."""

    changed = Signal(object)
    """Emits the new plan."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.form = ChoiceForm("Chosen by", PLANS)
        self.layer = LayerCombo(session.viewer, _holds_objects)
        self._label = QLabel(OBJECTS_OF)
        self._label.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        layout.addWidget(self._label)
        layout.addWidget(self.layer)
        self.form.changed.connect(self._on_changed)
        self.layer.changed.connect(self._on_layer)
        session.closed.connect(self.layer.detach)
        self._refresh()

    @property
    def value(self) -> Settings:
        """The plan that is chosen."""
        plan = self.form.value
        layer, frame = self.layer.layer, self._session.layers.frame
        if not isinstance(plan, ObjectsPlan) or layer is None or frame is None:
            return plan
        return ObjectsPlan(pixels=tuple(pixels_of(layer, frame)))

    def set_value(self, plan: Settings) -> None:
        """Show a plan; nothing is emitted."""
        self.form.set_value(plan)
        self._refresh()

    def _on_changed(self, _: object) -> None:
        self._refresh()
        self.changed.emit(self.value)

    def _on_layer(self) -> None:
        if self.form.kind == "objects":
            self.changed.emit(self.value)

    def _refresh(self) -> None:
        shown = self.form.kind == "objects"
        self._label.setVisible(shown)
        self.layer.setVisible(shown)


def _holds_objects(layer: Layer) -> bool:
    return isinstance(layer, Labels | Points) and holds_places(layer)
