"""Spectra are chosen in the image and compared in a real window, with the mouse."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QImage, QTextDocument

from by_hand import pick, select_by_click, show_section
from mouse import LEFT, click, drag_in_plot, paint_stroke
from napari_hae.gui.beside import MEAN_COLOR, MOST_SELECTED, SELECTED_COLORS
from napari_hae.gui.monitor import MonitorDock
from napari_hae.gui.plots import BEST_COLOR
from steered import entries, place, step, until

pytestmark = pytest.mark.gui
CONTROL = Qt.KeyboardModifier.ControlModifier


def drawn(spectra) -> dict:
    """The curves of the plot, by name; the shown one has none."""
    items = spectra.plot.plot.getPlotItem().listDataItems()
    return {item.name(): item.getData()[1] for item in items}


def title(spectra) -> str:
    """What is written above the plot, without its markup."""
    document = QTextDocument()
    document.setHtml(spectra.plot.title.text())
    return document.toPlainText().replace("\N{NO-BREAK SPACE}", " ")


def mean_of(measurements) -> np.ndarray:
    return np.mean([each.spectrum.counts for each in measurements], axis=0)


def test_a_click_on_a_measured_place_shows_its_spectrum(paused, qtbot):
    spectra, measured = paused.monitor.spectra, paused.session.live.measurements
    for chosen in (4, 8):
        select_by_click(paused, qtbot, chosen)
        until(
            qtbot,
            lambda chosen=chosen: title(spectra).startswith(f"Step {chosen + 1},"),
        )
        np.testing.assert_array_equal(
            drawn(spectra)[None], measured[chosen].spectrum.counts
        )
    assert f"target {measured[8].target:.4g}" in title(spectra)


def paint_over(cockpit, qtbot, button, steps) -> object:
    """Paint a region over measured places, with the brush in the image."""
    qtbot.mouseClick(button, LEFT)
    layer = cockpit.viewer.layers.selection.active
    for index in steps:
        proposal = cockpit.session.live.measurements[index].proposal
        at = place(cockpit, proposal.row, proposal.column)
        paint_stroke(cockpit.viewer, [at, at])
    until(qtbot, lambda: layer in cockpit.session.watcher.layers)
    return layer


def inside(cockpit, layer) -> list:
    """The measurements at painted places."""
    return [
        each
        for each in cockpit.session.live.measurements
        if layer.data[each.proposal.row, each.proposal.column]
    ]


def test_the_mean_is_of_the_region_that_is_chosen_by_its_name(paused, qtbot):
    spectra, regions = paused.monitor.spectra, paused.experiment.regions
    interest = paint_over(paused, qtbot, regions.paint_interest, (0, 1, 2))
    soft = paint_over(paused, qtbot, regions.paint_soft, (5, 6))
    soft.name = "rim <left>"
    combo = spectra.beside.region
    until(qtbot, lambda: combo.findText("rim <left>") > 0)
    qtbot.mouseClick(spectra.beside.mean, LEFT)
    in_interest, in_soft = inside(paused, interest), inside(paused, soft)
    name = f"mean of {len(in_interest)}"
    until(qtbot, lambda: name in drawn(spectra))
    np.testing.assert_allclose(drawn(spectra)[name], mean_of(in_interest))
    pick(combo, "rim <left>", qtbot)
    name = f"mean of {len(in_soft)} in rim <left>"
    until(qtbot, lambda: name in drawn(spectra))
    np.testing.assert_allclose(drawn(spectra)[name], mean_of(in_soft))
    assert name in title(spectra)
    # Also one that does not restrict the run, or no longer.
    pick(combo, interest.name, qtbot)
    name = f"mean of {len(in_interest)} in {interest.name}"
    until(qtbot, lambda: name in drawn(spectra))
    switch = regions.rows[interest].switch
    show_section(paused.experiment, "Regions", switch, qtbot)
    qtbot.mouseClick(switch, LEFT, pos=switch.rect().center())
    until(qtbot, lambda: not paused.session.watcher.terms[interest].is_on)
    assert combo.currentText() == interest.name
    np.testing.assert_allclose(drawn(spectra)[name], mean_of(in_interest))
    paused.viewer.layers.remove(interest)
    until(qtbot, lambda: combo.currentIndex() == 0)
    until(qtbot, lambda: name not in drawn(spectra))


def test_a_monitor_that_is_opened_later_offers_the_regions_too(paused, qtbot):
    layer = paint_over(paused, qtbot, paused.experiment.regions.paint_interest, (0, 1))
    monitor = MonitorDock(paused.viewer)
    qtbot.addWidget(monitor)
    monitor.show()
    spectra = monitor.spectra
    pick(spectra.beside.region, layer.name, qtbot)
    qtbot.mouseClick(spectra.beside.mean, LEFT)
    found = inside(paused, layer)
    name = f"mean of {len(found)} in {layer.name}"
    until(qtbot, lambda: name in drawn(spectra))
    np.testing.assert_allclose(drawn(spectra)[name], mean_of(found))


def test_a_mean_follows_what_is_measured_in_its_region(paused, qtbot):
    spectra, regions = paused.monitor.spectra, paused.experiment.regions
    layer = paint_over(paused, qtbot, regions.paint_soft, (3,))
    pick(spectra.beside.region, layer.name, qtbot)
    qtbot.mouseClick(spectra.beside.mean, LEFT)
    before = inside(paused, layer)
    taken = {(m.proposal.row, m.proposal.column) for m in before}
    painted = np.argwhere(layer.data)
    row, column = next(each for each in painted if tuple(each) not in taken)
    click(paused.viewer, place(paused, row, column), CONTROL)
    until(qtbot, lambda: paused.experiment.queue.list.count() == 1)
    step(paused, qtbot)
    found = inside(paused, layer)
    assert len(found) == len(before) + 1
    name = f"mean of {len(found)} in {layer.name}"
    until(qtbot, lambda: name in drawn(spectra))
    np.testing.assert_allclose(drawn(spectra)[name], mean_of(found))


def test_an_edge_of_the_band_is_dragged_and_the_journal_has_both_bands(paused, qtbot):
    spectra, session = paused.monitor.spectra, paused.session
    plot = spectra.plot
    low, high = plot.band.getRegion()
    # Its axes are fitted to the newest spectrum when that is drawn.
    session.live.refresh()
    spectra.draw_now()
    highest = session.live.measurements[-1].spectrum.counts.max()

    def top() -> float:
        plot.plot.grab()
        return plot.plot.getViewBox().viewRange()[1][1]

    # The range follows what is in view, without the zero-loss peak, when it is drawn.
    until(qtbot, lambda: top() < highest / 10)
    before = [m.target for m in session.live.measurements]
    height = top() / 2
    drag_in_plot(plot.plot, [(high, height), (high + 0.05, height)], between=10)
    until(qtbot, lambda: session.settings.scalarizer.high_ev > high + 0.03)
    scalarizer = session.settings.scalarizer
    assert scalarizer.low_ev == pytest.approx(low, abs=1e-4)
    until(qtbot, lambda: [m.target for m in session.live.measurements] != before)
    for each in session.live.measurements:
        assert each.target == pytest.approx(scalarizer(each.spectrum))

    def change():
        return entries(paused, "settings")[-1]["changes"]["scalarizer"]

    until(qtbot, lambda: change()["new"]["high_ev"] == scalarizer.high_ev)
    assert change()["old"]["high_ev"] == pytest.approx(high)


def test_all_names_of_many_curves_can_be_read_in_a_narrow_window(paused, qtbot):
    spectra, session = paused.monitor.spectra, paused.session
    paused.viewer.window.resize(1366, 768)
    until(qtbot, lambda: paused.monitor.width() <= 1366)
    width = spectra.width()
    layer = paint_over(
        paused, qtbot, paused.experiment.regions.paint_interest, (0, 1, 2)
    )
    qtbot.mouseClick(spectra.beside.best, LEFT)
    qtbot.mouseClick(spectra.beside.mean, LEFT)
    pick(spectra.beside.region, layer.name, qtbot)
    targets = [m.target for m in session.live.measurements]
    others = [i for i in range(12) if i != int(np.argmax(targets))]
    session.layers.measured_layer.selected_data = set(others)
    until(qtbot, lambda: len(drawn(spectra)) == MOST_SELECTED + 2)
    names = [name for name in drawn(spectra) if name]
    assert all(name in title(spectra) for name in names)
    label = spectra.plot.title
    until(qtbot, lambda: all(is_painted(color, label) for color in COLORS))
    widest = max(label.fontMetrics().horizontalAdvance(f"━ {name}") for name in names)
    assert widest < label.width() <= spectra.width() == width
    assert spectra.plot.plot.height() > 60


COLORS = (*SELECTED_COLORS, BEST_COLOR, MEAN_COLOR)


def is_painted(color: str, label) -> bool:
    """Whether a colour is on a label as it is on screen; text has soft edges."""
    shot = label.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    flat = np.frombuffer(shot.constBits().asstring(shot.sizeInBytes()), np.uint8)
    pixels = flat.reshape(-1, 4)[:, :3].astype(int)
    return bool((abs(pixels - QColor(color).getRgb()[:3]).max(axis=-1) < 24).any())
