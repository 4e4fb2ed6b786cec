"""Controls beside the plot of a feature space."""

from __future__ import annotations

from enum import StrEnum

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_hae.gui.feature_colors import EXPLAINED, ColorBy
from napari_hae.gui.feature_plot import ColorScale

WIDTH_PX = 250
NOTHING = "Nothing selected: drag with Shift"


class Space(StrEnum):
    """Features that define the distance between candidates."""

    MODEL = "Model"
    DESCRIPTORS = "Descriptors"

    @property
    def axis(self) -> str:
        """Name of its axes, without their number."""
        return "Model component" if self is Space.MODEL else "Patch component"


_SPACES = {
    Space.MODEL: "As the model compares the candidates: the first two principal "
    "components of its embedding.",
    Space.DESCRIPTORS: "As the survey image shows them, whatever was measured: the "
    "first two principal components of the image patches.",
}


class FeatureControls(QScrollArea):
    """Choice of space and colour, and actions on the selected candidates."""

    changed = Signal()
    """Emit when another space or colour is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.space_choice = _choice("Space", _SPACES)
        self.color_choice = _choice("Colour", EXPLAINED)
        self.scale = ColorScale()
        self.lasso = QPushButton("Lasso")
        self.lasso.setCheckable(True)
        self.lasso.setToolTip(
            "Draw around candidates to select them; also without this button, with "
            "Shift. With Ctrl they are added to what is selected."
        )
        self.paint = QPushButton("Paint")
        self.paint.setToolTip("Select candidates by painting in the image.")
        self.clear = QPushButton("Clear")
        self.clear.setToolTip("Select nothing.")
        self.interest = QPushButton("Make region of interest")
        self.interest.setToolTip(
            "Nothing is measured outside of what is selected, at once. The new layer "
            "can be painted on, and switched off in Experiment > Regions."
        )
        self.forbidden = QPushButton("Make forbidden zone")
        self.forbidden.setToolTip(
            "The beam never goes where it is selected, at once. The new layer can be "
            "painted on, and switched off in Experiment > Regions."
        )
        self.count = QLabel()
        self._lay_out()
        for choice in (self.space_choice, self.color_choice):
            choice.currentIndexChanged.connect(self._on_chosen)
        self.show_count(0, 0)

    @property
    def space(self) -> Space:
        """The chosen space."""
        return Space(self.space_choice.currentText())

    @property
    def color_by(self) -> ColorBy:
        """The chosen colour."""
        return ColorBy(self.color_choice.currentText())

    def show_count(self, selected: int, candidates: int) -> None:
        """Show the number of selected candidates, and enable the actions on them."""
        some = f"{selected:,} of {candidates:,}".replace(",", " ")
        self.count.setText(f"{some} selected" if selected else NOTHING)
        for button in (self.clear, self.interest, self.forbidden):
            button.setEnabled(selected > 0)
        self.paint.setEnabled(candidates > 0)

    def _on_chosen(self) -> None:
        self.changed.emit()

    def _lay_out(self) -> None:
        choices, tools = QFormLayout(), QHBoxLayout()
        choices.addRow("Space", self.space_choice)
        choices.addRow("Colour", self.color_choice)
        for button in (self.lasso, self.paint, self.clear):
            # Themes give buttons more width than their text needs.
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            tools.addWidget(button)
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(4, 2, 2, 2)
        layout.setSpacing(4)
        layout.addLayout(choices)
        layout.addWidget(self.scale)
        layout.addLayout(tools)
        layout.addWidget(self.count)
        layout.addWidget(self.interest)
        layout.addWidget(self.forbidden)
        layout.addStretch(1)
        self.setWidget(body)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFixedWidth(WIDTH_PX)


def _choice(name: str, explained: dict[Space, str] | dict[ColorBy, str]) -> QComboBox:
    choice = QComboBox()
    choice.setAccessibleName(name)
    choice.setMinimumContentsLength(12)
    choice.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    for row, (title, tip) in enumerate(explained.items()):
        choice.addItem(str(title))
        choice.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
    choice.setToolTip("<br>".join(f"{each}: {tip}" for each, tip in explained.items()))
    return choice
