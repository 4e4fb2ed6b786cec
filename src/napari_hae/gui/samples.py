"""Sample data for File > Open Sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hae.coordinates import FieldFrame
from napari_hae.gui.layer_data import calibration, survey_data
from napari_hae.instruments.simulated import SimulatedMicroscope
from napari_hae.instruments.simulated_sample import ENERGY, truth_spectrum_image
from napari_hae.instruments.simulated_settings import SimulatedSettings

if TYPE_CHECKING:
    from napari_hae.gui.layer_data import LayerData


def simulated_layers() -> list[LayerData]:
    """Return a simulated survey image, and its expected spectra as `(energy, y, x)`."""
    settings = SimulatedSettings()
    microscope = SimulatedMicroscope(settings)
    microscope.connect()
    able = microscope.capabilities()
    survey = microscope.acquire_survey(able.survey_detectors, settings.shape, 1e-5)
    microscope.disconnect()
    frame = FieldFrame.of(survey)
    shared = calibration(frame)
    cube = np.moveaxis(truth_spectrum_image(settings, settings.shape), -1, 0)
    spectra = {
        "name": "Spectrum image (expected counts)",
        "scale": (ENERGY.dispersion_ev, *shared["scale"]),
        "translate": (ENERGY.offset_ev, *shared["translate"]),
        "units": ("eV", *shared["units"]),
        "axis_labels": ("energy", *shared["axis_labels"]),
        "colormap": "inferno",
        "visible": False,
    }
    return [(cube, spectra, "image"), *survey_data(survey)]
