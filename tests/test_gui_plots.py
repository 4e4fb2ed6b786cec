"""The plots show what they are given, in the colours of their window."""

from __future__ import annotations

import numpy as np
import pytest

from napari_hae.gui.plots import LearningCurve, SpectrumPlot

pytestmark = pytest.mark.gui

ENERGIES_EV = np.linspace(-0.5, 2, 251)
COUNTS = 100 * np.exp(-(((ENERGIES_EV - 0.35) / 0.05) ** 2))
NAN = float("nan")


@pytest.fixture
def spectrum(qtbot):
    plot = SpectrumPlot()
    qtbot.addWidget(plot)
    plot.resize(600, 300)
    plot.show()
    return plot


@pytest.fixture
def curve(qtbot):
    plot = LearningCurve()
    qtbot.addWidget(plot)
    return plot


def view_ev(spectrum):
    return tuple(spectrum.plot.viewRange()[0])


def test_an_empty_plot_says_what_comes(spectrum, curve):
    assert spectrum.is_empty
    assert curve.is_empty


def test_a_spectrum_is_shown_whole_and_later_ones_leave_the_view_alone(spectrum):
    spectrum.set_spectrum(ENERGIES_EV, COUNTS, "Step 1")
    assert not spectrum.is_empty
    low, high = view_ev(spectrum)
    assert low < -0.5 < 2 < high
    spectrum.look_at(0.3, 0.4)
    seen = view_ev(spectrum)
    spectrum.set_spectrum(ENERGIES_EV, 2 * COUNTS, "Step 2")
    assert view_ev(spectrum) == seen
    energies, counts = spectrum._curve.getData()
    assert np.array_equal(energies, ENERGIES_EV)
    assert np.array_equal(counts, 2 * COUNTS)
    spectrum.clear()
    assert spectrum.is_empty


def test_only_a_person_moves_the_band(spectrum):
    emitted = []
    spectrum.band_changed.connect(lambda low, high: emitted.append((low, high)))
    assert not spectrum.band.isVisible()
    spectrum.set_spectrum(ENERGIES_EV, COUNTS, "Step 1")
    spectrum.set_band((0.3, 0.4))
    assert spectrum.band.isVisible()
    assert spectrum.band.getRegion() == (0.3, 0.4)
    spectrum.set_band(None)
    assert not spectrum.band.isVisible()
    assert emitted == []


def test_energies_are_labelled_as_given_whatever_the_theme(spectrum):
    spectrum.set_spectrum(ENERGIES_EV, COUNTS, "Step 1")
    spectrum.look_at(0.3, 0.4)
    axis = spectrum.plot.getAxis("bottom")
    for color in ("#ffffff", "#102030"):
        spectrum.setStyleSheet(f"background-color: {color}; color: #808080;")
        spectrum.ensurePolished()
        assert spectrum.plot.backgroundBrush().color().name() == color
        assert axis.textPen().color().name() == "#808080"
        assert axis.autoSIPrefixScale == 1.0
        assert axis.tickStrings([0.3, 0.4], 1.0, 0.1) == ["0.3", "0.4"]


def test_steps_without_a_target_or_a_prediction_are_left_out(curve):
    curve.set_points(
        [1.0, NAN, 3.0], [NAN, 2.0, 2.5], [NAN, 0.5, 0.5], [1.0, 1.0, 3.0], "counts"
    )
    assert not curve.is_empty
    steps, targets = curve._measured.getData()
    assert (list(steps), list(targets)) == ([1, 3], [1, 3])
    steps, means = curve._predicted.getData()
    assert (list(steps), list(means)) == ([2, 3], [2.0, 2.5])
    assert "counts" in curve.plot.getAxis("left").labelText


def test_no_target_at_all_is_no_curve(curve):
    curve.set_points([NAN, NAN], [NAN, NAN], [NAN, NAN], [NAN, NAN], "")
    assert curve.is_empty


def test_markers_of_changes_go_with_the_run(curve):
    curve.set_points([1.0], [NAN], [NAN], [1.0], "")
    before = len(curve.plot.getPlotItem().items)
    curve.add_marker(4, "settings changed before step 5")
    assert curve._markers[0].value() == 4.5
    assert "step 5" in curve._markers[0].toolTip()
    curve.clear()
    assert curve.is_empty
    assert len(curve.plot.getPlotItem().items) == before
