"""Short ways to take spectra with the simulated microscope."""

from __future__ import annotations

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.instruments.simulated import SimulatedMicroscope, SimulatedSettings
from napari_hae.instruments.simulated_sample import ENERGY, ground_truth
from napari_hae.types import ProbePosition

BANDS_EV = {"corner": (0.30, 0.40), "edge": (0.65, 0.75), "face": (0.85, 0.95)}
MIDDLE = ProbePosition(0.5, 0.5)


def connected(**changes):
    microscope = SimulatedMicroscope(SimulatedSettings(**changes))
    microscope.connect()
    return microscope


def expose(microscope, position, exposure_s=0.1):
    microscope.place_beam(position)
    microscope.unblank()
    spectrum = microscope.acquire_spectrum("EELS", exposure_s)
    microscope.blank()
    return spectrum


def band(spectrum, name="corner"):
    return float(spectrum.counts[ENERGY.channels(*BANDS_EV[name])].sum())


def strongest(simulated, name="corner"):
    truth = ground_truth(simulated, simulated.shape, *BANDS_EV[name])
    row, column = np.unravel_index(truth.argmax(), truth.shape)
    return FieldFrame(simulated.shape, simulated.field_nm).position(row, column)
