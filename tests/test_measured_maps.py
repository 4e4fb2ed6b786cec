"""Whole runs on measured spectrum images, from the command line."""

from __future__ import annotations

import pytest

from measured_files import CLEAN, P45, needs_data
from measured_maps import TOP, experiment, place_of_best
from napari_hae.instruments.spectrum_images import read_spectrum_image

pytestmark = needs_data


@pytest.mark.parametrize("file", [P45, CLEAN], ids=["P45", "clean"])
def test_the_instrument_is_asked_for_the_spectra_in_the_record_only(file, tmp_path):
    run, asked = experiment(file, 60, 1, tmp_path / "run.hae")
    assert asked == len(run.measurements) == 60
    places = {(m.proposal.row, m.proposal.column) for m in run.measurements}
    assert len(places) == 60


def test_the_best_pixels_of_a_clean_map_are_found(tmp_path):
    run, _ = experiment(CLEAN, 60, 2, tmp_path / "run.hae")
    better, _ = place_of_best(run, read_spectrum_image(CLEAN, None))
    assert better < TOP * 50 * 50
