"""Map of the dose of a run's spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_hae.gui.layer_data import LayerData, Limits, Role, common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_hae.coordinates import FieldFrame
    from napari_hae.types import Measurement

COLORMAP = "cividis"


def dose_map(
    measurements: Sequence[Measurement], frame: FieldFrame
) -> NDArray[np.float32] | None:
    """Return the electrons per nm² of the spectra in each pixel, `(rows, columns)`.

    Excludes the survey image and spill into neighbouring pixels. None before the first
    spectrum, and where the current of one is not known.
    """
    doses_e = np.array([m.spectrum.dose_e for m in measurements], dtype=float)
    if not doses_e.size or not np.isfinite(doses_e).all():
        return None
    dose = np.zeros(frame.shape)
    rows = [m.proposal.row for m in measurements]
    np.add.at(dose, (rows, [m.proposal.column for m in measurements]), doses_e)
    height_nm, width_nm = frame.pixel_nm
    return (dose / (height_nm * width_nm)).astype(np.float32)


def dose_data(dose: NDArray[np.float32], frame: FieldFrame) -> LayerData:
    """Return a hidden Image layer of the dose, `(rows, columns)`, in electrons/nm²."""
    keywords = {
        "name": "Dose",
        "colormap": COLORMAP,
        "contrast_limits": dose_limits(dose),
        "blending": "translucent",
        "opacity": 0.6,
        "visible": False,
    }
    return dose, {**common(frame, Role.DOSE), **keywords}, "image"


def dose_limits(dose: NDArray[np.float32]) -> Limits:
    """Return the limits from zero to the largest dose."""
    return 0.0, float(dose.max()) or 1.0
