from __future__ import annotations

import numpy as np
import pytest

from measured_files import CLEAN, P45
from napari_hae.agent.bands import choose_band
from napari_hae.hyperspy_signals import hyperspy
from napari_hae.types import EnergyAxis
from spectra import spectrum

EELS = EnergyAxis(offset_ev=-0.3, dispersion_ev=0.005, size=400)
ENERGIES_EV = EELS.energies_ev


def peak(at_ev, height, width_ev=0.02):
    return height * np.exp(-(((ENERGIES_EV - at_ev) / width_ev) ** 2) / 2)


def test_the_line_that_varies_is_chosen_not_the_strongest():
    rng = np.random.default_rng(0)
    background = peak(0.0, 1e6) + 500 * np.exp(-np.abs(ENERGIES_EV)) + peak(1.2, 900)
    spectra = [
        spectrum(rng.poisson(background + peak(0.7, 300 * (i % 2))), EELS)
        for i in range(10)
    ]
    low_ev, high_ev = choose_band(spectra)
    assert low_ev < 0.7 < high_ev
    assert high_ev - low_ev < 0.2


def test_where_nothing_varies_the_strongest_line_is_chosen():
    rng = np.random.default_rng(1)
    rates = 20 + peak(0.0, 1e6) + peak(0.7, 300) + peak(1.2, 900)
    spectra = [spectrum(rng.poisson(rates), EELS) for _ in range(10)]
    low_ev, high_ev = choose_band(spectra)
    assert low_ev < 1.2 < high_ev


@pytest.mark.parametrize("size", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("counts", [0.0, 7.0, np.nan])
def test_a_band_is_chosen_whatever_the_spectra(size, counts):
    axis = EnergyAxis(offset_ev=0.0, dispersion_ev=0.1, size=size)
    low_ev, high_ev = choose_band([spectrum(np.full(size, counts), axis)])
    assert axis.offset_ev <= low_ev <= high_ev <= axis.last_ev


def test_without_a_spectrum_there_is_no_band():
    with pytest.raises(ValueError, match="none yet"):
        choose_band([])


# The lines of `shared/data/README.md`, in eV.
LINES_EV = {P45: (530, 1750, 3340), CLEAN: (1500, 3000)}


@pytest.mark.parametrize("file", LINES_EV, ids=lambda file: file.stem)
def test_in_measured_maps_ten_spectra_show_a_line(file):
    if not file.exists():
        pytest.skip(f"the measured spectrum image {file.name} is not there")
    (cube,) = (s for s in hyperspy().load(file) if s.data.ndim == 3)
    axis = cube.axes_manager.signal_axes[0]
    energy = EnergyAxis(axis.offset * 1000, axis.scale * 1000, axis.size)
    pixels = cube.data.reshape(-1, axis.size)
    hits = 0
    for seed in range(20):
        chosen = np.random.default_rng(seed).choice(len(pixels), 10, replace=False)
        low_ev, high_ev = choose_band([spectrum(pixels[i], energy) for i in chosen])
        hits += any(low_ev < line < high_ev for line in LINES_EV[file])
    assert hits >= 19
