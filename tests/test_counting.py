from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_hae.agent.counting import RESAMPLES, counting_error
from napari_hae.agent.scalarizers import BandIntegral, BandMaximum, BandRatio
from napari_hae.agent.user_function import UserFunction
from spectra import EXPOSURE_S, spectrum

BAND = {"low_ev": 0.4, "high_ev": 0.6}
COUNTS = np.full(16, 400.0)
TOLERANCE = 4 / np.sqrt(2 * RESAMPLES)


def test_the_counting_error_of_a_band_integral_is_the_root_of_its_counts():
    integral = BandIntegral(**BAND)
    exact = np.sqrt(3 * 400) / EXPOSURE_S
    assert integral.error(spectrum(COUNTS)) == pytest.approx(exact)
    drawn = counting_error(integral, spectrum(COUNTS))
    assert drawn == pytest.approx(exact, rel=TOLERANCE)


def test_the_counting_error_of_a_ratio_follows_from_both_bands():
    ratio = BandRatio(**BAND, reference_low_ev=1.0, reference_high_ev=1.2)
    exact = np.sqrt(2 / (3 * 400))
    assert ratio.error(spectrum(COUNTS)) == pytest.approx(exact, rel=TOLERANCE)


def test_the_same_spectrum_always_has_the_same_error():
    maximum = BandMaximum(**BAND)
    assert maximum.error(spectrum(COUNTS)) == maximum.error(spectrum(COUNTS))


def test_four_times_the_exposure_halves_the_error_of_a_rate():
    integral = BandIntegral(**BAND)
    once = spectrum(COUNTS)
    long = replace(once, counts=4 * once.counts, exposure_s=4 * once.exposure_s)
    assert integral(long) == integral(once)
    assert integral.error(long) == pytest.approx(integral.error(once) / 2)


def test_no_counts_are_as_uncertain_as_one():
    nothing = spectrum(np.zeros(16))
    assert BandIntegral(**BAND).error(nothing) == 1 / EXPOSURE_S


@pytest.mark.parametrize("spoiled", [COUNTS + 0.5, -COUNTS, COUNTS * np.nan])
@pytest.mark.parametrize("kind", [BandIntegral, BandMaximum])
def test_nothing_is_known_where_counts_were_not_counted(kind, spoiled):
    assert np.isnan(kind(**BAND).error(spectrum(spoiled)))


def test_a_target_that_does_not_exist_has_no_error():
    ratio = BandRatio(**BAND, reference_low_ev=1.0, reference_high_ev=1.2)
    assert np.isnan(ratio.error(spectrum(np.zeros(16))))


def test_an_own_function_is_given_the_exposure_and_not_called_for_an_error(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def rate(signal):\n"
        "    return signal.data.sum() / signal.metadata.napari_hae.exposure_s\n"
    )
    mine = UserFunction(path=f"{file}:rate")
    assert mine(spectrum(COUNTS)) == pytest.approx(16 * 400 / EXPOSURE_S)
    assert np.isnan(mine.error(spectrum(COUNTS)))
