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


def test_the_best_pixels_of_a_clean_map_are_found_from_most_seeds(tmp_path):
    everything = read_spectrum_image(CLEAN, None)
    runs = [experiment(CLEAN, 60, s, tmp_path / f"{s}.hae")[0] for s in (1, 2, 3)]
    better = [place_of_best(run, everything)[0] for run in runs]
    assert sum(count < TOP * 50 * 50 for count in better) >= 2
