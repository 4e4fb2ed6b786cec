"""Picture for visual inspection of the orientation, which no code can verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_hae.coordinates import FieldFrame

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_hae.types import ProbePosition, ScanImage


def write_picture(
    file: Path,
    image: ScanImage,
    places: Sequence[ProbePosition],
    signals: NDArray[Any],
) -> None:
    """Write a PNG of the survey image and the spectral signal at measured positions.

    Parameters
    ----------
    signals
        `(n,)`: one number for the spectrum at each place.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    frame = FieldFrame.of(image)
    y_nm, x_nm = np.transpose([frame.nm(place) for place in places])
    figure = Figure(figsize=(11, 5), layout="constrained")
    FigureCanvasAgg(figure)
    bare, marked = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes in (bare, marked):
        axes.imshow(image.data[0], cmap="gray", extent=frame.extent_nm)
        axes.set_xlabel("x (nm)")
    bare.set_ylabel("y (nm)")
    bare.set_title(f"{image.detectors[0]}: the sample as the microscope has it?")
    marked.set_title("do the spectra change where the image does?")
    points = marked.scatter(x_nm, y_nm, c=signals, s=40, edgecolors="white")
    figure.colorbar(points, ax=marked, label="what tells spectra apart most")
    figure.savefig(file, format="png")
