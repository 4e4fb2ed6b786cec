"""The dock *Monitor*: the newest spectrum with its band, and the learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QSplitter, QVBoxLayout, QWidget

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.gui.plots import LearningCurve, SpectrumPlot
from napari_hae.gui.sessions import Dock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Points
    from napari.viewer import Viewer

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.types import Measurement, Proposal


class MonitorDock(Dock):
    """Shows what is measured, as it comes."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session = self.session
        self._selection_of: Points | None = None
        self._looked = False
        self.why = QLabel("")
        self.why.setToolTip("The newest proposal, and why it was chosen.")
        self.spectrum = SpectrumPlot()
        self.curve = LearningCurve()
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.spectrum)
        splitter.addWidget(self.curve)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 2, 6, 6)
        layout.addWidget(self.why)
        layout.addWidget(splitter, 1)
        self.setMinimumHeight(190)
        # Else napari adds a stretch below, which takes the plots' height.
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.spectrum.band_changed.connect(self._on_band_dragged)
        self._signals = [
            (session.started, self._on_started),
            (session.live.measured, self._on_measured),
            (session.live.retargeted, self._draw_curve),
            (session.live.proposed, self._on_proposed),
            (session.settings_changed, self._on_settings),
            (session.settings_in_force, self._on_settings_in_force),
        ]
        for signal, slot in self._signals:
            signal.connect(slot)
        self._on_settings(session.settings)
        if session.live.measurements:
            self._on_measured(list(session.live.measurements))

    def _on_started(self) -> None:
        self.spectrum.clear()
        self.curve.clear()
        self.why.setText("")
        self._looked = False

    def _on_measured(self, new: list[Measurement]) -> None:
        self._watch_selection()
        if self._selected() is None:
            self._draw_spectrum(new[-1])
        self._draw_curve(self.session.live.measurements)

    def _on_proposed(self, proposal: Proposal) -> None:
        self.why.setText(f"Step {proposal.step + 1}: {proposal.reason}")

    def _draw_spectrum(self, measurement: Measurement) -> None:
        spectrum = measurement.spectrum
        title = f"Step {measurement.step + 1}"
        if measurement.usable:
            title += f", target {measurement.target:.4g}"
        else:
            title += ", no target"
        self.spectrum.set_spectrum(spectrum.energy.energies_ev, spectrum.counts, title)
        self._look_at_band()

    def _draw_curve(self, measurements: Sequence[Measurement]) -> None:
        settings = self.session.settings
        targets = [m.target for m in measurements]
        best, top = [], float("nan")
        for target in targets:
            top = settings.goal.best([top, target])
            best.append(top)
        self.curve.set_points(
            targets,
            [m.proposal.mean for m in measurements],
            [m.proposal.std for m in measurements],
            best,
            settings.scalarizer.unit,
        )

    def _on_settings(self, settings: ExperimentSettings) -> None:
        scalarizer = settings.scalarizer
        band_ev = None
        if isinstance(scalarizer, BandScalarizer):
            band_ev = scalarizer.band_ev
        self.spectrum.set_band(band_ev)
        self._look_at_band()

    def _on_settings_in_force(self, step: int) -> None:
        if step:
            self.curve.add_marker(step, f"settings changed before step {step + 1}")

    def _look_at_band(self) -> None:
        """Show the band's surroundings once; then the view is the person's."""
        scalarizer = self.session.settings.scalarizer
        if self._looked or self.spectrum.is_empty:
            return
        if isinstance(scalarizer, BandScalarizer) and scalarizer.band_ev is not None:
            self.spectrum.look_at(*scalarizer.band_ev)
            self._looked = True

    def _on_band_dragged(self, low_ev: float, high_ev: float) -> None:
        scalarizer = self.session.settings.scalarizer
        if isinstance(scalarizer, BandScalarizer):
            low, high = (float(f"{edge:.5g}") for edge in (low_ev, high_ev))
            self.session.configure(scalarizer=scalarizer.with_band(low, high))
            # What could not be used goes back to what is in force.
            self._on_settings(self.session.settings)

    def _watch_selection(self) -> None:
        layer = self.session.layers.measured_layer
        if layer is not self._selection_of:
            self._selection_of = layer
            if layer is not None:
                layer.selected_data.events.items_changed.connect(self._on_selected)

    def _selected(self) -> Measurement | None:
        layer, measured = self._selection_of, self.session.live.measurements
        if layer is None or not layer.selected_data:
            return None
        index = min(layer.selected_data)
        return measured[index] if index < len(measured) else None

    def _on_selected(self, *_: Any) -> None:
        measured = self.session.live.measurements
        shown = self._selected() or (measured[-1] if measured else None)
        if shown is not None:
            self._draw_spectrum(shown)
