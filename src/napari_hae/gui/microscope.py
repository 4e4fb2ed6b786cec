"""The dock *Microscope*: instrument, connection and survey image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_hae import plugins
from napari_hae.experiment.settings import SurveySettings
from napari_hae.gui.abort import AbortButton
from napari_hae.gui.background import Background
from napari_hae.gui.beam import BeamLine
from napari_hae.gui.failures import Failures
from napari_hae.gui.forms import ChoiceForm, SettingsForm
from napari_hae.gui.sections import pinned, section
from napari_hae.gui.sentences import Sentence
from napari_hae.gui.sessions import Dock
from napari_hae.settings_base import OffersChoices

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_hae.experiment.settings import ExperimentSettings
    from napari_hae.types import ScanImage

LISTING = "Listing what the file holds"
NOT_CONNECTED = "No microscope connected. Choose one and press Connect."


class MicroscopeDock(Dock):
    """Connection to an instrument, with the state of its beam."""

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(napari_viewer, parent)
        session = self.session
        classes = plugins.load_all(plugins.INSTRUMENTS)
        self.instrument = ChoiceForm(
            "Microscope",
            {name: cls.settings_type for name, cls in classes.items()},
            {name: cls.title for name, cls in classes.items()},
        )
        # New users can connect at once.
        choice = self.instrument.choice
        choice.setCurrentIndex(max(choice.findData("simulated"), 0))
        self.survey_form = SettingsForm(SurveySettings)
        self.survey_form.set_value(session.settings.survey)
        self._make_header()
        self.field = Sentence()
        pinned(
            self,
            self._header,
            section("Instrument", self.instrument),
            section("Survey image", self.survey_form, self.survey_button, self.field),
        )
        self.connect_button.clicked.connect(self._on_connect)
        self.survey_button.clicked.connect(session.connection.acquire_survey)
        self.survey_form.changed.connect(self._on_survey_settings)
        self.instrument.changed.connect(self._on_instrument)
        self._listed: object = None
        # A separate thread, so that connecting does not have to wait for it.
        self._listing = Background(session)
        session.closed.connect(self._listing.close)
        self._signals = [
            (session.connection.changed, self._refresh),
            (session.state_changed, self._refresh),
            (session.settings_changed, self._show),
            (session.survey_changed, self._on_survey),
            (session.failed, self._refresh),
            (session.background.started, self._on_busy),
            (session.background.idle, self._refresh),
        ]
        for signal, slot in self._signals:
            signal.connect(slot)
        if session.survey is not None:
            self._on_survey(session.survey)
        self._refresh()

    def _make_header(self) -> None:
        self.state = QLabel(NOT_CONNECTED)
        self.state.setWordWrap(True)
        self.beam = BeamLine(self.session)
        self.progress = QProgressBar()
        self.progress.setRange(0, 0)
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(6)
        self.problem = Failures(self.session)
        self.abort = AbortButton()
        self.connect_button = QPushButton("Connect")
        self.survey_button = QPushButton("Acquire survey image")
        self.survey_button.setToolTip(
            "Scan the whole field of view. Not possible during a run, nor while "
            "regions close a part of the field."
        )
        self._header = QWidget()
        layout = QVBoxLayout(self._header)
        layout.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(self.connect_button)
        row.addWidget(self.abort)
        # First, so that no wrapping line moves ABORT away from a pointer.
        layout.addLayout(row)
        layout.addWidget(self.state)
        layout.addWidget(self.beam)
        layout.addWidget(self.progress)
        layout.addWidget(self.problem)

    def _on_connect(self) -> None:
        self.problem.forget()
        if self.session.connection.is_open:
            self.session.connection.close()
        else:
            chosen = self.instrument
            self.session.connection.open(chosen.kind, chosen.value)

    def _on_instrument(self, settings: Any) -> None:
        """List the contents of a file once it is chosen."""
        if not isinstance(settings, OffersChoices) or settings.listed == self._listed:
            return
        source, form = settings.listed, self.instrument.form
        self._listed = source

        def done(offers: dict[str, list[tuple[str, str]]]) -> None:
            if self._listed == source:
                self.session.mended.emit(LISTING)
                for name, choices in offers.items():
                    form.offer(name, choices)

        def failed(error: Exception) -> None:
            if self._listed == source:
                self.session.failed.emit(LISTING, str(error) or type(error).__name__)

        self._listing.do(LISTING, settings.offers, done, failed)

    def _on_survey_settings(self, settings: SurveySettings) -> None:
        self.session.configure(survey=settings)

    def _show(self, settings: ExperimentSettings) -> None:
        if self.survey_form.value != settings.survey:
            self.survey_form.set_value(settings.survey)

    def _on_survey(self, image: ScanImage) -> None:
        rows, columns = image.shape
        height_nm, width_nm = image.fov_nm
        self.field.say(
            f"{rows} × {columns} px, {height_nm:.4g} × {width_nm:.4g} nm, "
            f"{', '.join(image.detectors)}"
        )

    def _on_busy(self, what: str) -> None:
        self.state.setText(f"{what} …")
        self._refresh_controls()

    def _refresh(self, *_: object) -> None:
        session = self.session
        if session.background.is_busy:
            return
        if session.connection.instrument is not None:
            self.state.setText(f"Connected: {session.connection.instrument.title}")
        else:
            self.state.setText(NOT_CONNECTED)
        self._refresh_controls()

    def _refresh_controls(self) -> None:
        session = self.session
        busy, connected = session.background.is_busy, session.connection.is_open
        self.progress.setVisible(busy)
        self.connect_button.setEnabled(not busy)
        self.connect_button.setText("Disconnect" if connected else "Connect")
        self.instrument.setEnabled(not (busy or connected))
        self.survey_button.setEnabled(session.can_begin and not busy)
        # A run is based on its first image, but may continue in a finer one.
        for name, control in self.survey_form.controls.items():
            usable = name == "dwell_time_s" or not session.is_running
            control.native.setEnabled(usable)
