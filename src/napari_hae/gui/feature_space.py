"""The panel of the feature space: shows similar candidates, selects them by a lasso."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_hae.agent.feature_space import SurveyFeatures, survey_features
from napari_hae.gui.feature_colors import shading
from napari_hae.gui.feature_controls import FeatureControls, Space
from napari_hae.gui.feature_plot import FeaturePlot, palette
from napari_hae.gui.selection import CandidateSelection
from napari_hae.regions.regions import PolygonRegion, RegionKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Points
    from numpy.typing import NDArray
    from qtpy.QtGui import QShowEvent

    from napari_hae.gui.session import Session
    from napari_hae.types import Measurement, Proposal

    Floats = NDArray[np.float32]

REDRAW_MS = 500
"""Shortest interval between redraws with new data of a run."""
NO_SURVEY = "No survey image yet. Choose a microscope and press Connect."
NO_MODEL = (
    "The model has learned nothing yet. What it sees appears with the agent's first "
    "proposal after the initial design; the space “Descriptors” needs no run."
)
NOT_KEPT = (
    "A record keeps the maps of the model, but not how it compares the candidates. The "
    "space “Descriptors” shows them side by side as the survey image does."
)
UNDESCRIBED = "The candidates cannot be described"
NOT_DESCRIBED = "The candidates are being described …"


class FeatureSpacePanel(QWidget):
    """All candidates in feature space, linked to the image by a selection.

    Nothing is drawn while it is not visible.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._features: SurveyFeatures | None = None
        self._described: tuple[Any, ...] = ()
        self._next: Proposal | None = None
        self._points_layer: Points | None = None
        self._frame = session.layers.frame
        self._is_stale = True
        self.selection = CandidateSelection(session, self)
        self.plot = FeaturePlot()
        self.controls = FeatureControls()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot, 1)
        layout.addWidget(self.controls)
        self._timer = QTimer(self, singleShot=True, interval=REDRAW_MS)
        self._timer.timeout.connect(self._draw)
        self._connect()

    def _connect(self) -> None:
        session, controls = self._session, self.controls
        for signal in (
            *(session.live.measured, session.live.retargeted, session.live.mapped),
            *(session.settings_changed, session.finished, session.state_changed),
        ):
            signal.connect(self._on_news)
        session.live.proposed.connect(self._on_proposed)
        session.live.rewound.connect(self._on_rewound)
        session.started.connect(self._on_started)
        session.finished.connect(self._on_finished)
        session.survey_changed.connect(self._draw)
        session.closed.connect(self._on_closed)
        self.selection.changed.connect(self._show_selection)
        self.plot.lassoed.connect(self._on_lasso)
        self.plot.lassoed.connect(self._catch_up)
        controls.changed.connect(self._draw)
        controls.lasso.toggled.connect(self._on_lasso_armed)
        controls.paint.clicked.connect(self.selection.begin_painting)
        controls.clear.clicked.connect(self.selection.clear)
        controls.interest.clicked.connect(self._on_interest)
        controls.forbidden.clicked.connect(self._on_forbidden)

    def showEvent(self, event: QShowEvent) -> None:
        """Draw the changes made while it was hidden."""
        super().showEvent(event)
        # The release event was lost if the panel was hidden during the drag.
        self.plot.view.forget()
        self._catch_up()

    def _catch_up(self, *_: Any) -> None:
        if self._is_stale:
            self._draw()

    def _on_news(self, *_: Any) -> None:
        self._is_stale = True
        if self.isVisible() and not self._timer.isActive():
            self._timer.start()

    def _on_proposed(self, proposal: Proposal) -> None:
        # The proposal of an opened record has already been measured.
        self._next = proposal if self._session.is_running else None
        self._on_news()

    def _on_rewound(self) -> None:
        live = self._session.live
        is_over = live.shown_step is None and not self._session.is_running
        self._next = None if is_over else live.proposal
        self._on_news()

    def _on_started(self) -> None:
        self._next, self._frame = None, self._session.layers.frame
        self._draw()

    def _on_finished(self) -> None:
        self._next = None

    def _on_closed(self) -> None:
        self._timer.stop()
        self._watch_points(None)

    def _draw(self, *_: Any) -> None:
        self._is_stale = True
        # A lasso selects the candidates that were inside when it was drawn.
        if not self.isVisible() or self.plot.view.is_drawing:
            return
        self._is_stale = False
        picture, missing = self._picture()
        self.plot.say(missing)
        self.controls.lasso.setEnabled(picture is not None)
        if picture is not None:
            self._show(picture)
        self._watch_points(self._session.layers.measured_layer)
        self._show_picked()
        self._show_selection()

    def _show(self, picture: Floats) -> None:
        intensity = None if self._features is None else self._features.intensity
        # Read once: more are measured while this is drawn.
        measured = self._measured
        colors = shading(self.controls.color_by, self._session, measured, intensity)
        limits, plot = colors.limits or (0.0, 1.0), self.plot
        plot.set_axes(self.controls.space.axis)
        plot.cloud.set_points(picture)
        plot.cloud.set_values(colors.candidates, limits, palette(colors.colormap))
        places = self._places(picture, measured)
        plot.set_path(places, colors.measured, limits, colors.colormap)
        plot.set_next(self._next_place(picture))
        self.controls.scale.show_scale(colors.colormap, colors.limits, colors.unit)

    def _picture(self) -> tuple[Floats | None, str]:
        """Return the candidates' coordinates in the space, or why there are none."""
        survey = self._session.survey
        if survey is None:
            return None, NO_SURVEY
        self._describe()
        if self.controls.space is Space.DESCRIPTORS:
            features = self._features
            return (None, NOT_DESCRIBED) if features is None else (features.picture, "")
        live = self._session.live
        picture = live.picture
        if picture is None and live.maps is not None:
            return None, NOT_KEPT
        # A survey image of another shape may follow the run.
        if picture is None or len(picture) != survey.data[0].size:
            return None, NO_MODEL
        return picture, ""

    def _describe(self) -> None:
        """Compute the survey image's features in the background, once."""
        survey, patch_px = self._session.survey, self._session.settings.model.patch_px
        if survey is None or self._described == (survey, patch_px):
            return
        self._described = survey, patch_px
        self._features = None

        def work() -> SurveyFeatures:
            return survey_features(survey, patch_px)

        def done(features: SurveyFeatures) -> None:
            if self._described == (survey, patch_px):
                self._session.mended.emit(UNDESCRIBED)
                self._features = features
                self._draw()

        def failed(error: Exception) -> None:
            self._session.failed.emit(UNDESCRIBED, str(error))

        self._session.background.do("Describing the survey image", work, done, failed)

    def _next_place(self, picture: Floats) -> Floats | None:
        return None if self._next is None else picture[self._index(self._next)]

    @property
    def _measured(self) -> tuple[Measurement, ...]:
        """Return the newest run's measurements, if they are of the shown field."""
        same = self._session.layers.frame == self._frame
        return self._session.live.measurements if same else ()

    def _places(self, picture: Floats, measured: Sequence[Measurement]) -> Floats:
        """Return the coordinates of measured candidates, `(m, 2)`."""
        indices = [self._index(m.proposal) for m in measured]
        return picture[np.array(indices, dtype=np.intp)]

    def _index(self, proposal: Proposal) -> int:
        survey = self._session.survey
        assert survey is not None
        return proposal.row * survey.shape[1] + proposal.column

    def _watch_points(self, layer: Points | None) -> None:
        """Follow the selection in the layer of the measured points."""
        if layer is self._points_layer:
            return
        for each, change in ((self._points_layer, "disconnect"), (layer, "connect")):
            if each is not None:
                changed = each.selected_data.events.items_changed
                getattr(changed, change)(self._show_picked)
        self._points_layer = layer

    def _show_picked(self, *_: Any) -> None:
        layer, measured = self._points_layer, self._measured
        picked = [] if layer is None else sorted(layer.selected_data)
        selected = [measured[i] for i in picked if i < len(measured)]
        self.plot.set_picked(self._places(self.plot.cloud.points, selected))

    def _show_selection(self) -> None:
        mask, cloud = self.selection.mask.ravel(), self.plot.cloud
        selected = int(mask.sum())
        self.controls.show_count(selected, mask.size)
        if len(cloud.points) == mask.size:
            cloud.set_chosen(mask if selected else None)

    def _on_lasso_armed(self, armed: bool) -> None:
        self.plot.view.is_armed = armed

    def _on_lasso(self, outline: NDArray[np.float64], adds: bool) -> None:
        points, mask = self.plot.cloud.points, self.selection.mask
        if len(points) != mask.size:
            return
        x, y = points.T
        # A region tests points in a polygon, in any unit.
        inside = PolygonRegion("lasso", (outline[:, ::-1],)).contains(y, x)
        caught = inside.reshape(mask.shape)
        self.selection.select(mask | caught if adds else caught)

    def _on_interest(self) -> None:
        self.selection.make_region(RegionKind.ROI)

    def _on_forbidden(self) -> None:
        self.selection.make_region(RegionKind.FORBIDDEN)
