"""The mouse moves and scales the plots, and they find back to all of their data."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_hae.gui.curves import CalibrationPlot, TimesPlot
from napari_hae.gui.feature_plot import FeaturePlot
from napari_hae.gui.named_curves import Curve, CurvesPlot
from napari_hae.gui.plots import LearningCurve, SpectrumPlot

pytestmark = pytest.mark.gui
LEFT = Qt.MouseButton.LeftButton
ENERGIES_EV = np.linspace(100, 500, 401)
COUNTS = 50 + 1000 * np.exp(-(((ENERGIES_EV - 300) / 20) ** 2))


def spectrum() -> SpectrumPlot:
    plot = SpectrumPlot()
    plot.set_spectrum(ENERGIES_EV, COUNTS, "Step 1")
    plot.set_band((290.0, 310.0))
    return plot


def learning() -> LearningCurve:
    plot = LearningCurve()
    plot.set_points(np.arange(20.0), np.full(20, 9.0), np.ones(20), np.arange(20.0), "")
    return plot


def features() -> FeaturePlot:
    plot = FeaturePlot()
    plot.say("")
    plot.set_path(np.random.default_rng(0).random((30, 2)), None, (0, 1), "viridis")
    return plot


def forensics() -> CurvesPlot:
    plot = CurvesPlot("nothing", "Regret")
    plot.show_curves([Curve("this run", np.arange(1, 21), np.arange(20.0), "#56b4e9")])
    return plot


PLOTS = [spectrum, learning, features, forensics]


@pytest.fixture
def shown(qtbot):
    def shown(make):
        plot = make() if callable(make) else make
        qtbot.addWidget(plot)
        plot.resize(600, 300)
        with qtbot.waitExposed(plot):
            plot.show()
        # pyqtgraph scales to the data when it draws.
        qtbot.waitUntil(lambda: not plot.grab().isNull())
        return plot

    return shown


def view(plot):
    return np.array(plot.plot.viewRange())


def turn_wheel(plot, *, out: bool, times: int = 30) -> None:
    viewport = plot.plot.viewport()
    at = QPointF(viewport.width() / 2, viewport.height() / 2)
    for _ in range(times):
        event = QWheelEvent(
            at,
            QPointF(viewport.mapToGlobal(at.toPoint())),
            QPoint(),
            QPoint(0, -120 if out else 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(viewport, event)


def data_range(plot):
    return np.array(plot.plot.getViewBox().childrenBounds())


@pytest.mark.parametrize("make", PLOTS)
def test_the_wheel_does_not_lead_away_from_the_data(make, shown):
    plot = shown(make)
    data = data_range(plot)
    # The places of a feature space have no limits that mean anything.
    margin = 0.51 if make is features else 0.051
    beyond = margin * (data[:, 1] - data[:, 0])
    turn_wheel(plot, out=True)
    seen = view(plot)
    assert (seen[:, 0] >= data[:, 0] - beyond).all()
    assert (seen[:, 1] <= data[:, 1] + beyond).all()


def test_a_spectrum_has_no_negative_counts_and_no_energies_beyond_its_axis(shown):
    plot = shown(spectrum)
    turn_wheel(plot, out=True)
    (low_ev, high_ev), (lowest, highest) = view(plot)
    assert 75 <= low_ev < 100 and 500 < high_ev <= 525
    assert lowest >= -0.01 * COUNTS.max() and highest <= 1.1 * COUNTS.max()


@pytest.mark.parametrize("make", PLOTS)
@pytest.mark.parametrize("way", ["button", "double click"])
def test_what_was_zoomed_is_fitted_again(make, way, shown, qtbot):
    plot = shown(make)
    assert not plot.fit_button.isVisible()
    before = view(plot)
    turn_wheel(plot, out=False)
    after = view(plot)
    assert ((after[:, 1] - after[:, 0]) < 0.2 * (before[:, 1] - before[:, 0])).all()
    assert plot.fit_button.isVisible()
    assert plot.plot.rect().contains(plot.fit_button.geometry())
    if way == "button":
        qtbot.mouseClick(plot.fit_button, LEFT)
    else:
        viewport = plot.plot.viewport()
        qtbot.mouseDClick(viewport, LEFT, pos=viewport.rect().center())
        qtbot.mouseRelease(viewport, LEFT, pos=viewport.rect().center())
    assert not plot.fit_button.isVisible()
    data = data_range(plot)
    qtbot.waitUntil(lambda: plot.grab() and (view(plot)[:, 0] <= data[:, 0]).all())
    assert (view(plot)[:, 1] >= data[:, 1]).all()


def test_a_fitted_curve_goes_on_following_what_comes(shown, qtbot):
    plot = shown(learning)
    turn_wheel(plot, out=False)
    qtbot.mouseClick(plot.fit_button, LEFT)
    plot.set_points(np.arange(90.0), np.ones(90), np.ones(90), np.arange(90.0), "")
    qtbot.waitUntil(lambda: plot.grab() and view(plot)[0, 1] >= 90)


def test_a_view_that_was_moved_stays_when_data_come(shown):
    plot = shown(learning)
    turn_wheel(plot, out=False)
    before = view(plot)
    plot.set_points(np.arange(90.0), np.ones(90), np.ones(90), np.arange(90.0), "")
    plot.grab()
    np.testing.assert_allclose(view(plot), before)


def test_shares_and_times_are_fitted_to_what_they_can_be(shown, qtbot):
    shares = shown(CalibrationPlot)
    turn_wheel(shares, out=False)
    shares.fit()
    assert view(shares)[1][0] <= 0 and view(shares)[1][1] >= 1
    times = shown(TimesPlot)
    usual = view(times)[1]
    turn_wheel(times, out=False, times=5)
    assert times._is_zoomed
    times.fit()
    assert not times._is_zoomed
    assert view(times)[1][0] <= 0 < usual[1]
