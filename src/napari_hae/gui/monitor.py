"""The dock *Monitor*: spectra on the left, the agent's diagnostics on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QSizePolicy,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
)

from napari_hae.gui.feature_space import FeatureSpacePanel
from napari_hae.gui.learning import LearningPanel
from napari_hae.gui.rewind import RewindBar
from napari_hae.gui.sentences import SteadyLabel
from napari_hae.gui.sessions import Dock
from napari_hae.gui.spectra import SpectraPanel
from napari_hae.gui.story import StoryPanel
from napari_hae.gui.times import TimesPanel
from napari_hae.gui.why import WhyPanel

if TYPE_CHECKING:
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QWidget

    from napari_hae.types import Proposal


class MonitorDock(Dock):
    """Live display of measurements and of the agent's state."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session = self.session
        self.why = SteadyLabel(wraps=False)
        self.why.setToolTip("The proposal that is shown, and why it was chosen.")
        self.rewind = RewindBar(session)
        self.spectra = SpectraPanel(session)
        self.learning = LearningPanel(session)
        self.feature_space = FeatureSpacePanel(session)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.reasons = WhyPanel(session)
        self.times = TimesPanel(session)
        self.story = StoryPanel(session)
        for title, panel in (
            ("Learning", self.learning),
            ("Feature space", self.feature_space),
            ("Why here", self.reasons),
            ("Time", self.times),
            ("Journal", self.story),
        ):
            self.tabs.addTab(panel, title)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.spectra)
        splitter.addWidget(self.tabs)
        # One half each, whatever their size hints.
        splitter.setSizes([10_000, 10_000])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 6)
        layout.addLayout(self._top())
        layout.addWidget(splitter, 1)
        self.setMinimumHeight(190)
        # Otherwise napari adds a stretch below, which takes the plots' height.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        session.started.connect(self._on_started)
        session.warning_wanted.connect(self._on_warning_wanted)
        session.live.proposed.connect(self._on_proposed)
        session.live.rewound.connect(self._on_rewound)

    def _top(self) -> QHBoxLayout:
        row = QHBoxLayout()
        # A long sentence must not make the window wider.
        self.why.setMinimumWidth(1)
        row.addWidget(self.why, 1)
        row.addWidget(self.rewind)
        return row

    def _on_warning_wanted(self) -> None:
        self.tabs.setCurrentWidget(self.story)
        self.story.show_next_warning()

    def _on_started(self) -> None:
        self.why.setText("")

    def _on_rewound(self) -> None:
        if (proposal := self.session.live.proposal) is not None:
            self._on_proposed(proposal)

    def _on_proposed(self, proposal: Proposal) -> None:
        self.why.setText(f"Step {proposal.step + 1}: {proposal.reason}")
