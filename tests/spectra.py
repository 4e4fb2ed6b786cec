"""Spectra made of nothing but their counts."""

from __future__ import annotations

import numpy as np

from napari_hae.types import EnergyAxis, ProbePosition, Spectrum

AXIS = EnergyAxis(offset_ev=0.0, dispersion_ev=0.1, size=16)
EXPOSURE_S = 0.5


def spectrum(counts, energy: EnergyAxis = AXIS) -> Spectrum:
    """A spectrum with these counts."""
    return Spectrum(
        counts=np.asarray(counts, np.float32),
        energy=energy,
        detector="EELS",
        position=ProbePosition(0.0, 0.0),
        exposure_s=EXPOSURE_S,
        dose_e=1.0,
    )
