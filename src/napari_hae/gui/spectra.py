"""The panel with spectra: the newest or the selected one, and the band to drag."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout

from napari_hae.agent.scalarizers import BandScalarizer
from napari_hae.gui.beside import MOST_SELECTED, Beside
from napari_hae.gui.judging import JudgingBar
from napari_hae.gui.panels import LazyPanel
from napari_hae.gui.plots import SpectrumPlot

if TYPE_CHECKING:
    from napari.layers import Points
    from qtpy.QtWidgets import QWidget

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.gui.session import Session
    from napari_hae.types import Measurement


class SpectraPanel(LazyPanel):
    """Spectra as they are measured, or those of selected points."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._selection_of: Points | None = None
        self._looked = False
        self.plot = SpectrumPlot()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.judging = JudgingBar(session)
        self.beside = Beside(session)
        below = QHBoxLayout()
        below.addWidget(self.judging, 1)
        below.addWidget(self.beside)
        layout.addWidget(self.plot, 1)
        layout.addLayout(below)
        self.plot.band_changed.connect(self._on_band_dragged)
        session.started.connect(self._on_started)
        session.live.measured.connect(self._on_measured)
        session.live.rewound.connect(self._on_selected)
        for signal in (
            *(session.live.retargeted, session.live.judged, session.live.noted),
            self.beside.changed,
        ):
            signal.connect(self.refresh)
        session.settings_changed.connect(self._on_settings)
        self._on_settings(session.settings)
        self._on_measured()

    def _on_started(self) -> None:
        # Another run may have another energy range: its view is its own.
        self.plot.clear()
        self._looked = False
        self.draw_now()

    def _on_measured(self, _: object = None) -> None:
        self._watch_selection()
        self.refresh()

    def draw(self) -> None:
        """Show the first of the selected spectra, or the newest one."""
        selected = self._selected()
        drawn = selected[-MOST_SELECTED:]
        shown = [*drawn, *self._session.live.measurements[-1:]]
        if not shown:
            self.plot.clear()
            self.judging.show_measurement(None)
            return
        measurement = shown[0]
        spectrum = measurement.spectrum
        title = f"Step {measurement.step + 1}"
        if measurement.usable:
            title += f", target {measurement.target:.4g}"
        else:
            title += ", no target"
        if len(drawn) < len(selected):
            title += f", newest {len(drawn)} of {len(selected)} selected"
        curves = self.beside.curves(measurement, drawn)
        for name, _, color in curves:
            # No line break between a curve's colour and its name, nor within the name.
            whole = html.escape(name).replace(" ", "&nbsp;")
            title += f' &nbsp; <span style="color: {color}">━</span>&nbsp;{whole}'
        energies_ev = spectrum.energy.energies_ev
        self.plot.set_spectrum(energies_ev, spectrum.counts, title)
        self.plot.set_beside(energies_ev, curves)
        self.judging.show_measurement(measurement)
        self._look_at_band()

    def _on_settings(self, settings: ExperimentSettings) -> None:
        scalarizer = settings.scalarizer
        band_ev = None
        if isinstance(scalarizer, BandScalarizer):
            band_ev = scalarizer.band_ev
        self.plot.set_band(band_ev)
        self._look_at_band()

    def _look_at_band(self) -> None:
        """Show the band's surroundings once; then the view is the user's."""
        scalarizer = self._session.settings.scalarizer
        if self._looked or self.plot.is_empty:
            return
        if isinstance(scalarizer, BandScalarizer) and scalarizer.band_ev is not None:
            self.plot.look_at(*scalarizer.band_ev)
            self._looked = True

    def _on_band_dragged(self, low_ev: float, high_ev: float) -> None:
        scalarizer = self._session.settings.scalarizer
        if isinstance(scalarizer, BandScalarizer):
            low, high = (float(f"{edge:.5g}") for edge in (low_ev, high_ev))
            self._session.configure(scalarizer=scalarizer.with_band(low, high))
            # An invalid entry reverts to the band in force.
            self._on_settings(self._session.settings)

    def _watch_selection(self) -> None:
        layer = self._session.layers.measured_layer
        if layer is not self._selection_of:
            self._selection_of = layer
            if layer is not None:
                layer.selected_data.events.items_changed.connect(self._on_selected)

    def _selected(self) -> list[Measurement]:
        """Return the measurements of the selected points, ordered by step."""
        layer, measured = self._selection_of, self._session.live.measurements
        if layer is None:
            return []
        return [measured[x] for x in sorted(layer.selected_data) if x < len(measured)]

    def _on_selected(self, *_: Any) -> None:
        self._watch_selection()
        self.draw_now()
