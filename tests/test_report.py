"""The page that a run leaves: nothing lies on anything else."""

from __future__ import annotations

import logging
from contextlib import ExitStack

import numpy as np
import pytest

from napari_hae.cli import main
from napari_hae.experiment.report import draw_report
from napari_hae.experiment.stored import open_run
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.instruments.signal_files import open_signals

LONG = f"a_name_as_{'instruments_and_dates_' * 7}make_it"


@pytest.fixture(scope="module", params=["[32, 32]", "[32, 96]", "[96, 32]"])
def figure(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / f"{LONG}.hae"
    size = ["--set", f"instrument.shape={request.param}"]
    run = ["run", "--instrument", "simulated", *size, "--steps", "12"]
    assert main([*run, "--out", str(out)]) == 0
    figure = draw_report(open_run(out))
    figure.canvas.draw()
    return figure


def titled(figure):
    return {axis.get_title(): axis for axis in figure.axes if axis.get_title()}


def bars(figure):
    return [child for axis in figure.axes for child in axis.child_axes]


def test_titles_run_into_no_colour_bar_and_not_out_of_the_page(figure):
    assert len(bars(figure)) == 3
    page = figure.bbox
    texts = [figure._suptitle, *(axis.title for axis in titled(figure).values())]
    boxes = [text.get_window_extent() for text in texts]
    for box in boxes:
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert not any(box.overlaps(bar.get_tightbbox()) for bar in bars(figure))
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_a_colour_bar_is_as_high_as_its_map(figure):
    for axis in figure.axes:
        for bar in axis.child_axes:
            shown, beside = axis.get_window_extent(), bar.get_window_extent()
            assert (beside.y0, beside.y1) == pytest.approx((shown.y0, shown.y1))
            assert 0 < beside.x0 - shown.x1 < 15 and 8 < beside.width < 25


def test_steps_are_whole_numbers(figure):
    ticks = titled(figure)["targets"].get_xticks()
    np.testing.assert_array_equal(ticks, np.round(ticks))


def test_hyperspy_does_not_complain_of_types_that_only_others_know(tmp_path, caplog):
    signal = hyperspy().signals.Signal1D(np.ones((3, 4, 20), np.float32))
    signal.metadata.Signal.signal_type = "of_another_package"
    path = tmp_path / "map.hspy"
    signal.save(path)
    with caplog.at_level(logging.DEBUG), ExitStack() as files:
        (loaded,) = open_signals(path, files)
        loaded.set_signal_type("of_a_third_package")
    assert "not understood" not in caplog.text
    assert loaded.metadata.Signal.signal_type == "of_a_third_package"
